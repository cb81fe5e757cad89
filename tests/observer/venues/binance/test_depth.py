"""The book follows the stream, whatever the network does: never wrong, and right again in the end."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.ports import Instrument
from observer.venues.binance import depth as depth_module
from observer.venues.binance.depth import (
    ASK_AGAIN_NS,
    CHECK_NS,
    COUNTS_ANEW,
    CROSSED,
    DISAGREES,
    HOLE,
    MAX_REPEATS,
    QUIET_NS,
    REACH_NS,
    SILENT,
    DepthSync,
)
from observer.venues.binance.rules import SPOT, USDM, DepthEvent, RestBook
from tests.observer.venues.binance.depth_server import DepthServer, Step
from tests.samples.recording_line import RecordingLine

STEPS = st.lists(
    st.builds(
        Step,
        n_changes=st.integers(1, 4),
        fate=st.sampled_from(("arrives", "arrives", "arrives", "drops", "twice", "late")),
        rest_lag=st.integers(0, 8),
        rest_wait=st.integers(0, 4),
    ),
    min_size=1,
    max_size=60,
)
RULES = {"spot": SPOT, "usdm": USDM}


class Session:
    """A `DepthSync`, its line, and whoever answers its questions."""

    def __init__(self, rule_name: str, seed: int = 0) -> None:
        self.server = DepthServer(random.Random(seed), has_holes=rule_name == "usdm")
        self.instrument = Instrument("binance", "X", "", 0, "X")
        self.line = RecordingLine(recv_ns=NS_PER_S)
        self.sync = DepthSync(self.instrument, self.line, RULES[rule_name])
        self._answers: list[tuple[int, RestBook]] = []
        self._n_asked = 0
        self._now = 0

    def deliver(self, event: DepthEvent) -> None:
        """One event arrives; the book, where there is one, must be the true one."""
        self.sync.event(event)
        self.check()

    def step(self, rest_lag: int, rest_wait: int) -> None:
        """Time passes: questions are heard, answers arrive."""
        self._now += 1
        self.line.recv_ns += 100 * NS_PER_MS
        self.sync.look()
        n_asked = len(self.line.of("fetch")) + len(self.line.of("lost"))
        if n_asked > self._n_asked:
            self._n_asked = n_asked
            self._answers.append((self._now + rest_wait, self.server.rest(rest_lag)))
        for due in [answer for answer in self._answers if answer[0] <= self._now]:
            self._answers.remove(due)
            self.sync.snapshot(due[1])
            self.check()

    def check(self) -> None:
        """A valid book equals the server's at the id that was said last."""
        book = self.instrument.book
        if not book.is_valid:
            return
        said = [call.args[-1] for call in self.line.calls if call.method in ("book", "level")]
        bids, asks = self.server.truth[said[-1]]
        assert dict(book.top(BID, 99)) == bids
        assert dict(book.top(ASK, 99)) == asks


def play(session: Session, steps: list[Step], delay: int) -> None:
    """Let events come `delay` steps after REST knows of them and suffer their fates; then let the network be good."""
    held: DepthEvent | None = None
    under_way: list[tuple[DepthEvent, str]] = []
    for step in steps:
        under_way.append((session.server.event(step.n_changes), step.fate))
        if len(under_way) > delay:
            event, fate = under_way.pop(0)
            for arriving in {"arrives": [event], "drops": [], "twice": [event, event], "late": []}[fate]:
                session.deliver(arriving)
            if held is not None:
                session.deliver(held)
            held = event if fate == "late" else None
        session.step(step.rest_lag, step.rest_wait)
    for event, _ in under_way:
        session.deliver(event)
    for _ in range(3):
        session.deliver(session.server.event(2))
        session.step(rest_lag=0, rest_wait=0)
    for _ in range(ASK_AGAIN_NS // (100 * NS_PER_MS) + 5):
        session.deliver(session.server.event(1))
        session.step(rest_lag=0, rest_wait=0)


@pytest.mark.parametrize("rule_name", RULES)
@given(steps=STEPS, seed=st.integers(0, 2**32), delay=st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_the_book_is_never_wrong_and_right_in_the_end(rule_name: str, steps: list[Step], seed: int, delay: int) -> None:
    session = Session(rule_name, seed)

    play(session, steps, delay)

    book = session.instrument.book
    assert book.is_valid
    bids, asks = session.server.truth[session.server.last_id]
    assert (dict(book.top(BID, 99)), dict(book.top(ASK, 99))) == (bids, asks)


@pytest.mark.parametrize("rule_name", RULES)
def test_a_dropped_event_loses_the_book_at_the_next_one(rule_name: str) -> None:
    session = synced(rule_name)
    session.server.event(1)

    session.sync.event(session.server.event(1))

    assert session.line.of("lost") == [(HOLE,)]
    assert not session.instrument.book.is_valid


@pytest.mark.parametrize("rule_name", RULES)
def test_an_event_that_comes_twice_changes_nothing(rule_name: str) -> None:
    session = synced(rule_name)
    event = session.server.event(2)
    session.deliver(event)
    version = session.instrument.book.version

    session.deliver(event)

    assert session.instrument.book.version == version
    assert not session.line.of("lost")


@pytest.mark.parametrize("rule_name", RULES)
def test_events_that_came_before_the_snapshot_are_put_on_top_of_it(rule_name: str) -> None:
    session = Session(rule_name)
    for _ in range(5):
        session.deliver(session.server.event(3))

    session.sync.snapshot(session.server.rest(7))  # the second of three changes of the third event

    assert session.line.of("book")[0][-1] < session.server.last_id
    session.check()
    assert session.line.of("level")[-1][-1] == session.server.last_id
    assert session.line.counts()["fetch"] == 1
    assert not session.line.of("lost")


@pytest.mark.parametrize("rule_name", RULES)
def test_a_snapshot_from_within_the_next_event_is_bridged(rule_name: str) -> None:
    session = Session(rule_name)
    session.deliver(session.server.event(3))
    event = session.server.event(3)
    session.sync.snapshot(session.server.rest(1))

    session.deliver(event)

    assert session.line.of("level")[-1][-1] == session.server.last_id
    assert not session.line.of("lost")


@pytest.mark.parametrize("rule_name", RULES)
def test_the_event_after_a_hole_is_kept_for_the_next_snapshot(rule_name: str) -> None:
    session = synced(rule_name)
    session.server.event(1)
    session.sync.event(session.server.event(3))

    session.sync.snapshot(session.server.rest(1))
    session.check()

    assert session.instrument.book.is_valid
    assert session.line.of("level")[-1][-1] == session.server.last_id


def test_a_snapshot_older_than_the_stream_is_asked_for_again() -> None:
    session = Session("spot")
    old = session.server.rest(0)
    session.server.event(3)
    session.deliver(session.server.event(1))

    session.sync.snapshot(old)

    assert session.line.counts()["fetch"] == 2
    assert not session.instrument.book.is_valid


def test_usdm_accepts_a_snapshot_that_ends_where_the_first_event_begins() -> None:
    """Live streams do that: no event kept contains the snapshot's id, but the first names it as its predecessor."""
    session = Session("usdm")
    session.server.event(2)
    snapshot = session.server.rest(0)
    session.deliver(session.server.event(2))

    session.sync.snapshot(snapshot)

    session.check()
    assert session.instrument.book.is_valid
    assert session.line.counts()["fetch"] == 1


def test_no_question_is_asked_before_the_stream_has_spoken() -> None:
    session = Session("spot")

    for _ in range(1000):
        session.step(0, 0)

    assert not session.line.calls


def test_an_answer_that_never_comes_is_asked_for_again() -> None:
    session = Session("spot")
    session.sync.event(session.server.event(1))
    for _ in range(ASK_AGAIN_NS // (100 * NS_PER_MS) + 2):
        session.line.recv_ns += 100 * NS_PER_MS
        session.sync.look()

    assert session.line.counts()["fetch"] == 2


def test_what_is_kept_before_a_snapshot_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_module, "MAX_KEPT_LEVELS", 50)
    session = Session("spot")

    for _ in range(500):
        session.sync.event(session.server.event(4))

    assert 40 <= sum(len(event.bids) + len(event.asks) for event in session.sync._kept) <= 50
    session.sync.snapshot(session.server.rest(3))
    session.check()
    assert session.instrument.book.is_valid


@pytest.mark.parametrize("rule_name", RULES)
def test_a_venue_that_counts_anew_loses_the_book(rule_name: str) -> None:
    session = synced(rule_name)
    session.sync._last_id = 10**9

    for _ in range(MAX_REPEATS):
        session.sync.event(session.server.event(1))

    assert session.line.of("lost") == [(COUNTS_ANEW,)]


@pytest.mark.parametrize("rule_name", RULES)
def test_a_venue_that_counts_anew_while_its_book_is_awaited_is_followed(rule_name: str) -> None:
    session = Session(rule_name)
    session.sync.event(DepthEvent(10**9, 10**9, 10**9 - 1, 0, [(1, 1)], []))
    for _ in range(MAX_REPEATS + 1):
        session.sync.event(session.server.event(1))

    session.sync.snapshot(session.server.rest(1))
    session.check()

    assert session.instrument.book.is_valid


def test_a_book_that_the_stream_crosses_is_lost() -> None:
    session = synced("spot")
    last_id = session.server.last_id

    session.sync.event(DepthEvent(last_id + 1, last_id + 1, 0, 0, [(99, 1)], [(98, 1)]))

    assert session.line.of("lost") == [(CROSSED,)]


@pytest.mark.parametrize("rule_name", RULES)
@pytest.mark.parametrize("lag", [0, 1, 2, 5])
@pytest.mark.parametrize("wait", [0, 3])
def test_a_right_book_passes_its_check(rule_name: str, lag: int, wait: int) -> None:
    session = synced(rule_name)

    for i in range(CHECK_NS // NS_PER_S * 2):
        session.line.recv_ns += NS_PER_S - 100 * NS_PER_MS
        session.deliver(session.server.event(i % 3 + 1))
        session.step(lag, wait)

    assert session.line.counts()["fetch"] == 1 + 2
    assert not session.line.of("lost")


@pytest.mark.parametrize("rule_name", RULES)
@pytest.mark.parametrize("lag", [0, 3])
def test_a_wrong_book_does_not_pass_its_check(rule_name: str, lag: int) -> None:
    session = synced(rule_name)
    for _ in range(CHECK_NS // NS_PER_S):
        session.line.recv_ns += NS_PER_S
        session.sync.event(session.server.event(1))
    session.instrument.book.set(ASK, 999, 77)
    session.sync.look()
    for _ in range(3):
        session.sync.event(session.server.event(2))

    session.sync.snapshot(session.server.rest(lag))

    assert session.line.of("lost") == [(DISAGREES,)]


def test_a_snapshot_ahead_of_the_stream_is_compared_once_the_stream_is_there() -> None:
    session = synced("usdm")
    session.line.recv_ns += CHECK_NS
    session.sync.look()
    event = session.server.event(3)
    session.sync.snapshot(session.server.rest(0))
    session.instrument.book.set(ASK, 999, 77)

    assert not session.line.of("lost")
    session.sync.event(event)
    assert session.line.of("lost") == [(DISAGREES,)]


def test_a_stream_that_falls_silent_while_rest_moves_on_costs_the_connection_its_life() -> None:
    session = synced("spot")
    session.line.recv_ns += QUIET_NS
    session.sync.look()
    session.server.event(1)
    session.sync.snapshot(session.server.rest(0))
    session.sync.look()
    assert not session.line.of("lost_all")

    session.line.recv_ns += REACH_NS
    session.sync.look()

    assert session.line.of("lost_all") == [(SILENT,)]


def test_a_quiet_market_is_not_a_silent_stream() -> None:
    session = synced("spot")

    for _ in range(4):
        session.line.recv_ns += QUIET_NS
        session.sync.look()
        session.sync.snapshot(session.server.rest(0))

    assert not session.line.of("lost_all")
    assert session.instrument.book.is_valid


def synced(rule_name: str) -> Session:
    """A session whose book is in step."""
    session = Session(rule_name)
    session.deliver(session.server.event(4))
    session.step(0, 0)
    session.deliver(session.server.event(4))
    assert session.instrument.book.is_valid
    return session

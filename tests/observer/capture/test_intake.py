"""What lines tell the intake: owners, gaps, duplicates, lags, and names that end with what they name."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from observer.capture import intake as intake_module
from observer.capture.clock import Anchor, Clock
from observer.capture.counters import Counters, count
from observer.capture.intake import Intake
from observer.capture.line import LiveLine
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.ports import Instrument, Line
from observer.records import BUY, UNKNOWN_NS, UP
from observer.store.batch import (
    BOOK,
    LEVEL,
    LOST,
    PRICE,
    TRADE,
    Connected,
    Denied,
    GapSeen,
    InstrumentSeen,
    Quarantined,
)


@dataclass
class Rig:
    """An intake under a clock in the test's hands, one instrument and its lines."""

    now_ns: int = 1_800_000_000 * NS_PER_S
    fetched: list[tuple[int, str]] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.intake = Intake(Clock(Anchor(0, 0), mono_ns=lambda: self.now_ns), Counters())
        self.instrument = Instrument("tiny", "a", "m", UP, "BTC")
        self.intake.add_instrument(self.instrument)

    def line(self) -> LiveLine:
        """A new connection's line."""
        number = self.intake.add_connection("tiny", "all", "ws://", (self.instrument,))
        return LiveLine(
            self.intake, "tiny", number, send=lambda payload: None,
            fetch=lambda instrument: self.fetched.append((number, instrument.key)), reopen=self.reopened.append,
        )  # fmt: skip

    def frame(self, line: LiveLine, *say: Callable[[], None]) -> None:
        """A frame of data arrives a second later and says these."""
        self.now_ns += NS_PER_S

        def read(payload: bytes) -> bool:
            for word in say:
                word()
            return True

        line.receive(b"frame", read)

    def book(self, line: Line, best_bid: int = 5) -> Callable[[], None]:
        """A whole book."""
        return lambda: line.book(self.instrument, [(best_bid, 1)], [(9, 1)], UNKNOWN_NS)

    def kinds(self) -> list[int]:
        """Kinds of the events so far."""
        return [event[0] for event in self.intake.events]

    def gaps(self) -> list[GapSeen]:
        """Gaps that have ended so far."""
        return [note for note in self.intake.notes if isinstance(note, GapSeen)]


def test_nothing_opens_for_an_instrument_that_was_dropped_and_the_stop_is_no_wreck() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    rig.intake.drop_instrument(rig.instrument)
    rig.frame(line, lambda: line.lost(rig.instrument, "hole"))  # its connection has not been replaced yet
    rig.intake.finish()

    assert rig.intake.gaps == {}
    assert rig.gaps() == []


def test_a_gap_ends_with_its_instrument() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    rig.frame(line, lambda: line.lost(rig.instrument, "hole"))
    rig.now_ns += NS_PER_S
    rig.intake.drop_instrument(rig.instrument)

    (gap,) = rig.gaps()
    assert (gap.reason, gap.end_ns) == ("hole", rig.now_ns)
    assert not any(isinstance(note, InstrumentSeen) for note in rig.intake.preamble)


def test_a_second_loss_does_not_move_the_beginning_of_a_gap() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    known_ns = rig.now_ns
    rig.frame(line, lambda: line.lost(rig.instrument, "hole"))
    rig.frame(line, lambda: line.lost(rig.instrument, "another hole"))
    rig.frame(line, rig.book(line))

    (gap,) = rig.gaps()
    assert (gap.reason, gap.start_ns, gap.end_ns) == ("hole", known_ns, rig.now_ns)
    assert rig.kinds() == [BOOK, LOST, BOOK]


def test_a_loss_begins_where_the_book_last_changed() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    rig.frame(line, lambda: line.level(rig.instrument, 0, 6, 2, UNKNOWN_NS))
    changed_ns = rig.now_ns
    rig.frame(line)
    rig.frame(line, lambda: line.lost(rig.instrument, "hole"))

    assert rig.intake.gaps[0].start_ns == changed_ns


def test_what_rest_denied_is_told_with_the_time_it_was_last_right() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    rig.intake.deny(rig.instrument, 77, "REST")

    (denied,) = (note for note in rig.intake.notes if isinstance(note, Denied))
    assert (denied.ins, denied.since_ns, denied.at_ns, denied.reason) == (0, 77, rig.now_ns, "REST")
    assert rig.intake.gaps[0].start_ns == 77
    assert not rig.instrument.book.is_valid


def test_a_book_that_was_dropped_is_not_denied() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    rig.intake.drop_instrument(rig.instrument)
    rig.intake.deny(rig.instrument, 77, "REST")

    assert not any(isinstance(note, Denied) for note in rig.intake.notes)


def test_a_newer_connection_owns_the_book_and_the_older_one_moves_nothing() -> None:
    rig = Rig()
    old, new = rig.line(), rig.line()
    rig.frame(old, rig.book(old))
    rig.frame(new, rig.book(new, 6))
    rig.frame(old, rig.book(old, 4), lambda: old.level(rig.instrument, 0, 7, 1, UNKNOWN_NS))
    rig.frame(old, lambda: old.lost(rig.instrument, "hole"))

    assert rig.instrument.book.best(0) == 6
    assert rig.kinds() == [BOOK, BOOK]
    assert (rig.intake.gaps, rig.fetched) == ({}, [])


def test_a_newer_connection_owns_a_bare_price_and_its_first_one_ends_the_gap() -> None:
    rig = Rig()
    old, new = rig.line(), rig.line()
    rig.frame(old, lambda: old.price(rig.instrument, 100, rig.now_ns))
    rig.intake.open_gap(rig.instrument, rig.now_ns, "connection lost")
    rig.frame(new, lambda: new.price(rig.instrument, 101, rig.now_ns))
    rig.frame(old, lambda: old.price(rig.instrument, 99, rig.now_ns))

    assert [event[5] for event in rig.intake.events if event[0] == PRICE] == [100, 101]
    assert [gap.reason for gap in rig.gaps()] == ["connection lost"]


def test_a_doubt_is_gone_with_the_next_whole_book() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    rig.frame(line, lambda: line.top(rig.instrument, 6, 9))
    rig.frame(line, rig.book(line))
    rig.frame(line, lambda: line.top(rig.instrument, 6, 9))

    assert rig.instrument.book.is_valid  # this doubt is a new one and not two seconds old


def test_each_book_is_held_against_the_last_word_of_a_message() -> None:
    rig = Rig()
    other = Instrument("tiny", "b", "m", UP, "BTC")
    rig.intake.add_instrument(other)
    line = rig.line()
    rig.frame(line, rig.book(line), lambda: line.book(other, [(5, 1)], [(9, 1)], UNKNOWN_NS))
    words = [
        lambda: line.top(rig.instrument, 1, 9), lambda: line.top(rig.instrument, 5, 9), lambda: line.top(other, 6, 9)
    ]  # fmt: skip
    rig.frame(line, *words)
    rig.frame(line, *words)

    assert rig.instrument.book.is_valid
    assert not other.book.is_valid
    assert rig.fetched == [(0, "b")]


def test_a_connection_that_cannot_be_trusted_is_opened_anew() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, lambda: line.lost_all("the venue shuts down"))

    assert rig.reopened == ["the venue shuts down"]


def test_a_book_by_rest_is_no_proof_that_the_socket_lives() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    heard_ns = line.last_data_ns
    rig.now_ns += NS_PER_S
    line.fetched(rig.instrument, b"body", lambda instrument, body: rig.book(line)())

    assert line.last_data_ns == heard_ns
    assert rig.intake.counters.of("tiny").last_data_ns == heard_ns


def test_a_refusal_points_at_its_frame() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line)
    rig.frame(line, lambda: line.refuse("bad number"))

    (bad,) = (note for note in rig.intake.notes if isinstance(note, Quarantined))
    assert bad.frame_index == 1


def test_the_lag_is_that_of_messages_that_say_when_they_were_made() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, rig.book(line))
    for _ in range(400):
        rig.frame(line, lambda: line.level(rig.instrument, 0, 5, 2, rig.now_ns - 40 * NS_PER_MS))
    rig.now_ns += 3600 * NS_PER_S
    for n in range(400):  # a trade tells no lag, least of all that of the level an hour before
        rig.frame(line, lambda n=n: line.trade(rig.instrument, BUY, 5, 1, rig.now_ns, str(n)))

    assert rig.intake.counters.of("tiny").lag_ms == pytest.approx(40.0, abs=0.1)


def test_a_trade_is_remembered_for_at_least_as_many_trades_as_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "TRADES_REMEMBERED", 10)
    rig = Rig()
    line = rig.line()
    for n in range(100):
        rig.frame(line, lambda n=n: line.trade(rig.instrument, BUY, 5, 1, 0, str(n)))
        rig.frame(line, lambda n=n: line.trade(rig.instrument, BUY, 5, 1, 0, str(max(0, n - 9))))

    assert rig.kinds() == [TRADE] * 100
    rig.frame(line, lambda: line.trade(rig.instrument, BUY, 5, 1, 0, "0"))
    assert rig.kinds() == [TRADE] * 101  # forgotten, so that memory is bounded


def test_outcomes_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "OUTCOMES_REMEMBERED", 10)
    rig = Rig()
    for n in range(100):
        rig.intake.outcome(str(n), 1.0, "tiny")
        rig.intake.outcome(str(n), 1.0, "tiny")

    assert len(rig.intake.notes) == 101  # and the instrument's
    assert len(rig.intake._outcomes) == 10


def test_a_new_segment_names_what_is_alive_and_nothing_else() -> None:
    rig = Rig()
    first = rig.line()
    rig.line()
    rig.intake.drop_connection(first.number, "lost", planned=False)

    assert [note.conn for note in rig.intake.preamble if isinstance(note, Connected)] == [1]


def test_levels_before_the_first_book_are_passed_over() -> None:
    rig = Rig()
    line = rig.line()
    rig.frame(line, lambda: line.level(rig.instrument, 0, 5, 1, UNKNOWN_NS))
    rig.frame(line, rig.book(line))
    rig.frame(line, lambda: line.level(rig.instrument, 0, 6, 1, UNKNOWN_NS))

    assert rig.kinds() == [BOOK, LEVEL]


def test_a_table_of_names_from_outside_is_bounded() -> None:
    table = Counters().of("tiny").refused
    for n in range(1000):
        count(table, f"reason {n}")
    count(table, "reason 7")

    assert len(table) == 201
    assert (table["reason 7"], table["other"]) == (2, 800)


def test_lateness_is_a_quantile_of_the_last_ticks() -> None:
    counters = Counters()
    assert counters.lateness_ms(0.99) == 0.0
    counters.late_ns.extend(n * NS_PER_MS for n in range(1000, 0, -1))

    assert (counters.lateness_ms(0.5), counters.lateness_ms(0.99)) == (501.0, 991.0)

"""Books held against REST, loops that fail, and windows that are told, listed again or gone."""

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from observer.backoff import Backoff
from observer.capture import site as site_module
from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.outcomes import Pending
from observer.capture.probe import same_book
from observer.capture.site import LASTING, Site
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, Line, RestError, Selection
from observer.records import UNKNOWN_NS
from observer.store.batch import MarketSeen
from observer.venues.polymarket.market_stream import MarketStream
from tests.observer.capture.test_site import Rig, heard_after_the_close, listing, recording
from tests.samples.tiny_venue import TinyDecoder, TinyVenue, until

AGREES, DENIES = b"[[[5, 1]], [[7, 1]]]", b"[[[6, 2]], [[8, 2]]]"


@pytest.fixture(autouse=True)
def _no_checks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's own checks come before the first book, and then too late to matter."""
    monkeypatch.setattr(site_module, "CHECK_S", 600.0)
    monkeypatch.setattr(site_module, "DISCOVER_S", 0.05)
    monkeypatch.setattr(site_module, "LINGER_NS", NS_PER_S // 20)


async def ready(rig: Rig, *answers: bytes) -> Instrument:
    """Wait for the books; REST gives these answers, the last one for ever. Returns the book that is checked first."""
    books = rig.intake.instruments
    await until(lambda: len(books) == 2 and all(i.book.is_valid for i in books.values()), "the books")
    waiting = list(answers)

    async def snapshot(rest: object, instrument: Instrument) -> bytes:
        rig.venue.fetched.append(instrument.key)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    rig.venue.snapshot = snapshot  # type: ignore[method-assign]
    return next(iter(books.values()))


def test_each_book_has_its_turn(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            await ready(rig, AGREES)
            for _ in range(4):
                await rig.site._check_next()

            assert rig.venue.fetched == ["w-up", "w-down", "w-up", "w-down"]
            assert rig.intake.gaps == {}

    asyncio.run(play())


def test_a_denied_book_was_last_right_when_it_was_last_confirmed(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            up = await ready(rig, AGREES, AGREES, DENIES)
            before_ns = up.confirmed_ns
            await rig.site._check_next()
            await rig.site._check_next()
            confirmed_ns = up.confirmed_ns
            assert confirmed_ns > before_ns
            rig.server.greeting = []
            await rig.site._check_next()

            gap = rig.intake.gaps[up.number]
            assert (gap.start_ns, gap.reason) == (confirmed_ns, site_module.REST_DISAGREES)
            await until(lambda: up.book.best(0) == 6, "the book that REST has")

    asyncio.run(play())


def test_an_answer_that_takes_long_confirms_the_time_it_was_asked_for(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            up = await ready(rig, AGREES)
            answered_ns: list[int] = []

            async def slowly(rest: object, instrument: Instrument) -> bytes:
                answered_ns.append(rig.intake.clock.now_ns())  # the venue looks, then the answer travels
                await asyncio.sleep(0.05)
                return AGREES

            before_ns = up.confirmed_ns
            rig.venue.snapshot = slowly  # type: ignore[method-assign]
            await rig.site._check_next()

            assert before_ns < up.confirmed_ns <= answered_ns[0]

    asyncio.run(play())


def test_one_disagreement_may_be_the_time_between(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            up = await ready(rig, DENIES, AGREES)
            await rig.site._check_next()

            assert up.book.is_valid
            assert rig.intake.gaps == {}

    asyncio.run(play())


def test_a_book_that_moved_while_rest_was_asked_is_not_judged(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            up = await ready(rig, DENIES)
            answer = rig.venue.snapshot

            async def slowly(rest: object, instrument: Instrument) -> bytes:
                version = instrument.book.version
                rig.server.send("level", instrument.key, 0, 3, 1)
                await until(lambda: instrument.book.version > version, "the level")
                return await answer(rest, instrument)  # type: ignore[arg-type]

            rig.venue.snapshot = slowly  # type: ignore[method-assign]
            await rig.site._check_next()

            assert up.book.is_valid
            assert rig.intake.gaps == {}

    asyncio.run(play())


def test_a_book_that_another_connection_has_taken_over_is_not_judged(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            up = await ready(rig, DENIES)
            up.owner = 99
            await rig.site._check_next()

            assert rig.intake.gaps == {}

    asyncio.run(play())


def test_what_counts_is_the_best_levels_and_an_answer_without_a_book_denies_nothing() -> None:
    venue, up = TinyVenue("ws://"), Instrument("tiny", "a", "m", 1, "BTC")
    up.book.replace([(5, 1)], [(7, 1)])
    (plan,) = venue.plan([up])

    assert same_book(venue, plan, up, b"[[[4, 0], [5, 1]], [[6, 0], [7, 1]]]")
    assert not same_book(venue, plan, up, b"[[[5, 1]], [[7, 2]]]")
    assert not same_book(venue, plan, up, b"[[[5, 2]], [[7, 1]]]")
    venue.decoder = lambda plan, line: Mute()  # type: ignore[method-assign, assignment]
    assert same_book(venue, plan, up, b"an error page") is None


def test_an_answer_of_before_the_last_change_denies_nothing() -> None:
    venue, up = TinyVenue("ws://"), Instrument("tiny", "a", "m", 1, "BTC")
    up.book.replace([(5, 1)], [(7, 1)])
    (plan,) = venue.plan([up])
    venue.decoder = lambda plan, line: Dated(line)  # type: ignore[method-assign, assignment]

    verdicts = []
    for changed_ns in (UNKNOWN_NS, 99, 100, 101):
        up.venue_ns = changed_ns
        verdicts.append([same_book(venue, plan, up, book) for book in (AGREES, DENIES)])

    assert verdicts == [[True, False], [True, False], [True, False], [True, None]]


def test_polymarkets_books_of_before_the_last_change_deny_nothing() -> None:
    up = Instrument("polymarket", "7", "m", 1, "BTC")
    up.book.replace([(5 * 10**8, 10**9)], [(6 * 10**8, 10**9)])
    venue = TinyVenue("ws://")
    (plan,) = venue.plan([up])
    venue.decoder = lambda plan, line: MarketStream(plan.instruments, line)  # type: ignore[method-assign, assignment]
    answer = {"asset_id": "7", "market": "m", "timestamp": "1795790000000", "hash": "h",
              "bids": [{"price": "0.4", "size": "1"}], "asks": [{"price": "0.6", "size": "1"}]}  # fmt: skip
    payload, made_ns = json.dumps(answer).encode(), 1_795_790_000 * NS_PER_S

    verdicts = []
    for changed_ns in (made_ns - 1, made_ns + 1):
        up.venue_ns = changed_ns
        verdicts.append(same_book(venue, plan, up, payload))

    assert verdicts == [False, None]


class Dated(TinyDecoder):
    """A decoder of REST books that were made at 100 by the venue's clock."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read the book."""
        bids, asks = ([tuple(level) for level in side] for side in json.loads(payload))
        self._line.book(instrument, bids, asks, 100)


class Mute:
    """A decoder that finds no book."""

    def message(self, payload: bytes) -> bool:
        """Nothing."""
        return False

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Nothing."""


def test_a_window_is_told_with_the_spacing_of_the_grid_and_not_again_once_it_has_closed(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w1", -1, 0.3)
        one = replace(one, market=replace(one.market, tick_ns=7))
        async with recording(tmp_path, [one, listing("w2", -1, 60)]) as rig:
            await heard_after_the_close(rig, one)
            await until(lambda: set(rig.ticker.markets) == {"w2"}, "the first window's end")
            await asyncio.sleep(0.3)  # it goes on being listed

            told = [(note.row["market_id"], note.row["tick_ns"]) for note in rig.notes(MarketSeen)]
            assert told == [("w1", rig.ticker.tick_ns), ("w2", rig.ticker.tick_ns)]

    asyncio.run(play())


def test_a_stream_that_nothing_needs_any_more_is_closed(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 0.4)
        async with recording(tmp_path, [one]) as rig:
            await heard_after_the_close(rig, one)
            await until(lambda: not rig.site.streams, "the stream's end")
            await until(lambda: rig.server.sockets[0].is_disconnected, "the connection's end")
            assert rig.intake.preamble == ()

    asyncio.run(play())


def test_a_site_that_ends_closes_its_streams(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, [listing("w", -1, 60)]) as rig:
            await until(lambda: rig.server.sockets, "the connection")
            sockets, rig.server.sockets = rig.server.sockets, []
        assert rig.site.streams["all"].connection is not None
        assert rig.site.streams["all"].connection.done.result() == "no longer wanted"
        await until(lambda: sockets[0].is_disconnected, "the connection's end")

    asyncio.run(play())


def _site(tmp_path: Path) -> Site:
    intake = Intake(Clock(), Counters())
    pending = Pending(tmp_path / "pending.json")
    ticker = Ticker(intake, NS_PER_S)
    return Site(TinyVenue("ws://"), Selection(), intake, ticker, None, pending, random.Random(1))  # type: ignore[arg-type]


def test_only_failures_in_a_row_are_a_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "Backoff", lambda rng: Backoff(rng, base_s=0.001, cap_s=0.001))
    site, calls, complaints = _site(tmp_path), [], []

    async def mostly_fail() -> None:
        calls.append(1)
        complaints.append(dict(site.failing))
        if len(calls) % LASTING:
            raise RestError("HTTP 503", 503)

    async def play() -> None:
        loop = asyncio.create_task(site._every(0.0, mostly_fail, "discovery"))
        await until(lambda: len(calls) > 5 * LASTING, "some rounds")
        loop.cancel()

    asyncio.run(play())
    assert complaints[: 5 * LASTING] == [{}] * 5 * LASTING


def test_a_loop_waits_as_long_as_the_venue_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "Backoff", lambda rng: Backoff(rng, base_s=0.001, cap_s=0.001))
    site, calls = _site(tmp_path), []

    async def refused() -> None:
        calls.append(1)
        raise RestError("HTTP 429", 429, 60.0)

    async def play() -> None:
        loop = asyncio.create_task(site._every(0.0, refused, "discovery"))
        await asyncio.sleep(0.2)
        loop.cancel()

    asyncio.run(play())
    assert len(calls) == 1

"""One venue from discovery to outcome: windows come and go, lost books are fetched, standing ones are checked."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from observer.capture import site as site_module
from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.outcomes import FIRST_ASK_S, Pending
from observer.capture.site import REST_DISAGREES, Site
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, Listing, RestError, Selection
from observer.records import DOWN, UP
from observer.store.batch import GapSeen, MarketEnded, MarketSeen, OutcomeSeen
from tests.samples.tapes import make_market
from tests.samples.tiny_venue import TinyServer, TinyVenue, until


def listing(name: str, opens_s: float, closes_s: float, *, key: str = "", symbol: str = "BTC") -> Listing:
    """A window around now, with an Up and a Down book."""
    now_ns = Clock().now_ns()
    market = replace(
        make_market(), venue="tiny", market_id=name, symbol=symbol,
        open_ns=now_ns + int(opens_s * NS_PER_S), close_ns=now_ns + int(closes_s * NS_PER_S),
    )  # fmt: skip
    key = key or name
    up = Instrument("tiny", f"{key}-up", name, UP, symbol)
    down = Instrument("tiny", f"{key}-down", name, DOWN, symbol)
    return Listing(market, (up, down), tags=("crypto",))


ALL = Selection()


@dataclass
class Rig:
    """A site recording a server."""

    server: TinyServer
    venue: TinyVenue
    intake: Intake
    ticker: Ticker
    pending: Pending
    site: Site

    def notes(self, kind: type) -> list:
        """Notes of one kind so far."""
        return [note for note in self.intake.notes if isinstance(note, kind)]


@asynccontextmanager
async def recording(
    tmp_path: Path, listings: list[Listing], selection: Selection = ALL, before: object = None
) -> AsyncIterator[Rig]:
    """A site that runs; the server greets with a book for each instrument of `listings`."""
    async with TinyServer() as server:
        keys = [i.key for one in listings for i in one.instruments]
        server.greeting = [["book", key, [[5, 1]], [[7, 1]]] for key in dict.fromkeys(keys)]
        venue = TinyVenue(server.url, listings=listings)
        intake = Intake(Clock(), Counters())
        ticker = Ticker(intake, NS_PER_S // 2)
        pending = Pending(tmp_path / "pending.json")
        intake.ended = pending.known
        site = Site(venue, selection, intake, ticker, None, pending, random.Random(1))  # type: ignore[arg-type]
        rig = Rig(server, venue, intake, ticker, pending, site)
        if callable(before):
            before(rig)
        task = asyncio.create_task(site.run())
        try:
            await until(lambda: site.streams or task.done(), "the first discovery")
            yield rig
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def heard_after_the_close(rig: Rig, one: Listing, *, is_known: bool = True) -> None:
    """Its window closes, its book known or not, and then its connection speaks."""
    up = one.instruments[0]
    await until(lambda: up.book.is_valid is is_known and rig.intake.clock.now_ns() > one.market.close_ns, "the close")
    rig.server.send("trade", up.key, "the last")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops' waits, shortened."""
    monkeypatch.setattr(site_module, "DISCOVER_S", 0.05)
    monkeypatch.setattr(site_module, "END_S", 0.05)
    monkeypatch.setattr(site_module, "CHECK_S", 0.05)
    monkeypatch.setattr(site_module, "LINGER_NS", NS_PER_S // 20)
    monkeypatch.setattr(site_module, "BOOK_WAIT_S", 0.3)


def test_a_listed_window_is_recorded_and_a_closed_one_let_go(tmp_path: Path) -> None:
    async def play() -> None:
        first, second = listing("w1", -1, 0.6), listing("w2", 0.4, 60)
        async with recording(tmp_path, [first, second]) as rig:
            await until(lambda: all(i.book.is_valid for i in first.instruments), "the books")
            assert set(rig.ticker.markets) == {"w1", "w2"}
            await heard_after_the_close(rig, first)
            await until(lambda: set(rig.ticker.markets) == {"w2"}, "the first window's end")
            await until(lambda: len(rig.server.sockets) == 2, "a connection without it")

            assert {i.key for i in rig.intake.instruments.values()} == {"w2-up", "w2-down"}
            assert [note.row["market_id"] for note in rig.notes(MarketSeen)] == ["w1", "w2"]
            assert {note.row["market_id"] for note in rig.intake.preamble if isinstance(note, MarketSeen)} == {"w2"}
            assert rig.notes(GapSeen) == []

    asyncio.run(play())


def test_a_closed_window_is_kept_until_its_connection_has_spoken_or_is_known_to_be_dead(tmp_path: Path) -> None:
    async def play() -> None:
        only = listing("w1", -1, 0.5)
        up, down = only.instruments
        async with recording(tmp_path, [only], before=lambda rig: setattr(rig.venue, "silence_s", 1.0)) as rig:
            await until(lambda: down.book.is_valid, "the books")
            spoke_ns = down.confirmed_ns
            await until(lambda: not rig.ticker.markets, "the window's end")

            assert rig.intake.clock.now_ns() - spoke_ns >= NS_PER_S  # though it closed after half of that
            gaps = [(gap.start_ns, gap.reason) for gap in rig.notes(GapSeen) if gap.ins == up.number]
            assert gaps[0] == (spoke_ns, "no data for 1 s")

    asyncio.run(play())


def test_a_closed_window_is_kept_while_its_books_change_hands(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w1", -1, 0.5)
        up = one.instruments[0]
        async with recording(tmp_path, [one, listing("w2", -1, 60)]) as rig:
            await until(lambda: up.book.is_valid, "the book")
            first, up.owner = up.owner, up.owner + 1
            await heard_after_the_close(rig, one)
            await asyncio.sleep(0.3)
            assert set(rig.ticker.markets) == {"w1", "w2"}
            up.owner = first
            await until(lambda: set(rig.ticker.markets) == {"w2"}, "the window's end")

    asyncio.run(play())


def test_a_window_that_closes_while_the_venue_is_asked_is_not_begun_again(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w1", -1, 0.6)
        async with recording(tmp_path, [one, listing("w2", -1, 60)]) as rig:

            async def slowly(*_: object) -> list[Listing]:
                await until(lambda: rig.notes(MarketEnded), "the end of the window")
                return rig.venue.listings

            await until(lambda: one.instruments[0].book.is_valid, "the book")
            rig.venue.discover = slowly  # type: ignore[method-assign]
            asked = asyncio.create_task(rig.site.discover())
            await heard_after_the_close(rig, one)
            await asked

            assert [note.row["market_id"] for note in rig.notes(MarketSeen)] == ["w1", "w2"]

    asyncio.run(play())


def test_a_strike_that_is_stated_late_is_taken_over(tmp_path: Path) -> None:
    async def play() -> None:
        early = listing("w", -1, 60)
        late = replace(early, market=replace(early.market, strike=97_000.5))
        assert early.market.strike is None
        async with recording(tmp_path, [early]) as rig:
            rig.venue.listings = [late]
            await until(lambda: len(rig.notes(MarketSeen)) == 2, "the market told again")

            first, second = rig.notes(MarketSeen)
            assert (first.number, first.row["strike"]) == (second.number, None)
            assert second.row["strike"] == 97_000.5

    asyncio.run(play())


def test_windows_cut_from_one_market_share_its_books(tmp_path: Path) -> None:
    async def play() -> None:
        first, second = listing("m#13", -1, 0.5, key="m"), listing("m#14", 0.3, 60, key="m")
        async with recording(tmp_path, [first, second]) as rig:
            await heard_after_the_close(rig, first)
            await until(lambda: set(rig.ticker.markets) == {"m#14"}, "the first window's end")

            assert {i.key for i in rig.intake.instruments.values()} == {"m-up", "m-down"}
            assert all(i.book.is_valid for i in rig.intake.instruments.values())
            assert len({(note.up, note.down) for note in rig.notes(MarketSeen)}) == 1

    asyncio.run(play())


def test_a_gap_that_goes_on_in_another_window_is_told_to_the_one_that_has_closed(tmp_path: Path) -> None:
    async def play() -> None:
        first, second = listing("m#13", -1, 0.5, key="m"), listing("m#14", 0.3, 60, key="m")
        up = first.instruments[0]
        async with recording(tmp_path, [first, second], before=_rest_is_down) as rig:
            await until(lambda: up.book.is_valid, "the books")
            rig.intake.open_gap(up, up.seen_ns, "hole")
            await heard_after_the_close(rig, first, is_known=False)
            await until(lambda: set(rig.ticker.markets) == {"m#14"}, "the first window's end")

            (told,) = rig.notes(GapSeen)
            assert (told.start_ns, told.reason) == (up.seen_ns, "hole")
            assert told.end_ns > first.market.close_ns
            assert rig.intake.gaps[up.number].start_ns == told.end_ns
            assert [note.market_id for note in rig.notes(MarketEnded)] == ["m#13"]

    asyncio.run(play())


def test_only_what_was_asked_for_is_recorded(tmp_path: Path) -> None:
    async def play() -> None:
        listings = [listing("btc", -1, 60), listing("eth", -1, 60, symbol="ETH")]
        async with recording(tmp_path, listings, Selection(("eth",))) as rig:
            assert set(rig.ticker.markets) == {"eth"}

    asyncio.run(play())


def test_a_lost_book_is_fetched(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)
        async with recording(tmp_path, [one]) as rig:
            up = one.instruments[0]
            rig.venue.books = {key: b"[[[6, 2]], [[8, 2]]]" for key in ("w-up", "w-down")}
            await until(lambda: up.book.is_valid, "the books")
            rig.server.send("hole", "w-up")
            await until(lambda: up.book.best(0) == 6, "the fetched book")

            assert [gap.reason for gap in rig.notes(GapSeen)][:1] == ["hole in the sequence"]

    asyncio.run(play())


def test_a_book_that_stays_lost_costs_the_connection(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)
        async with recording(tmp_path, [one], before=_rest_is_down) as rig:
            await until(lambda: one.instruments[0].book.is_valid, "the books")
            rig.server.send("hole", "w-up")
            await until(lambda: len(rig.server.sockets) == 2, "a new connection")

            await until(lambda: one.instruments[0].book.is_valid, "the book on the new connection")
            assert any("still unknown" in reason for reason in rig.intake.counters.of("tiny").closed)

    asyncio.run(play())


def _rest_is_down(rig: Rig) -> None:
    async def fail(rest: object, instrument: Instrument) -> bytes:
        raise RestError("no answer")

    rig.venue.snapshot = fail  # type: ignore[method-assign]


def test_a_standing_book_that_rest_denies_twice_is_lost(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)
        async with recording(tmp_path, [one], before=_rest_denies) as rig:
            await until(lambda: rig.notes(GapSeen), "the gap", 8.0)

            assert rig.notes(GapSeen)[0].reason == REST_DISAGREES
            assert any(i.book.best(0) == 6 for i in one.instruments)

    asyncio.run(play())


def _rest_denies(rig: Rig) -> None:
    rig.venue.books = {key: b"[[[6, 2]], [[8, 2]]]" for key in ("w-up", "w-down")}


def test_a_standing_book_that_rest_confirms_is_left_alone(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)

        def agree(rig: Rig) -> None:
            rig.venue.books = {key: b"[[[5, 1]], [[7, 1]]]" for key in ("w-up", "w-down")}

        async with recording(tmp_path, [one], before=agree) as rig:
            await until(lambda: len(rig.venue.fetched) > 5, "some checks")

            assert rig.notes(GapSeen) == []

    asyncio.run(play())


def test_an_outcome_is_asked_for_until_it_is_known_and_survives_a_restart(tmp_path: Path) -> None:
    one = listing("w", -60 - FIRST_ASK_S, -FIRST_ASK_S)
    pending = Pending(tmp_path / "pending.json")
    pending.add(one)
    now_ns = Clock().now_ns()
    assert [market.listing.market.market_id for market in pending.due("tiny", now_ns)] == ["w"]
    assert pending.due("tiny", now_ns) == []  # the next question comes later
    assert pending.due("other", now_ns) == []
    (tmp_path / "pending.json").write_bytes(pending.to_bytes())

    again = Pending(tmp_path / "pending.json")
    (market,) = again.due("tiny", now_ns)
    assert market.listing.market == one.market
    assert [i.key for i in market.listing.instruments] == ["w-up", "w-down"]
    assert market.listing.tags == one.tags
    again.known("w")
    assert again.is_changed
    assert again.to_bytes() == b"[]"


@pytest.mark.parametrize(
    "content",
    [b"", b'[{"market"', b"[{}]", b'[{"market": {}, "condition_id": "", "tags": [], "instruments": []}]', b"[7]", b"7"],
    ids=["empty", "torn", "no-keys", "no-market", "a-number-in-it", "a-number"],
)
def test_a_damaged_file_of_pending_markets_is_set_aside_and_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pending.json"
    path.write_bytes(content)

    assert Pending(path).markets == {}
    assert not path.exists()
    assert (tmp_path / "pending.bad").read_bytes() == content
    assert "pending.json cannot be read" in caplog.text


def test_a_market_is_asked_about_after_its_close_ever_more_rarely_and_not_for_ever(tmp_path: Path) -> None:
    pending = Pending(tmp_path / "pending.json")
    one = listing("w", -60, 10)
    pending.add(one)
    asked: list[int] = []
    for second in range(4 * 86_400):
        now_ns = one.market.close_ns + second * NS_PER_S
        asked += [second for _ in pending.due("tiny", now_ns)]

    assert asked[:6] == [20, 40, 80, 160, 320, 640]
    assert {b - a for a, b in itertools.pairwise(asked[6:])} == {600}
    assert 3 * 86_400 - 600 <= asked[-1] <= 3 * 86_400
    assert pending.markets == {}
    assert pending.is_changed


def test_only_the_last_window_of_a_long_market_has_an_outcome(tmp_path: Path) -> None:
    pending = Pending(tmp_path / "pending.json")
    one = listing("m#13", -10, 10)
    pending.add(replace(one, ends_ns=one.market.close_ns + 1))
    assert pending.markets == {}
    pending.add(replace(one, ends_ns=one.market.close_ns))
    assert set(pending.markets) == {"m#13"}


def test_the_venues_word_becomes_a_note_and_ends_the_asking(tmp_path: Path) -> None:
    async def play() -> None:
        closed = listing("old", -60 - FIRST_ASK_S, -FIRST_ASK_S)

        def ended(rig: Rig) -> None:
            rig.pending.add(closed)
            rig.venue.ends = {"old": 1.0}

        async with recording(tmp_path, [listing("w", -1, 60)], before=ended) as rig:
            await until(lambda: rig.notes(OutcomeSeen), "the outcome")

            (note,) = rig.notes(OutcomeSeen)
            assert (note.market_id, note.payoff_up, note.source) == ("old", 1.0, "tiny")
            assert "old" not in rig.pending.markets

    asyncio.run(play())


def test_an_outcome_is_told_once_and_a_contradiction_twice() -> None:
    intake = Intake(Clock(), Counters(), "inferred")
    for payoff_up, source in ((1.0, "socket"), (1.0, "rest"), (0.0, "rest")):
        intake.outcome("w", payoff_up, source)

    told = [(note.payoff_up, note.source, note.kind) for note in intake.notes if isinstance(note, OutcomeSeen)]
    assert told == [(1.0, "socket", "inferred"), (0.0, "rest", "inferred")]


def test_a_discovery_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)

        def fail_twice(rig: Rig) -> None:
            real, tries = rig.venue.discover, []

            async def discover(rest: object, selection: Selection, now_ns: int) -> list[Listing]:
                tries.append(now_ns)
                if len(tries) < 3:
                    raise RestError("HTTP 503", 503, 0.01)
                return await real(rest, selection, now_ns)  # type: ignore[arg-type]

            rig.venue.discover = discover  # type: ignore[method-assign]

        async with recording(tmp_path, [one], before=fail_twice) as rig:
            await until(lambda: one.instruments[0].book.is_valid, "the books")

            assert set(rig.ticker.markets) == {"w"}

    asyncio.run(play())

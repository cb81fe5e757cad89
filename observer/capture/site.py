"""One venue being recorded: what it lists, which streams carry it, whether its books are right, how its markets ended.

Five small loops: discover (what is there), end (let closed windows go), fetch (books that somebody asked for), check
(books against REST), and outcomes (of closed markets). A failure in one is said and tried again; one that lasts is
shown in `/health`. It never ends another, nor another venue.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from observer.backoff import Backoff
from observer.capture.connection import Connection
from observer.capture.intake import Intake, OpenGap
from observer.capture.outcomes import Pending
from observer.capture.probe import same_book
from observer.capture.stream import Stream
from observer.capture.ticker import Ticker
from observer.kit import log
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, Listing, Rest, RestError, Selection, Venue

_LOG = log.get("site")
DISCOVER_S = 30.0
END_S = 1.0  # three before the log's segment is sealed, which is five seconds after each quarter of an hour
CHECK_S = 0.5  # one book each, the one that was not checked for longest
BOOK_WAIT_S = 10.0  # a book that is still lost so long after it was first fetched costs the connection its life
LINGER_NS = 2 * NS_PER_S  # after its close a market stays for its last tick and trades
REST_DISAGREES = "book disagrees with REST"
LASTING = 4  # failures in a row: more than one bad answer


class Site:
    """Records one venue.

    Args:
        venue: the protocol.
        selection: which markets.
        intake, ticker: where frames and ticks go.
        rest: HTTP.
        pending: markets whose outcome is still to come.
        rng: for back-off jitter.

    Attributes:
        failing: which loops fail again and again, and why.
    """

    def __init__(
        self,
        venue: Venue,
        selection: Selection,
        intake: Intake,
        ticker: Ticker,
        rest: Rest,
        pending: Pending,
        rng: random.Random,
    ) -> None:
        self.venue, self.selection = venue, selection
        self._intake, self._ticker, self._rest, self._pending, self._rng = intake, ticker, rest, pending, rng
        self.listings: dict[str, tuple[Listing, int]] = {}
        self.streams: dict[str, Stream] = {}
        self.failing: dict[str, str] = {}
        self._instruments: dict[str, Instrument] = {}
        self._wanted: dict[int, Connection] = {}  # instrument number -> who asked for its book
        self._checked: dict[int, int] = {}  # instrument number -> when
        self._retries: dict[tuple[int, int], Backoff] = {}  # connection, instrument -> waits of a fetch that fails
        self._resting: set[tuple[int, int]] = set()  # of these, those that wait now
        self._insisted: dict[int, tuple[int, OpenGap]] = {}  # instrument -> connection and loss that are waited for
        self._asked = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Record until cancelled."""
        for feed in self.venue.feeds(self.selection):
            self._known(feed)
        self._plan()  # underlyings are recorded even while nothing can be discovered
        loops = [
            self._every(DISCOVER_S, self.discover, "discovery"),
            self._every(END_S, self.end_closed, "ends"),
            self._every(CHECK_S, self._check_next, "check"),
            self._every(5.0, self._ask_outcomes, "outcomes"),
            self._every(0.0, self._fetch_next, "books"),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(loop)
        finally:
            await asyncio.gather(*(stream.stop() for stream in self.streams.values()))

    async def discover(self) -> None:
        """Bring listings and streams up to what the venue lists now."""
        now_ns = self._intake.clock.now_ns()
        found = await self.venue.discover(self._rest, self.selection, now_ns)
        for listing in found:
            known = self.listings.get(listing.market.market_id)
            if known is not None:
                self._learn(*known, listing)
            elif listing.market.close_ns > self._intake.clock.now_ns() and self.selection.wants(listing):
                self._add(listing)
        self._plan()

    async def end_closed(self) -> None:
        """Let go the windows that have closed; their streams follow with the next discovery."""
        now_ns = self._intake.clock.now_ns()
        for market_id, (listing, _) in list(self.listings.items()):
            close_ns = listing.market.close_ns
            if close_ns + LINGER_NS < now_ns and all(self._is_told_to(close_ns, i) for i in listing.instruments):
                self._end(market_id)

    def renew(self) -> None:
        """Open every connection anew, beside the old one."""
        for stream in self.streams.values():
            stream.change(stream.plan)

    def _add(self, listing: Listing) -> None:
        shared = tuple(self._known(instrument) for instrument in listing.instruments)
        market = replace(listing.market, tick_ns=self._ticker.tick_ns)
        listing = replace(listing, market=market, instruments=shared)
        number = self._intake.add_market(listing)
        self.listings[listing.market.market_id] = (listing, number)
        self._ticker.add(listing, number)
        self._pending.add(listing)

    def _learn(self, known: Listing, number: int, found: Listing) -> None:
        """Take over a strike that the venue did not state before the window opened."""
        if known.market.strike is None and found.market.strike is not None:
            listing = replace(known, market=replace(known.market, strike=found.market.strike))
            self.listings[listing.market.market_id] = (listing, number)
            self._intake.describe_market(number, listing)

    def _known(self, instrument: Instrument) -> Instrument:
        """The instrument of this key: windows cut from one market share their books."""
        if instrument.key not in self._instruments:
            self._intake.add_instrument(instrument)
            self._instruments[instrument.key] = instrument
        return self._instruments[instrument.key]

    def _end(self, market_id: str) -> None:
        """A window has closed; instruments that no other window needs go with it."""
        listing, number = self.listings.pop(market_id)
        self._ticker.drop(market_id)
        needed = {i.key for other, _ in self.listings.values() for i in other.instruments}
        for instrument in listing.instruments:
            if instrument.key in needed:
                self._intake.tell_gap(instrument)
            elif self._instruments.pop(instrument.key, None) is not None:
                self._intake.drop_instrument(instrument)
                self._checked.pop(instrument.number, None)
                self._insisted.pop(instrument.number, None)
        self._intake.drop_market(number, market_id)

    def _is_told_to(self, close_ns: int, instrument: Instrument) -> bool:
        """Whether its connection has spoken since the close; one that has not may have died without a word before."""
        stream = self._stream_of(instrument)
        if not instrument.book.is_valid or stream is None or stream.connection is None:
            return True
        is_owner = stream.connection.number == instrument.owner  # else one takes over from another just now
        return is_owner and stream.connection.line.last_data_ns >= close_ns

    def _plan(self) -> None:
        """Open, change and close streams so that they carry the instruments there are."""
        plans = {plan.name: plan for plan in self.venue.plan(list(self._instruments.values()))}
        for name in [name for name in self.streams if name not in plans]:
            self._spawn(self.streams.pop(name).stop())
        for name, plan in plans.items():
            stream = self.streams.get(name)
            if stream is None:
                backoff = Backoff(self._rng)
                self.streams[name] = Stream(self._intake, self.venue, plan, self._want_book, backoff)
            elif {id(i) for i in stream.plan.instruments} != {id(i) for i in plan.instruments}:
                stream.change(plan)

    def _want_book(self, connection: Connection, instrument: Instrument) -> None:
        self._wanted[instrument.number] = connection
        self._asked.set()

    async def _fetch_next(self) -> None:
        """Fetch the next book that a decoder asked for."""
        while not self._wanted:
            self._asked.clear()
            await self._asked.wait()
        number, connection = next(iter(self._wanted.items()))
        del self._wanted[number]
        instrument = self._intake.instruments.get(number)
        asking = connection.number, number
        if instrument is None or connection.done.done():
            self._retries.pop(asking, None)
            return
        try:
            payload = await self.venue.snapshot(self._rest, instrument)
        except Exception as error:  # noqa: BLE001 - whatever it was, this book is asked for again
            _LOG.warning("%s: no book of %s by REST (%r)", self.venue.name, instrument.key, error)
            self._spawn(self._again(connection, instrument, getattr(error, "retry_after_s", 0.0)))
        else:
            self._retries.pop(asking, None)
            connection.snapshot(instrument, payload)
        gap = self._intake.gaps.get(number)
        if gap is not None and self._insisted.get(number) != (connection.number, gap):
            self._insisted[number] = connection.number, gap
            self._spawn(self._insist(connection, instrument, gap))

    async def _again(self, connection: Connection, instrument: Instrument, asked_s: float) -> None:
        """Ask for a book again, each time after a longer wait, until it is known or its connection is gone."""
        asking = connection.number, instrument.number
        if asking in self._resting:
            return
        self._resting.add(asking)
        backoff = self._retries.setdefault(asking, Backoff(self._rng))
        await asyncio.sleep(backoff.next_s(asked_s))
        self._resting.remove(asking)
        if instrument.book.is_valid or connection.done.done():
            self._retries.pop(asking, None)
        else:
            self._want_book(connection, instrument)

    async def _insist(self, connection: Connection, instrument: Instrument, gap: OpenGap) -> None:
        """Open the connection anew where a loss lasts; one that came after it has its own time."""
        await self._intake.clock.sleep(BOOK_WAIT_S)
        is_lost = self._intake.gaps.get(instrument.number) is gap and instrument.owner in (connection.number, -1)
        if is_lost and not connection.done.done():
            connection.close(f"book of {instrument.key[:20]} still unknown after {BOOK_WAIT_S:g} s")

    async def _check_next(self) -> None:
        """Hold the next market's book against REST; two disagreements while it stood still make it lost.

        What was wrong then has been wrong since nobody knows when, so the gap begins where it was last known right.
        """
        books = [i for i in self._instruments.values() if i.token and i.book.is_valid]
        if not books:
            return
        instrument = min(books, key=lambda i: self._checked.get(i.number, 0))
        self._checked[instrument.number] = self._intake.clock.now_ns()
        stream = self._stream_of(instrument)
        if stream is None or stream.connection is None:
            return
        connection = stream.connection
        for _ in range(2):
            version, asked_ns = instrument.book.version, self._intake.clock.now_ns()
            payload = await self.venue.snapshot(self._rest, instrument)
            is_still = instrument.book.version == version and instrument.book.is_valid
            if not is_still or connection.done.done():
                return
            is_same = same_book(self.venue, connection.plan, instrument, payload)
            if is_same:
                instrument.confirmed_ns = asked_ns  # the answer may have been made just then, and lost data since
            if is_same is not False:
                return
            await self._intake.clock.sleep(1.0)
        if instrument.owner == connection.number:
            self._intake.deny(instrument, instrument.confirmed_ns, REST_DISAGREES)
            self._want_book(connection, instrument)

    def _stream_of(self, instrument: Instrument) -> Stream | None:
        carrying = (s for s in self.streams.values() if any(i is instrument for i in s.plan.instruments))
        return next(carrying, None)

    async def _ask_outcomes(self) -> None:
        """Ask how closed markets ended; one that cannot be asked does not hide the others."""
        failed: Exception | None = None
        for market in self._pending.due(self.venue.name, self._intake.clock.now_ns()):
            try:
                ended = await self.venue.outcome(self._rest, market.listing)
            except (RestError, msgspec.MsgspecError) as error:
                failed = error
                continue
            if ended.payoff_up is not None:
                self._intake.outcome(market.listing.market.market_id, ended.payoff_up, ended.source)
        if failed is not None:
            raise failed

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]], what: str) -> None:
        """Do something again and again; a venue that refuses or answers nonsense is said and survived."""
        backoff = Backoff(self._rng)
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - what breaks at one venue must not end the others
                wait_s = backoff.next_s(getattr(error, "retry_after_s", 0.0))
                is_ours = not isinstance(error, RestError | msgspec.MsgspecError)
                about = f"{self.venue.name}: {what}"
                _LOG.warning("%s failed (%r); next try in %.1f s", about, error, wait_s, exc_info=is_ours)
                if backoff.failures >= LASTING:
                    self.failing[what] = f"{error!r}"[:200]
                await asyncio.sleep(wait_s)
            else:
                backoff.reset()
                self.failing.pop(what, None)
                await self._intake.clock.sleep(seconds)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

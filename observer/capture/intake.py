"""Everything that is recorded passes here once: numbers are given out, books kept, gaps opened and closed.

The intake owns the batch in the making. A `Line` per connection adds to it; the ticker adds ticks; the daemon takes
it away about twice a second. One thread, no locks.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.kit.clock import iso
from observer.ports import Instrument, Listing
from observer.records import DOWN, UP
from observer.store.batch import (
    LOST,
    Batch,
    ClockStep,
    Connected,
    Denied,
    Disconnected,
    Dropped,
    GapSeen,
    InstrumentSeen,
    MarketChanged,
    MarketEnded,
    MarketSeen,
    Note,
    OutcomeSeen,
)
from observer.store.market_rows import market_row

TRADES_REMEMBERED = 20_000
OUTCOMES_REMEMBERED = 5_000
NEVER_NS = 2**63 - 1
MUTE = "mute before the next connection took over"
OutcomeKind = Literal["official", "inferred", "synthetic"]


@dataclass(slots=True)
class OpenGap:
    """A book that is unknown since `start_ns`."""

    start_ns: int
    reason: str


class Intake:
    """The batch in the making and what its numbers mean.

    Attributes:
        raws, events, ticks, notes: the batch in the making; the lists stay the same objects when it is taken away.
        preamble: notes that name everything alive, swapped as a whole, for whoever starts a new segment.
        due_ns, before: `before` is called with the time of a frame that arrives at `due_ns` or later, before the frame
            is read, so that a tick that is due comes first.
        ended: called with a market's id when its outcome has come.

    Args:
        outcome_kind: what a venue's word on an outcome is worth: "official", unless the venue is an exchange of ours.
    """

    def __init__(self, clock: Clock, counters: Counters, outcome_kind: OutcomeKind = "official") -> None:
        self.clock, self.counters = clock, counters
        self._outcome_kind: OutcomeKind = outcome_kind
        self.raws: list[tuple[int, int, bytes]] = []
        self.events: list[Any] = []
        self.ticks: list[Any] = []
        self.notes: list[Note] = []
        self.preamble: tuple[Note, ...] = ()
        self.due_ns = NEVER_NS
        self.before: Callable[[int], None] = lambda recv_ns: None
        self.ended: Callable[[str], None] = lambda market_id: None
        self.instruments: dict[int, Instrument] = {}
        self.gaps: dict[int, OpenGap] = {}
        self._alive: dict[tuple[str, int | str], Note] = {}
        self._next = {"instrument": 0, "market": 0, "connection": 0}
        self._outcomes: dict[str, float] = {}
        self._seen_trades: set[int] = set()
        self._older_trades: set[int] = set()

    def add_instrument(self, instrument: Instrument) -> None:
        """Give an instrument its number."""
        instrument.number = self._number("instrument")
        self.instruments[instrument.number] = instrument
        self._name("instrument", instrument.number, InstrumentSeen(
            instrument.number, instrument.venue, instrument.key, instrument.market_id, instrument.token,
            instrument.symbol, instrument.source,
        ))  # fmt: skip

    def drop_instrument(self, instrument: Instrument) -> None:
        """Forget an instrument whose market has ended; an open gap ends with it."""
        self.close_gap(instrument, self.clock.now_ns())
        self.instruments.pop(instrument.number, None)
        self._forget("instrument", instrument.number)

    def add_market(self, listing: Listing) -> int:
        """Give a market its number; its instruments must have theirs."""
        number = self._number("market")
        self.describe_market(number, listing)
        return number

    def describe_market(self, number: int, listing: Listing) -> None:
        """Say what a market is, again where more has become known (its strike, once its window opens)."""
        books = {instrument.token: instrument.number for instrument in listing.instruments}
        self._name("market", number, MarketSeen(
            number, market_row(listing.market), listing.is_mirrored, listing.condition_id,
            books.get(UP, -1), books.get(DOWN, -1),
        ))  # fmt: skip

    def drop_market(self, number: int, market_id: str) -> None:
        """Forget a market that has ended; nothing about its window is told after this."""
        self.notes.append(MarketEnded(market_id, self.clock.now_ns()))
        self._forget("market", number)

    def add_connection(self, venue: str, name: str, url: str, instruments: Iterable[Instrument]) -> int:
        """Give a connection its number; later ones have higher numbers."""
        number = self._number("connection")
        carried = tuple(instrument.number for instrument in instruments)
        self._name("connection", number, Connected(number, venue, name, url, self.clock.now_ns(), carried))
        return number

    def drop_connection(self, number: int, reason: str, *, planned: bool) -> None:
        """Note that a connection ended."""
        self.notes.append(Disconnected(number, self.clock.now_ns(), reason, planned))
        self._forget("connection", number)

    def open_gap(self, instrument: Instrument, since_ns: int, reason: str) -> None:
        """The book is unknown from the last good frame on; a gap that is open already stays as it is.

        A connection may speak of a dropped instrument until the next one has taken over; nothing opens for it.
        """
        if instrument.number in self.gaps or instrument.number not in self.instruments:
            return
        self.gaps[instrument.number] = OpenGap(since_ns, reason)
        self.counters.of(instrument.venue).gaps += 1
        instrument.book.invalidate()
        self.events.append((LOST, instrument.owner, instrument.number, self.clock.now_ns(), reason))

    def deny(self, instrument: Instrument, since_ns: int, reason: str) -> None:
        """REST denied a book: it is unknown, and was wrong since some time after `since_ns`."""
        if instrument.number not in self.instruments:
            return
        self.notes.append(Denied(instrument.number, since_ns, self.clock.now_ns(), reason))
        self.open_gap(instrument, since_ns, reason)

    def close_gap(self, instrument: Instrument, now_ns: int) -> None:
        """The book is known again."""
        gap = self.gaps.pop(instrument.number, None)
        if gap is not None:
            self._tell_gap(instrument, gap, now_ns)

    def tell_gap(self, instrument: Instrument) -> None:
        """Tell the part of an open gap that lies behind us; the rest goes on under the same reason."""
        gap = self.gaps.get(instrument.number)
        if gap is not None:
            now_ns = self.clock.now_ns()
            self._tell_gap(instrument, gap, now_ns)
            gap.start_ns = now_ns

    def missed(self, instrument: Instrument, start_ns: int, end_ns: int, reason: str) -> None:
        """A span that turns out to have been a gap only after it has ended; the book is known by now."""
        self.counters.of(instrument.venue).gaps += 1
        self.notes.append(GapSeen(instrument.number, instrument.market_id, start_ns, end_ns, reason))

    def is_new_trade(self, instrument: Instrument, trade_id: str) -> bool:
        """Whether this trade was not seen before: overlapping and new connections send the same ones.

        The last 20,000 to 40,000 are remembered, by a 64-bit hash: a new one passes for a known one once in 10^14.
        """
        key = hash((instrument.number, trade_id))
        if key in self._seen_trades or key in self._older_trades:
            return False
        if len(self._seen_trades) >= TRADES_REMEMBERED:
            self._older_trades, self._seen_trades = self._seen_trades, set()
        self._seen_trades.add(key)
        return True

    def outcome(self, market_id: str, payoff_up: float, source: str) -> None:
        """Note how a market ended, once: venues say it on the socket and by REST."""
        if self._outcomes.get(market_id) == payoff_up:
            return
        if len(self._outcomes) >= OUTCOMES_REMEMBERED:
            del self._outcomes[next(iter(self._outcomes))]
        self._outcomes[market_id] = payoff_up
        self.notes.append(OutcomeSeen(market_id, payoff_up, source, self.clock.now_ns(), self._outcome_kind))
        self.ended(market_id)

    def changed(self, market_id: str, field_name: str, value: str) -> None:
        """Note that a market changed."""
        self.notes.append(MarketChanged(market_id, field_name, value, self.clock.now_ns()))

    def clock_step(self, by_ns: int) -> None:
        """Note that the wall clock jumped."""
        self.counters.clock_steps += 1
        self.notes.append(ClockStep(self.clock.now_ns(), by_ns))

    def dropped(self, what: str, rows: int, start_ns: int, end_ns: int, reason: str) -> None:
        """Note that something was not written."""
        self.notes.append(Dropped(what, rows, start_ns, end_ns, reason))

    def take(self) -> Batch:
        """The batch since the last call; open gaps are told again at the end by `finish`."""
        batch = Batch(
            0, self.clock.now_ns(), self.clock.mono_ns(),
            self.raws[:], self.events[:], self.ticks[:], self.notes[:],
        )  # fmt: skip
        self.raws.clear()
        self.events.clear()
        self.ticks.clear()
        self.notes.clear()
        return batch

    def finish(self) -> None:
        """The recorder stops: every open gap ends now, so that none is lost."""
        now_ns = self.clock.now_ns()
        for number in list(self.gaps):
            self.close_gap(self.instruments[number], now_ns)

    def __repr__(self) -> str:
        return f"Intake({len(self.instruments)} instruments, {len(self.gaps)} gaps open, {iso(self.clock.now_ns())})"

    def _tell_gap(self, instrument: Instrument, gap: OpenGap, end_ns: int) -> None:
        span = gap.start_ns, max(end_ns, gap.start_ns)
        self.notes.append(GapSeen(instrument.number, instrument.market_id, *span, gap.reason))

    def _number(self, what: str) -> int:
        number = self._next[what]
        self._next[what] = number + 1
        return number

    def _name(self, what: str, number: int, note: Note) -> None:
        self.notes.append(note)
        self._alive[what, number] = note
        self.preamble = tuple(self._alive.values())

    def _forget(self, what: str, number: int) -> None:
        self._alive.pop((what, number), None)
        self.preamble = tuple(self._alive.values())

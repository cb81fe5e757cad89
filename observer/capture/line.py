"""What a decoder says about one connection's frames, put into the batch (`observer.ports.Line`).

Only the connection that owns an instrument moves its book. A newer connection becomes owner with its first snapshot,
so while two overlap no book is ever fed twice and none is without a feed.
"""

from collections.abc import Callable, Sequence

from observer.capture.counters import count
from observer.capture.intake import Intake
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.ports import Instrument, Level
from observer.records import UNKNOWN_NS
from observer.store.batch import BOOK, LEVEL, PRICE, TRADE, Fetched, Quarantined

_LAG_WEIGHT = 0.02  # of the newest message in the smoothed lag

DISAGREES = "book disagrees with the venue's best prices"
# A venue may state its best prices a few messages before the last level that makes them so; after this it is our loss.
GRACE_NS = NS_PER_S


class LiveLine:
    """One connection's line into the intake.

    Args:
        intake: where everything goes.
        venue: whose connection it is.
        number: the connection's.
        send: puts a text frame on the socket.
        fetch: asks for an instrument's book by REST.
        reopen: closes the connection for a reason and opens a new one.
    """

    __slots__ = (
        "_clock", "_counters", "_doubts", "_events", "_fetch", "_intake", "_raws", "_reopen", "_send", "_venue_ns",
        "last_data_ns", "number", "recv_ns",
    )  # fmt: skip

    def __init__(
        self,
        intake: Intake,
        venue: str,
        number: int,
        *,
        send: Callable[[bytes], None],
        fetch: Callable[[Instrument], None],
        reopen: Callable[[str], None],
    ) -> None:
        self._intake, self.number = intake, number
        self._send, self._fetch, self._reopen = send, fetch, reopen
        self._events, self._raws = intake.events, intake.raws
        self._counters = intake.counters.of(venue)
        self._doubts: dict[int, tuple[Instrument, int, int]] = {}  # by instrument, of the message in hand
        self._clock = intake.clock.now_ns
        self._venue_ns = UNKNOWN_NS
        self.recv_ns = self.last_data_ns = intake.clock.now_ns()

    def receive(self, payload: bytes, read: Callable[[bytes], bool]) -> bool:
        """Take one message off the socket: stamp it, keep it raw, read it, check what it claims.

        Returns:
            Whether it was data.
        """
        self.recv_ns = recv_ns = self._clock()
        if recv_ns >= self._intake.due_ns:
            self._intake.before(recv_ns)
        self._raws.append((self.number, recv_ns, payload))
        events_before = len(self._events)
        self._venue_ns = UNKNOWN_NS
        is_data = read(payload)
        if self._doubts:
            self._check_doubts()
        counters = self._counters
        counters.messages += 1
        counters.payload_bytes += len(payload)
        counters.events += len(self._events) - events_before
        if is_data:
            self.last_data_ns = counters.last_data_ns = recv_ns
            if self._venue_ns != UNKNOWN_NS:
                counters.lag_ms += _LAG_WEIGHT * ((recv_ns - self._venue_ns) / NS_PER_MS - counters.lag_ms)
        return is_data

    def fetched(self, instrument: Instrument, payload: bytes, read: Callable[[Instrument, bytes], None]) -> None:
        """Take a book by REST: kept raw and read like a message, but no proof that the socket lives."""

        def read_book(body: bytes) -> bool:
            self._intake.notes.append(Fetched(len(self._raws) - 1, self.number, instrument.number))
            read(instrument, body)
            return False

        self.receive(payload, read_book)

    def book(
        self, instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level], venue_ns: int, seq: int = -1
    ) -> None:
        """A whole book; the newest connection that sends one owns the instrument from here on."""
        if instrument.owner > self.number:
            return
        if instrument.owner != self.number:
            self._take_over(instrument, is_unlike=not instrument.book.holds(bids, asks))
        instrument.seen_ns = instrument.confirmed_ns = instrument.agreed_ns = self.recv_ns
        instrument.doubted_ns, instrument.venue_ns = 0, venue_ns
        instrument.book.replace(bids, asks)
        self._events.append(
            (BOOK, self.number, instrument.number, self.recv_ns, venue_ns, seq, tuple(bids), tuple(asks))
        )
        self._intake.close_gap(instrument, self.recv_ns)

    def level(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, seq: int = -1) -> None:
        """The new total at one price."""
        book = instrument.book
        if instrument.owner != self.number or not book.is_valid:
            return
        book.set(side, price, size)
        instrument.seen_ns, instrument.venue_ns = self.recv_ns, venue_ns
        self._events.append((LEVEL, self.number, instrument.number, self.recv_ns, venue_ns, seq, side, price, size))
        self._venue_ns = venue_ns

    def trade(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, trade_id: str) -> None:
        """A trade, once."""
        if self._intake.is_new_trade(instrument, trade_id):
            self._events.append(
                (TRADE, self.number, instrument.number, self.recv_ns, venue_ns, side, price, size, trade_id)
            )

    def price(self, instrument: Instrument, price: int, venue_ns: int) -> None:
        """A bare price of an underlying; the newest connection that sends one owns the instrument."""
        if instrument.owner > self.number:
            return
        if instrument.owner != self.number:
            self._take_over(instrument, is_unlike=False)
        instrument.seen_ns = self.recv_ns
        if instrument.number in self._intake.gaps:
            self._intake.close_gap(instrument, self.recv_ns)
        self._events.append((PRICE, self.number, instrument.number, self.recv_ns, venue_ns, price))
        self._venue_ns = venue_ns

    def top(self, instrument: Instrument, best_bid: int, best_ask: int) -> None:
        """The venue's best prices; where the book has others, what counts is the book after the whole message."""
        book = instrument.book
        if instrument.owner != self.number or not book.is_valid:
            return
        if book.has_top(best_bid, best_ask):
            instrument.agreed_ns, instrument.doubted_ns = self.recv_ns, 0
            if self._doubts:
                self._doubts.pop(instrument.number, None)
        else:
            self._doubts[instrument.number] = instrument, best_bid, best_ask

    def lost(self, instrument: Instrument, reason: str) -> None:
        """A message was missed, at some time since the book last changed."""
        if instrument.owner == self.number or instrument.owner < 0:
            self._intake.open_gap(instrument, instrument.seen_ns or self.last_data_ns, reason)
            self._fetch(instrument)

    def lost_all(self, reason: str) -> None:
        """Open the connection anew; its books are lost when it closes."""
        self._reopen(reason)

    def refuse(self, reason: str) -> None:
        """The message in hand is wrong; it stays raw, flagged."""
        count(self._counters.refused, reason)
        self._intake.notes.append(Quarantined(len(self._raws) - 1, self.number, reason))

    def unread(self, reason: str) -> None:
        """Something came that was never a message: counted, and there is nothing to keep."""
        count(self._counters.refused, reason)
        self._intake.notes.append(Quarantined(-1, self.number, reason))

    def unknown(self, what: str) -> None:
        """An event type that no decoder knows."""
        count(self._counters.unknown, what[:60])

    def send(self, payload: bytes) -> None:
        """Send a text frame."""
        self._send(payload)

    def fetch(self, instrument: Instrument) -> None:
        """Ask for a book by REST."""
        self._fetch(instrument)

    def outcome(self, market_id: str, payoff_up: float, source: str) -> None:
        """Note how a market ended."""
        self._intake.outcome(market_id, payoff_up, source)

    def changed(self, market_id: str, field_name: str, value: str) -> None:
        """Note that a market changed."""
        self._intake.changed(market_id, field_name, value)

    def _take_over(self, instrument: Instrument, *, is_unlike: bool) -> None:
        """Own an instrument; the stream judges whether the connection before this one fed it to the last."""
        was_fed = instrument.owner >= 0 and instrument.number not in self._intake.gaps
        instrument.taken_ns = self.recv_ns if was_fed else 0
        instrument.is_unlike = is_unlike
        instrument.owner = self.number

    def _check_doubts(self) -> None:
        """Hold the books against what the message said last of each instrument; doubts that last become losses."""
        for instrument, best_bid, best_ask in self._doubts.values():
            if not instrument.book.is_valid:  # lost later in the message
                continue
            if instrument.book.has_top(best_bid, best_ask):
                instrument.agreed_ns, instrument.doubted_ns = self.recv_ns, 0
            elif not instrument.doubted_ns:
                instrument.doubted_ns = self.recv_ns
            elif self.recv_ns - instrument.doubted_ns >= GRACE_NS:
                self._intake.open_gap(instrument, instrument.agreed_ns or instrument.confirmed_ns, DISAGREES)
                self._fetch(instrument)
        self._doubts.clear()

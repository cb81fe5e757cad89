"""A Line for tests: it writes down what a decoder said and keeps real books.

It does to the books what the recorder does: a whole book makes an instrument's book valid, levels are ignored while it
is not, `lost` and a best price that disagrees empty it. Connections that overlap are the recorder's business and not
played here: every instrument counts.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from observer.book import ASK, BID
from observer.ports import Instrument, Level


class Call(NamedTuple):
    """One thing a decoder said: which method, about which instrument (its key, or "") and with what."""

    method: str
    key: str
    args: tuple[Any, ...]


class RecordingLine:
    """Implements `observer.ports.Line`.

    Attributes:
        calls: everything the decoder said, in order.
        disagreed: keys of instruments whose valid book was lost because `top` said otherwise.
    """

    def __init__(self, number: int = 1, recv_ns: int = 0) -> None:
        self.number = number
        self.recv_ns = recv_ns
        self.calls: list[Call] = []
        self.disagreed: list[str] = []
        self._trades_seen: set[tuple[str, str]] = set()

    def of(self, method: str, key: str | None = None) -> list[tuple[Any, ...]]:
        """What one method was called with, in order; of one instrument only where its key is given."""
        return [c.args for c in self.calls if c.method == method and key in (None, c.key)]

    def counts(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(c.method for c in self.calls)

    def clear(self) -> None:
        """Forget the calls; books stay."""
        self.calls.clear()
        self.disagreed.clear()

    def book(
        self, instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level], venue_ns: int, seq: int = -1
    ) -> None:
        """Take a whole book."""
        instrument.book.replace(bids, asks)
        self._said("book", instrument, tuple(bids), tuple(asks), venue_ns, seq)

    def level(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, seq: int = -1) -> None:
        """Set a level of a valid book."""
        if instrument.book.is_valid:
            instrument.book.set(side, price, size)
        self._said("level", instrument, side, price, size, venue_ns, seq)

    def trade(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, trade_id: str) -> None:
        """Note a trade, or a duplicate where its id is known."""
        is_known = (instrument.key, trade_id) in self._trades_seen
        self._trades_seen.add((instrument.key, trade_id))
        self._said("duplicate" if is_known else "trade", instrument, side, price, size, venue_ns, trade_id)

    def price(self, instrument: Instrument, price: int, venue_ns: int) -> None:
        """Note a bare price."""
        self._said("price", instrument, price, venue_ns)

    def top(self, instrument: Instrument, best_bid: int, best_ask: int) -> None:
        """Compare with the book; one that disagrees is lost."""
        self._said("top", instrument, best_bid, best_ask)
        book = instrument.book
        if book.is_valid and (book.best(BID), book.best(ASK)) != (best_bid, best_ask):
            self.disagreed.append(instrument.key)
            book.invalidate()

    def lost(self, instrument: Instrument, reason: str) -> None:
        """Empty the book."""
        instrument.book.invalidate()
        self._said("lost", instrument, reason)

    def lost_all(self, reason: str) -> None:
        """Note it; the test decides which books that meant."""
        self._said("lost_all", None, reason)

    def refuse(self, reason: str) -> None:
        """Note a refusal."""
        self._said("refuse", None, reason)

    def unknown(self, what: str) -> None:
        """Note an event type that the decoder does not know."""
        self._said("unknown", None, what)

    def send(self, payload: bytes) -> None:
        """Note a frame to send."""
        self._said("send", None, payload)

    def fetch(self, instrument: Instrument) -> None:
        """Note that the book is wanted by REST."""
        self._said("fetch", instrument)

    def outcome(self, market_id: str, payoff_up: float, source: str) -> None:
        """Note how a market ended."""
        self._said("outcome", None, market_id, payoff_up, source)

    def changed(self, market_id: str, field_name: str, value: str) -> None:
        """Note that something about a market changed."""
        self._said("changed", None, market_id, field_name, value)

    def _said(self, method: str, instrument: Instrument | None, *args: Any) -> None:
        self.calls.append(Call(method, "" if instrument is None else instrument.key, args))

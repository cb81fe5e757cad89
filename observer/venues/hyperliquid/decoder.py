"""Reads one Hyperliquid connection: whole books twice a second, the touch at every block, and trades.

* A book is always whole, so nothing needs asking for. One comes every half second: after three seconds without, what
  was between is a gap.
* The touch comes more often. It is put into the book as what it says: nothing is better than the best, and so much is
  there. An older touch changes nothing, and an older book takes the newer touch with it.
* Trades begin with some that were before; the recorder knows by their ids which are new.
* The first frame is a sentence, not JSON.
"""

from collections.abc import Sequence

from observer.book import ASK, BID, Book
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import BadNumber, scaled
from observer.ports import Instrument, Level, Line
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.hyperliquid.frames import (
    KNOWN,
    BookData,
    BookFrame,
    Error,
    Pong,
    Printed,
    Subscribed,
    TouchData,
    TouchFrame,
    TradeData,
    TradesFrame,
    decode_frame,
    decode_named,
    decode_rest_book,
)
from observer.venues.times import believed

BANNER = b"Websocket connection established."
SILENT_NS = 3 * NS_PER_S
_MOST_LEVELS = 1000


class _Coin:
    """One coin's book as this connection's messages make it.

    Attributes:
        book_ns, touch_ns: when the last book and touch were true.
        heard_ns: when the last book arrived.
        touch: best bid and offer as last told, None for an empty side.
    """

    __slots__ = ("book", "book_ns", "heard_ns", "instrument", "touch", "touch_ns")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.book = instrument, Book()
        self.book_ns = self.touch_ns = self.heard_ns = UNKNOWN_NS
        self.touch: tuple[Level | None, Level | None] = (None, None)

    def put_touch(self) -> list[tuple[int, int, int]]:
        """Make the touch the best of the book; returns the levels that changed: side, price, total."""
        changes: list[tuple[int, int, int]] = []
        for side, best in ((BID, self.touch[0]), (ASK, self.touch[1])):
            for price, _ in self.book.top(side, _MOST_LEVELS):
                if best is not None and (price <= best[0] if side == BID else price >= best[0]):
                    break
                changes.append((side, price, 0))
            if best is not None and self.book.size_at(side, best[0]) != best[1]:
                changes.append((side, *best))
        for change in changes:
            self.book.set(*change)
        return changes


class HyperliquidDecoder:
    """Implements `observer.ports.Decoder`."""

    def __init__(self, line: Line, instruments: Sequence[Instrument]) -> None:
        self._line = line
        self._coins = {instrument.key: _Coin(instrument) for instrument in instruments}

    def message(self, payload: bytes) -> bool:
        """Read one message; see `observer.ports.Decoder`."""
        try:
            frame = decode_frame(payload)
        except (ValueError, RecursionError):
            return self._other(payload)
        match frame:
            case BookFrame():
                return self._book(frame.data)
            case TouchFrame():
                return self._touch(frame.data)
            case TradesFrame():
                return any([self._trade(data) for data in frame.data])
            case Error():
                self._line.refuse(f"venue says: {frame.data[:60]}")
            case Pong() | Subscribed():
                pass
        return False

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read a book that came by REST; it is one like those on the socket."""
        try:
            data = decode_rest_book(payload)
        except (ValueError, RecursionError):
            self._line.refuse("REST book of an unknown form")
            return
        if data.coin == instrument.key:
            self._book(data)

    def _book(self, data: BookData) -> bool:
        coin = self._coins.get(data.coin)
        if coin is None:
            return False
        if coin.heard_ns != UNKNOWN_NS and self._line.recv_ns - coin.heard_ns > SILENT_NS:
            self._line.lost(coin.instrument, "no book for three seconds")
        coin.heard_ns = self._line.recv_ns
        venue_ns, order_ns = self._times(data.time)
        if order_ns < coin.book_ns:
            return True
        try:
            bids, asks = ([_level(level) for level in side] for side in data.levels)
        except BadNumber:
            self._lose(coin, "number that is no decimal in range")
            return True
        coin.book.replace(bids, asks)
        coin.book_ns = order_ns
        if order_ns < coin.touch_ns:
            coin.put_touch()
        if coin.book.is_crossed:
            self._lose(coin, "crossed book")
            return True
        bids, asks = coin.book.top(BID, _MOST_LEVELS), coin.book.top(ASK, _MOST_LEVELS)
        self._line.book(coin.instrument, bids, asks, venue_ns)
        return True

    def _touch(self, data: TouchData) -> bool:
        coin = self._coins.get(data.coin)
        if coin is None:
            return False
        venue_ns, order_ns = self._times(data.time)
        if order_ns < max(coin.touch_ns, coin.book_ns):
            return True
        try:
            bid, ask = (None if level is None else _level(level) for level in data.bbo)
        except BadNumber:
            self._line.refuse("number that is no decimal in range")
            return True
        if bid is not None and ask is not None and bid[0] >= ask[0]:
            self._line.refuse("crossed best prices")
            return True
        coin.touch, coin.touch_ns = (bid, ask), order_ns
        if coin.book.is_valid:
            for side, price, size in coin.put_touch():
                self._line.level(coin.instrument, side, price, size, venue_ns)
        return True

    def _trade(self, data: TradeData) -> bool:
        coin = self._coins.get(data.coin)
        if coin is None:
            return False
        try:
            price, size = _level(data)
        except BadNumber:
            self._line.refuse("trade without a price or a size")
            return True
        side = BUY if data.side == "B" else SELL
        self._line.trade(coin.instrument, side, price, size, self._times(data.time)[0], str(data.tid))
        return True

    def _lose(self, coin: _Coin, reason: str) -> None:
        """The next whole book is due in half a second."""
        self._line.refuse(reason)
        coin.book.invalidate()
        self._line.lost(coin.instrument, reason)

    def _times(self, venue_ms: int) -> tuple[int, int]:
        """The time to record, and the time to order by: our own where the venue's cannot be right."""
        venue_ns = believed(self._line, venue_ms * NS_PER_MS)
        return venue_ns, self._line.recv_ns if venue_ns == UNKNOWN_NS else venue_ns

    def _other(self, payload: bytes) -> bool:
        """The banner, or what is not known here; never data."""
        if payload.strip() == BANNER:
            return False
        try:
            name = decode_named(payload).channel
        except (ValueError, RecursionError):
            self._line.refuse("message that is no JSON object with a channel")
            return False
        if name in KNOWN:
            self._line.refuse(f"{name} of an unknown form")
        else:
            self._line.unknown(name)
        return False


def _level(printed: Printed | TradeData) -> Level:
    """Price and size; raises `BadNumber`, for zeros too."""
    level = scaled(printed.px), scaled(printed.sz)
    if not all(level):
        raise BadNumber("price or size of zero")
    return level

"""Reads one Binance connection: books, trades, mark and index prices.

A depth event that cannot be read needs no care of its own: the next one does not follow the last that could, and the
book is lost then.
"""

from collections.abc import Iterable

from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import BadNumber, scaled
from observer.ports import Instrument, Line
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.binance.depth import DepthSync
from observer.venues.binance.frames import (
    UNREADABLE,
    DepthUpdate,
    Event,
    MarkPrice,
    Trade,
    decode_rest_depth,
    decode_wrapped,
    event_of,
    levels_of,
    strange,
    whole_book,
)
from observer.venues.binance.rules import DepthEvent, RestBook, Rule
from observer.venues.times import believed

MARK, INDEX = "@markPrice", "@indexPrice"  # after the symbol, in the key of an instrument that is a bare price
UNREADABLE_FRAME = "frame that is no JSON object of a known shape"
BAD_NUMBER = "number that is no plain decimal above zero"
BAD_SNAPSHOT = "REST book that cannot be"
NOT_OURS = "event of a symbol that was not asked for"
SHUTDOWN = "the venue shuts this server down"

_LOOK_NS = NS_PER_S
_KNOWN = {"depthUpdate", "trade", "markPriceUpdate", "serverShutdown"}


class BinanceDecoder:
    """Implements `observer.ports.Decoder`.

    Args:
        instruments: what the connection carries.
        line: who is told.
        rule: how update ids fit together.
    """

    def __init__(self, instruments: Iterable[Instrument], line: Line, rule: Rule) -> None:
        self._line = line
        self._by_key = {instrument.key: instrument for instrument in instruments}
        self._depth = {key: DepthSync(ins, line, rule) for key, ins in self._by_key.items() if "@" not in key}
        self._next_look_ns = 0

    def message(self, payload: bytes) -> bool:
        """Read one message; True where it was market data."""
        line = self._line
        if line.recv_ns >= self._next_look_ns:
            self._next_look_ns = line.recv_ns + _LOOK_NS
            for depth in self._depth.values():
                depth.look()
        try:
            event = decode_wrapped(payload).data
        except UNREADABLE:
            return self._strange(payload)
        return self._event(event)

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read a book by REST."""
        depth = self._depth.get(instrument.key)
        if depth is None:
            return
        try:
            found = decode_rest_depth(payload)
            bids, asks = whole_book(found)
        except UNREADABLE:
            self._line.refuse(BAD_SNAPSHOT)
            depth.unreadable()
            return
        venue_ns = believed(self._line, found.made_ms * NS_PER_MS) if found.made_ms else UNKNOWN_NS
        depth.snapshot(RestBook(found.last_id, bids, asks, venue_ns))

    def _event(self, event: Event) -> bool:
        try:
            if type(event) is DepthUpdate:
                return self._depth_update(event)
            if type(event) is Trade:
                return self._trade(event)
            if type(event) is MarkPrice:
                return self._mark_price(event)
        except BadNumber:
            self._line.refuse(BAD_NUMBER)
            return False
        self._line.lost_all(SHUTDOWN)
        return False

    def _depth_update(self, update: DepthUpdate) -> bool:
        depth = self._depth.get(update.symbol)
        if depth is None:
            self._line.unknown(NOT_OURS)
            return False
        bids, asks = levels_of(update.bids), levels_of(update.asks)
        venue_ns = believed(self._line, (update.made_ms or update.event_ms) * NS_PER_MS)
        depth.event(DepthEvent(update.first_id, update.last_id, update.previous_id, venue_ns, bids, asks))
        return True

    def _trade(self, trade: Trade) -> bool:
        instrument = self._by_key.get(trade.symbol)
        if instrument is None:
            self._line.unknown(NOT_OURS)
            return False
        if trade.kind != "MARKET":
            return True  # insurance fund, deleveraging, or none at all: not traded in the book
        price, size = scaled(trade.price), scaled(trade.size)
        if not price or not size:
            raise BadNumber("trade of nothing")
        side = SELL if trade.is_buyer_maker else BUY
        venue_ns = believed(self._line, trade.made_ms * NS_PER_MS)
        self._line.trade(instrument, side, price, size, venue_ns, str(trade.trade_id))
        return True

    def _mark_price(self, price: MarkPrice) -> bool:
        mark, index = self._by_key.get(price.symbol + MARK), self._by_key.get(price.symbol + INDEX)
        if mark is None and index is None:
            self._line.unknown(NOT_OURS)
            return False
        mark_price, index_price = scaled(price.mark), scaled(price.index)
        if not mark_price or not index_price:
            raise BadNumber("price of zero")
        venue_ns = believed(self._line, price.event_ms * NS_PER_MS)
        for instrument, value in ((mark, mark_price), (index, index_price)):
            if instrument is not None:
                self._line.price(instrument, value, venue_ns)
        return True

    def _strange(self, payload: bytes) -> bool:
        """Whatever is not a wrapped, well-formed event that we know: an answer, an error, a stranger, a wreck."""
        line = self._line
        frame = strange(payload)
        if frame is None:
            line.refuse(UNREADABLE_FRAME)
            return False
        body = frame.get("data", frame)
        kind = body.get("e") if isinstance(body, dict) else None
        if isinstance(kind, str) and kind in _KNOWN:
            event = event_of(body)  # one that was not wrapped, or has a field that cannot be
            if event is not None:
                return self._event(event)
            line.refuse(f"{kind} with a field that cannot be")
        elif "error" in frame or ("code" in frame and "msg" in frame):
            line.lost_all(f"the venue answers {str(frame.get('error', frame))[:120]}")
        elif isinstance(kind, str) or "result" not in frame:
            line.unknown(kind if isinstance(kind, str) else "event without a type")
        return False

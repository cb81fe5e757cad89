"""Reads one Coinbase connection: books and trades of a product.

* Messages are numbered over all channels of a connection, so a hole loses everything on it. There is no other way back
  than a new connection, whose first `l2_data` message is the whole book, megabytes.
* A book by REST has no place in the numbering, so nothing is restored from it.
* `heartbeats` count in the numbering and prove nothing.
* `market_trades.side` is read as the maker's side. The documentation does not say whose it is. The older feed of the
  same exchange says that its own is the maker's, which recorded frames confirm, and clients that first read this one as
  the taker's have been corrected since. Raw frames are kept, should that be wrong.
"""

from collections.abc import Iterable

from observer.book import ASK, BID
from observer.kit.decimals import SCALED, BadNumber
from observer.kit.wire_time import BadTime, from_rfc3339
from observer.ports import Instrument, Line
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.coinbase.frames import (
    UNREADABLE,
    L2Data,
    LevelUpdate,
    MarketTrades,
    SidedLevel,
    decode_frame,
    levels_of,
    strange,
)
from observer.venues.times import believed

HOLE = "sequence numbers have a hole"
NO_SNAPSHOT = "change of a book that was never sent"
UNREADABLE_BOOK = "book message with a field that cannot be"
UNREADABLE_FRAME = "frame that is no JSON object of a known shape"
BAD_TRADE = "trade with a field that cannot be"
CROSSED = "book crossed by the venue's own updates"
NOT_OURS = "event of a product that was not asked for"

_TAKER = {"BUY": SELL, "SELL": BUY}  # by the maker's side


class CoinbaseDecoder:
    """Implements `observer.ports.Decoder`.

    Args:
        instruments: what the connection carries, by product id.
        line: who is told.
    """

    def __init__(self, instruments: Iterable[Instrument], line: Line) -> None:
        self._line = line
        self._by_product = {instrument.key: instrument for instrument in instruments}
        self._sent: set[str] = set()  # products whose whole book has come
        self._next_number: int | None = None
        self._is_over = False

    def message(self, payload: bytes) -> bool:
        """Read one message; True where it was market data."""
        if self._is_over:
            return False
        try:
            frame = decode_frame(payload)
        except UNREADABLE:
            self._strange(payload)
            return False
        if not self._is_next(frame.sequence_num):
            return False
        if type(frame) is L2Data:
            return self._books(frame)
        if type(frame) is MarketTrades:
            return self._trades(frame)
        return False

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """A book by REST cannot be put in order; where the book is lost, only a new connection brings it back."""
        if not instrument.book.is_valid and instrument.key in self._sent:
            self._end("book lost; a new connection brings it back")

    def _is_next(self, number: int) -> bool:
        """Whether a message is the next one; not a repeat, and none missing before it."""
        wanted = self._next_number
        if wanted is not None and number < wanted:
            return False
        self._next_number = number + 1
        if wanted is not None and number > wanted:
            self._end(HOLE)
            return False
        return True

    def _books(self, frame: L2Data) -> bool:
        try:
            read = [(event, levels_of(event)) for event in frame.events]
        except BadNumber:
            self._line.refuse(UNREADABLE_BOOK)
            self._end(UNREADABLE_BOOK)
            return False
        is_ours = False
        for event, levels in read:
            instrument = self._by_product.get(event.product_id)
            if instrument is None:
                self._line.unknown(NOT_OURS)
                continue
            is_ours = True
            if event.type == "snapshot":
                self._whole_book(instrument, levels, frame)
            elif event.product_id in self._sent:
                self._changes(instrument, event.updates, levels, frame.sequence_num)
            else:
                self._end(NO_SNAPSHOT)
            if self._is_over:
                return False
        return is_ours

    def _whole_book(self, instrument: Instrument, levels: list[SidedLevel], frame: L2Data) -> None:
        totals: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, price, size in levels:
            totals[side][price] = size
        bids = sorted(((price, size) for price, size in totals[BID].items() if size), reverse=True)
        asks = sorted((price, size) for price, size in totals[ASK].items() if size)
        if bids and asks and bids[0][0] >= asks[0][0]:
            self._line.refuse(UNREADABLE_BOOK)
            self._end(UNREADABLE_BOOK)
            return
        self._sent.add(instrument.key)
        self._line.book(instrument, bids, asks, self._time(frame.timestamp), frame.sequence_num)

    def _changes(
        self, instrument: Instrument, updates: list[LevelUpdate], levels: list[SidedLevel], number: int
    ) -> None:
        level, text, venue_ns = self._line.level, None, UNKNOWN_NS
        for update, (side, price, size) in zip(updates, levels, strict=True):
            if update.event_time != text:  # nearly always the same throughout a message
                text = update.event_time
                venue_ns = self._time(text)
            level(instrument, side, price, size, venue_ns, number)
        if instrument.book.is_crossed:
            self._end(CROSSED)

    def _trades(self, frame: MarketTrades) -> bool:
        line, is_ours = self._line, False
        trades = [trade for event in frame.events for trade in event.trades]
        for trade in sorted(trades, key=lambda trade: (len(trade.trade_id), trade.trade_id)):  # oldest first
            instrument = self._by_product.get(trade.product_id)
            if instrument is None:
                line.unknown(NOT_OURS)
                continue
            try:
                price, size = SCALED[trade.price], SCALED[trade.size]
            except BadNumber:
                price = size = 0
            if not (price and size and trade.trade_id):
                line.refuse(BAD_TRADE)
                continue
            is_ours = True
            line.trade(instrument, _TAKER[trade.side], price, size, self._time(trade.time), trade.trade_id)
        return is_ours

    def _strange(self, payload: bytes) -> None:
        """Whatever is not a well-formed message of a channel that we know: an error, a stranger, a wreck."""
        line = self._line
        frame = strange(payload)
        if frame is None:
            line.refuse(UNREADABLE_FRAME)  # the number after it tells whether it was one of the row
            return
        if frame.get("type") == "error":
            self._end(f"the venue answers {str(frame.get('message', frame))[:100]}")
            return
        number = frame.get("sequence_num")
        if isinstance(number, int) and not self._is_next(number):
            return
        channel = frame.get("channel")
        if channel == "l2_data":
            line.refuse(UNREADABLE_BOOK)
            self._end(UNREADABLE_BOOK)
        elif channel == "market_trades":
            line.refuse(BAD_TRADE)
        elif channel in ("heartbeats", "subscriptions"):
            line.refuse(UNREADABLE_FRAME)
        else:
            kind = channel or frame.get("type")
            line.unknown(kind if isinstance(kind, str) else "event without a channel")

    def _time(self, text: str) -> int:
        try:
            return believed(self._line, from_rfc3339(text))
        except BadTime:
            self._line.refuse("time that is none")
            return UNKNOWN_NS

    def _end(self, reason: str) -> None:
        """Nothing more can be believed on this connection."""
        self._is_over = True
        self._line.lost_all(reason)

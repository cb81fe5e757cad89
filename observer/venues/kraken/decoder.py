"""Reads one Kraken connection: books of ten levels with a checksum in every message, and trades.

* An update holds new totals, 0 removes a level. What falls out of the ten levels is not said: it is cut off here, and
  the recorder is told so.
* An update counts only once its checksum is right. A wrong one loses the book, and the pair is subscribed anew.
* REST rounds sizes and has no checksum, so books come from the socket only.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from observer.book import ASK, BID
from observer.kit.clock import parse_iso
from observer.kit.decimals import BadNumber
from observer.ports import Instrument, Line
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.awaited import Awaited
from observer.venues.kraken.book import DEPTH, PairBook, PrintedLevel, number_of, side_of
from observer.venues.times import believed

VENUE = "kraken"
MISMATCH = "checksum mismatch"

Text = Annotated[str, msgspec.Meta(max_length=200)]


class _BookData(msgspec.Struct, gc=False):
    symbol: Text
    checksum: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    bids: list[PrintedLevel] = []
    asks: list[PrintedLevel] = []
    timestamp: Text = ""


class _TradeData(msgspec.Struct, gc=False):
    symbol: Text
    side: Literal["buy", "sell"]
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    timestamp: Text


class _StatusData(msgspec.Struct, gc=False):
    system: Text = ""


class _Book(msgspec.Struct, tag_field="channel", tag="book", gc=False):
    type: Literal["snapshot", "update"]
    data: list[_BookData]


class _Trades(msgspec.Struct, tag_field="channel", tag="trade", gc=False):
    data: list[_TradeData]


class _Status(msgspec.Struct, tag_field="channel", tag="status", gc=False):
    data: list[_StatusData] = []


class _Heartbeat(msgspec.Struct, tag_field="channel", tag="heartbeat", gc=False):
    pass


class _Answer(msgspec.Struct):
    """An answer to a command; or any other message, for its name."""

    method: Text = ""
    channel: Text = ""
    success: bool | None = None
    error: Text = ""


_decode = msgspec.json.Decoder(_Book | _Trades | _Status | _Heartbeat).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_KNOWN = ("book", "trade", "status", "heartbeat")
_ANSWERED = ("subscribe", "unsubscribe", "pong")


class KrakenDecoder:
    """Implements `observer.ports.Decoder`."""

    def __init__(self, line: Line, instruments: Sequence[Instrument]) -> None:
        self._line = line
        self._pairs = {instrument.key: PairBook(instrument) for instrument in instruments}
        self._awaited = Awaited()
        self._system = "online"
        self._last_id = 100  # above those of the plan's own commands

    def message(self, payload: bytes) -> bool:
        """Read one message; see `observer.ports.Decoder`."""
        try:
            frame = _decode(payload)
        except (ValueError, RecursionError):
            return self._other(payload)
        is_data = False
        match frame:
            case _Book():
                is_data = any([self._book(data, frame.type == "snapshot") for data in frame.data])
            case _Trades():
                is_data = any([self._trade(data) for data in frame.data])
            case _Status():
                self._status(frame)
            case _Heartbeat():
                pass
        if self._awaited.next_ns <= self._line.recv_ns:
            self._renew(self._awaited.due(self._line.recv_ns))
        return is_data

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """A REST book cannot be checked; what the recorder misses is asked for on the socket."""
        pair = self._pairs.get(instrument.key)
        if pair is not None and not instrument.book.is_valid:
            pair.book.invalidate()
            self._want(pair)

    def _book(self, data: _BookData, is_whole: bool) -> bool:
        pair = self._pairs.get(data.symbol)
        if pair is None:
            return False
        if not is_whole and not pair.book.is_valid:
            self._want(pair)
            return True
        try:
            bids, asks = side_of(data.bids), side_of(data.asks)
        except BadNumber:
            self._lose(pair, "number that is no decimal in range")
            return True
        if is_whole:
            pair.replace(bids, asks)
            changes = []
        else:
            changes = pair.update(bids, asks)
        if pair.checksum() != data.checksum:
            self._lose(pair, MISMATCH)
        elif pair.book.is_crossed:
            self._lose(pair, "crossed book")
        else:
            self._tell(pair, self._time(data.timestamp), is_whole, changes)
        return True

    def _tell(self, pair: PairBook, venue_ns: int, is_whole: bool, changes: list[tuple[int, int, int]]) -> None:
        """Hand on what has been checked."""
        if is_whole:
            self._awaited.came(pair.instrument.key)
            self._line.book(pair.instrument, pair.book.top(BID, DEPTH), pair.book.top(ASK, DEPTH), venue_ns)
        for side, price, size in changes:
            self._line.level(pair.instrument, side, price, size, venue_ns)

    def _trade(self, data: _TradeData) -> bool:
        pair = self._pairs.get(data.symbol)
        if pair is None:
            return False
        try:
            price, size = number_of(data.price)[0], number_of(data.qty)[0]
        except BadNumber:
            price = size = 0
        if not price or not size:
            self._line.refuse("trade without a price or a size")
            return True
        side = BUY if data.side == "buy" else SELL
        self._line.trade(pair.instrument, side, price, size, self._time(data.timestamp), str(data.trade_id))
        return True

    def _status(self, frame: _Status) -> None:
        """Note when the venue stops or restricts trading, and when it resumes."""
        for data in frame.data:
            if data.system != self._system:
                self._system = data.system
                self._line.changed(VENUE, "status", data.system)

    def _lose(self, pair: PairBook, reason: str) -> None:
        self._line.refuse(reason)
        pair.book.invalidate()
        self._line.lost(pair.instrument, reason)
        self._want(pair)

    def _want(self, pair: PairBook) -> None:
        """Subscribe the pair anew for a snapshot, unless one is on its way."""
        if pair.instrument.key not in self._awaited:
            self._renew([pair.instrument.key])

    def _renew(self, symbols: list[str]) -> None:
        for method in ("unsubscribe", "subscribe"):
            self._last_id += 1
            self._line.send(command(method, "book", symbols, self._last_id))
        self._awaited.asked(symbols, self._line.recv_ns)

    def _time(self, text: str) -> int:
        """A time that cannot be read is refused like one that cannot be right; a snapshot need not have one."""
        if not text:
            return UNKNOWN_NS
        try:
            return believed(self._line, parse_iso(text))
        except (ValueError, OverflowError):
            self._line.refuse("time that cannot be read")
            return UNKNOWN_NS

    def _other(self, payload: bytes) -> bool:
        """An answer to a command, or something else; never data."""
        try:
            answer = _decode_answer(payload)
        except (ValueError, RecursionError):
            self._line.refuse("message that is no JSON object")
            return False
        if answer.channel in _KNOWN:
            self._line.refuse(f"{answer.channel} of an unknown form")
        elif answer.error or answer.success is False:
            self._line.refuse(f"venue says: {answer.error[:60]}")
        elif answer.method not in _ANSWERED:
            self._line.unknown(answer.channel or answer.method or "message without a name")
        return False


def command(method: str, channel: str, symbols: Sequence[str], number: int) -> bytes:
    """The text of a command about a channel's pairs."""
    params: dict[str, object] = {"channel": channel, "symbol": list(symbols)}
    if channel == "book":
        params["depth"] = DEPTH
    if method == "subscribe":
        params["snapshot"] = True
    return json.dumps({"method": method, "params": params, "req_id": number}, separators=(",", ":")).encode()

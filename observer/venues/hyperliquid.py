"""Hyperliquid perpetuals as a reference feed: whole books twice a second, the touch at every block, and trades.

* A book is always whole, so nothing can be missed and nothing needs asking for.
* The touch comes more often. It is put into the book as what it says: nothing is better than the best, and so much is
  there. An older touch changes nothing, and an older book takes the newer touch with it.
* Trades begin with some that were before; the recorder knows by their ids which are new.
* The first frame is a sentence, not JSON. A connection without traffic is closed after a minute, so we ping.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from observer.book import ASK, BID, Book
from observer.kit.clock import NS_PER_MS
from observer.kit.decimals import BadNumber, scaled
from observer.ports import Decoder, Ended, Instrument, Level, Line, Listing, Rest, Selection, StreamPlan
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.times import believed

VENUE = "hyperliquid"
COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "HYPE", "ZEC", "NEAR")
CHANNELS = ("l2Book", "bbo", "trades")
BANNER = b"Websocket connection established."
PING = b'{"method":"ping"}'
_MOST_LEVELS = 1000

Text = Annotated[str, msgspec.Meta(max_length=200)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]


class _Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class _BookData(msgspec.Struct, gc=False):
    coin: Text
    time: Millis
    levels: tuple[list[_Level], list[_Level]]


class _TouchData(msgspec.Struct, gc=False):
    coin: Text
    time: Millis
    bbo: tuple[_Level | None, _Level | None]


class _TradeData(msgspec.Struct, gc=False):
    coin: Text
    side: Literal["A", "B"]
    px: str
    sz: str
    time: Millis
    tid: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _BookFrame(msgspec.Struct, tag_field="channel", tag="l2Book", gc=False):
    data: _BookData


class _TouchFrame(msgspec.Struct, tag_field="channel", tag="bbo", gc=False):
    data: _TouchData


class _TradesFrame(msgspec.Struct, tag_field="channel", tag="trades", gc=False):
    data: list[_TradeData]


class _Pong(msgspec.Struct, tag_field="channel", tag="pong", gc=False):
    pass


class _Subscribed(msgspec.Struct, tag_field="channel", tag="subscriptionResponse", gc=False):
    pass


class _Error(msgspec.Struct, tag_field="channel", tag="error", gc=False):
    data: str = ""


class _Named(msgspec.Struct):
    channel: Text


_decode = msgspec.json.Decoder(_BookFrame | _TouchFrame | _TradesFrame | _Pong | _Subscribed | _Error).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_rest_book = msgspec.json.Decoder(_BookData).decode
_KNOWN = (*CHANNELS, "pong", "subscriptionResponse", "error")


class _Coin:
    """One coin's book as this connection's messages make it.

    Attributes:
        book_ns, touch_ns: when the last book and touch were true.
        touch: best bid and offer as last told, None for an empty side.
    """

    __slots__ = ("book", "book_ns", "instrument", "touch", "touch_ns")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.book = instrument, Book()
        self.book_ns = self.touch_ns = UNKNOWN_NS
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
            frame = _decode(payload)
        except (ValueError, RecursionError):
            return self._other(payload)
        match frame:
            case _BookFrame():
                return self._book(frame.data)
            case _TouchFrame():
                return self._touch(frame.data)
            case _TradesFrame():
                return any([self._trade(data) for data in frame.data])
            case _Error():
                self._line.refuse(f"venue says: {frame.data[:60]}")
            case _Pong() | _Subscribed():
                pass
        return False

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read a book that came by REST; it is one like those on the socket."""
        try:
            data = _decode_rest_book(payload)
        except (ValueError, RecursionError):
            self._line.refuse("REST book of an unknown form")
            return
        if data.coin == instrument.key:
            self._book(data)

    def _book(self, data: _BookData) -> bool:
        coin = self._coins.get(data.coin)
        if coin is None:
            return False
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

    def _touch(self, data: _TouchData) -> bool:
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

    def _trade(self, data: _TradeData) -> bool:
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
            name = _decode_named(payload).channel
        except (ValueError, RecursionError):
            self._line.refuse("message that is no JSON object with a channel")
            return False
        if name in _KNOWN:
            self._line.refuse(f"{name} of an unknown form")
        else:
            self._line.unknown(name)
        return False


class Hyperliquid:
    """Implements `observer.ports.Venue`; a reference feed without markets.

    Args:
        urls: where the venue is reached (`observer.venues.urls`).
    """

    name = VENUE

    def __init__(self, urls: dict[str, str]) -> None:
        self._rest_url, self._ws_url = urls["hyperliquid.rest"], urls["hyperliquid.ws"]

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Nothing: there are no binary markets here."""
        return []

    def feeds(self, selection: Selection) -> list[Instrument]:
        """The perpetual of every coin."""
        return [Instrument(VENUE, coin, "", 0, coin, VENUE) for coin in COINS if selection.wants_symbol(coin)]

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One connection for all; the venue allows ten."""
        if not instruments:
            return []
        coins = sorted(instrument.key for instrument in instruments)
        subscribe = tuple(
            _command({"method": "subscribe", "subscription": {"type": channel, "coin": coin}})
            for coin in coins
            for channel in CHANNELS
        )
        return [
            StreamPlan(
                "perpetuals", self._ws_url, tuple(instruments), subscribe=subscribe, ping=PING, ping_every_s=30.0,
                silence_s=15.0, max_message_bytes=4 << 20,
            )
        ]  # fmt: skip

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A decoder for one connection."""
        return HyperliquidDecoder(line, plan.instruments)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book by REST."""
        asked = _command({"type": "l2Book", "coin": instrument.key})
        return await rest.post(self._rest_url, asked, {"Content-Type": "application/json"})

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """Nothing ends here."""
        return Ended(None)


def _command(words: dict[str, Any]) -> bytes:
    return json.dumps(words, separators=(",", ":")).encode()


def _level(printed: _Level | _TradeData) -> Level:
    """Price and size; raises `BadNumber`, for zeros too."""
    level = scaled(printed.px), scaled(printed.sz)
    if not all(level):
        raise BadNumber("price or size of zero")
    return level

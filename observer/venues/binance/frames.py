"""Binance's messages, typed, one letter to a field as they come; fields that nobody here uses are skipped.

Combined streams wrap every event: `{"stream":"btcusdt@depth@100ms","data":{...}}`. Prices and sizes stay text until
`observer.kit.decimals` reads them.
"""

from typing import Annotated, Any

import msgspec

from observer.kit.decimals import SCALED, BadNumber, scaled_once
from observer.kit.wire_time import Millis
from observer.ports import Level

UpdateId = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
Symbol = Annotated[str, msgspec.Meta(max_length=40)]
LevelText = tuple[str, str]  # price, size


class DepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """New totals at some prices; covers the update ids `first_id` to `last_id`."""

    event_ms: Millis = msgspec.field(name="E")
    symbol: Symbol = msgspec.field(name="s")
    first_id: UpdateId = msgspec.field(name="U")
    last_id: UpdateId = msgspec.field(name="u")
    bids: list[LevelText] = msgspec.field(name="b")
    asks: list[LevelText] = msgspec.field(name="a")
    previous_id: UpdateId = msgspec.field(name="pu", default=0)  # USD-M: `last_id` of the event before
    made_ms: Millis = msgspec.field(name="T", default=0)  # USD-M: when the matching engine made it


class Trade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    """One trade. USD-M also sends what happened off the book, told apart by `kind`."""

    symbol: Symbol = msgspec.field(name="s")
    trade_id: UpdateId = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    size: str = msgspec.field(name="q")
    made_ms: Millis = msgspec.field(name="T")
    is_buyer_maker: bool = msgspec.field(name="m")
    kind: Symbol = msgspec.field(name="X", default="MARKET")


class MarkPrice(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    """USD-M: the mark, and the index it is made from."""

    event_ms: Millis = msgspec.field(name="E")
    symbol: Symbol = msgspec.field(name="s")
    mark: str = msgspec.field(name="p")
    index: str = msgspec.field(name="i")


class ServerShutdown(msgspec.Struct, tag_field="e", tag="serverShutdown", gc=False):
    """This server is about to close its connections."""


Event = DepthUpdate | Trade | MarkPrice | ServerShutdown


class Wrapped(msgspec.Struct, gc=False):
    """An event of a combined stream."""

    data: Event


class RestDepth(msgspec.Struct):
    """A book by REST; spot gives no time."""

    last_id: UpdateId = msgspec.field(name="lastUpdateId")
    bids: list[LevelText]
    asks: list[LevelText]
    made_ms: Millis = msgspec.field(name="T", default=0)


decode_wrapped = msgspec.json.Decoder(Wrapped).decode
decode_rest_depth = msgspec.json.Decoder(RestDepth).decode

# What decoding raises on bad input: msgspec recurses into what it skips, and Python refuses endless integers.
UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError)


def strange(payload: bytes) -> dict[str, Any] | None:
    """A frame that is not a wrapped event, as it is; None where it is no JSON object."""
    try:
        frame: Any = msgspec.json.decode(payload)
    except UNREADABLE:
        return None
    return frame if isinstance(frame, dict) else None


def event_of(body: object) -> Event | None:
    """The event in an object that was decoded without types; None where a field cannot be."""
    try:
        return msgspec.convert(body, Event)
    except msgspec.ValidationError:
        return None


def levels_of(texts: list[LevelText]) -> list[Level]:
    """Levels in units of 1e-9; raises `BadNumber` for text that is no number, and for a price of zero."""
    return _above_zero([(SCALED[price], SCALED[size]) for price, size in texts])


def whole_book(depth: RestDepth) -> tuple[list[Level], list[Level]]:
    """Both sides of a REST book, best first; raises `BadNumber` also where it is crossed or names a price twice."""
    sides: list[list[Level]] = []
    for texts in (depth.bids, depth.asks):
        levels = _above_zero([(scaled_once(price), scaled_once(size)) for price, size in texts])
        if len({price for price, _ in levels}) < len(levels):
            raise BadNumber("one price twice")
        sides.append(sorted(level for level in levels if level[1]))
    bids, asks = sides
    if bids and asks and bids[-1][0] >= asks[0][0]:
        raise BadNumber("crossed")
    return bids[::-1], asks


def _above_zero(levels: list[Level]) -> list[Level]:
    for price, _ in levels:
        if not price:
            raise BadNumber("price of zero")
    return levels

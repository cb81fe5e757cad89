"""Coinbase's messages, typed. Prices and sizes stay text until `levels_of` reads them.

`level2` is subscribed to, `l2_data` is what arrives; its ask side is called `offer`.
"""

from typing import Annotated, Any, Literal

import msgspec

from observer.book import ASK, BID
from observer.kit.decimals import SCALED, BadNumber, scaled_once

# What decoding raises on bad input: msgspec recurses into what it skips, and Python refuses endless integers.
UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError)

Name = Annotated[str, msgspec.Meta(max_length=64)]
SidedLevel = tuple[int, int, int]  # side, price, total

_SIDES = {"bid": BID, "offer": ASK}


class LevelUpdate(msgspec.Struct, gc=False):
    """The new total at a price; "0" removes it."""

    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str
    event_time: str = ""


class BookEvent(msgspec.Struct, gc=False):
    """A whole book, or changes of one."""

    type: Literal["snapshot", "update"]
    product_id: Name
    updates: list[LevelUpdate]


class Trade(msgspec.Struct, gc=False):
    """One trade."""

    trade_id: Name
    product_id: Name
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    time: str


class TradesEvent(msgspec.Struct, gc=False):
    """Trades, in any order; the first message repeats recent ones."""

    trades: list[Trade]


class L2Data(msgspec.Struct, tag_field="channel", tag="l2_data", gc=False):
    """Books."""

    sequence_num: int
    timestamp: str
    events: list[BookEvent]


class MarketTrades(msgspec.Struct, tag_field="channel", tag="market_trades", gc=False):
    """Trades."""

    sequence_num: int
    events: list[TradesEvent]


class Heartbeats(msgspec.Struct, tag_field="channel", tag="heartbeats", gc=False):
    """A sign of life of the server, not of the market."""

    sequence_num: int


class Subscriptions(msgspec.Struct, tag_field="channel", tag="subscriptions", gc=False):
    """What this connection is subscribed to."""

    sequence_num: int


decode_frame = msgspec.json.Decoder(L2Data | MarketTrades | Heartbeats | Subscriptions).decode


def strange(payload: bytes) -> dict[str, Any] | None:
    """A message of no channel that we know, as it is; None where it is no JSON object."""
    try:
        frame: Any = msgspec.json.decode(payload)
    except UNREADABLE:
        return None
    return frame if isinstance(frame, dict) else None


def levels_of(event: BookEvent) -> list[SidedLevel]:
    """Side, price and total of each; raises `BadNumber`, also for a price of zero."""
    number = scaled_once if event.type == "snapshot" else SCALED.__getitem__
    levels = [(_SIDES[one.side], number(one.price_level), number(one.new_quantity)) for one in event.updates]
    for _, price, _ in levels:
        if not price:
            raise BadNumber("price of zero")
    return levels

"""What Polymarket's market socket and book endpoint send, as types.

Every number is a decimal string; `timestamp` is milliseconds, a string too. One struct holds every field of the
frequent events, because a decoder that knows where it is going is a third faster than one that must first look for
the tag at the end of the frame. Which fields an event needs is checked where it is read; unknown keys are skipped.
"""

from typing import Literal

from msgspec import MsgspecError, Raw, Struct, json

# What msgspec raises on bytes that are not the JSON wanted: bad syntax or types, bad UTF-8, a bomb of brackets.
BAD_JSON: tuple[type[Exception], ...] = (MsgspecError, UnicodeDecodeError, RecursionError)


class LevelText(Struct, gc=False):
    """One level of a book."""

    price: str
    size: str


class Change(Struct, gc=False):
    """One new total; `asset_id` and the best prices are absent in the schema of before 2025-09-15."""

    price: str
    size: str
    side: Literal["BUY", "SELL"]
    asset_id: str = ""
    best_bid: str | None = None
    best_ask: str | None = None


class Event(Struct, gc=False):
    """Any event of the market socket; fields that an event type does not have stay None."""

    event_type: str = ""
    timestamp: int = 0
    asset_id: str = ""
    price_changes: list[Change] | None = None
    changes: list[Change] | None = None
    bids: list[LevelText] | None = None
    asks: list[LevelText] | None = None
    price: str | None = None
    size: str | None = None
    side: Literal["BUY", "SELL"] | None = None
    transaction_hash: str | None = None
    best_bid: str | None = None
    best_ask: str | None = None
    new_tick_size: str | None = None
    winning_asset_id: str | None = None
    assets_ids: list[str] | None = None
    error: str | None = None


class RestBook(Struct):
    """`GET /book`; the fields after `asks` are the venue's and only matter for the hash."""

    market: str
    asset_id: str
    timestamp: int
    bids: list[LevelText]
    asks: list[LevelText]
    hash: str = ""
    min_order_size: str = ""
    tick_size: str = ""
    neg_risk: bool = False
    last_trade_price: str = ""


class _Typed(Struct):
    event_type: str = ""


# strict=False reads the digits of a timestamp as the number they stand for.
read_event = json.Decoder(Event, strict=False).decode
read_events = json.Decoder(list[Event], strict=False).decode
read_rest_book = json.Decoder(RestBook, strict=False).decode
_read_parts = json.Decoder(list[Raw]).decode
_read_type = json.Decoder(_Typed).decode


def split_array(payload: bytes) -> list[bytes]:
    """The elements of a JSON array, unread."""
    return [bytes(part) for part in _read_parts(payload)]


def type_of(payload: bytes) -> str:
    """The event type of a frame that is no `Event`; "" where it has none or is no JSON object at all."""
    try:
        return _read_type(payload).event_type
    except BAD_JSON:
        return ""

"""Kalshi's messages, typed: what does not fit is refused before anything is believed.

Prices and sizes stay text until `observer.kit.decimals` reads them. Fields that nobody here uses are skipped.
"""

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]  # times 1e6 still fits int64
Text = Annotated[str, msgspec.Meta(max_length=200)]
Side = Literal["yes", "no"]
LevelText = tuple[str, str]  # price, contracts


class BookBody(msgspec.Struct, gc=False):
    """Every bid for yes and every bid for no; an empty side may be absent."""

    market_ticker: Text
    yes_dollars_fp: list[LevelText] = []
    no_dollars_fp: list[LevelText] = []


class DeltaBody(msgspec.Struct, gc=False):
    """A signed change at one price."""

    market_ticker: Text
    price_dollars: str
    delta_fp: str
    side: Side
    ts_ms: Millis = 0


class TradeBody(msgspec.Struct, gc=False):
    """A trade, in yes prices; `taker_outcome_side` is the newer name of `taker_side`."""

    trade_id: Text
    market_ticker: Text
    yes_price_dollars: str
    count_fp: str
    taker_side: Side | None = None
    taker_outcome_side: Side | None = None
    is_block_trade: bool = False
    ts_ms: Millis = 0


class LifecycleBody(msgspec.Struct, gc=False):
    """Something happened to a market, anywhere on the exchange."""

    event_type: Text
    market_ticker: Text
    close_ts: Count | None = None
    result: Text | None = None
    settlement_value: Text | None = None


class IndexBody(msgspec.Struct, gc=False):
    """A value of an index; `data` is the index provider's own message, as text."""

    index_id: Text
    value_usd: str = ""
    source_ts_ms: Millis = 0
    data: str = ""


class IndexData(msgspec.Struct, gc=False):
    """The index provider's own message."""

    value: str
    time: Millis = 0


class SubscribedBody(msgspec.Struct, gc=False):
    """Which channel a subscription carries."""

    channel: Text = ""
    sid: Count | None = None


class ErrorBody(msgspec.Struct, gc=False):
    """What was wrong with a command, or with a subscription."""

    code: Count = 0
    msg: Text = ""


class _Frame(msgspec.Struct, tag_field="type", gc=False):
    pass


class Snapshot(_Frame, tag="orderbook_snapshot", gc=False):
    """A whole book."""

    sid: Count
    seq: Count
    msg: BookBody


class Delta(_Frame, tag="orderbook_delta", gc=False):
    """A change to a book."""

    sid: Count
    seq: Count
    msg: DeltaBody


class Trade(_Frame, tag="trade", gc=False):
    """A trade."""

    msg: TradeBody


class Lifecycle(_Frame, tag="market_lifecycle_v2", gc=False):
    """A market's state changed."""

    msg: LifecycleBody


class EventLifecycle(_Frame, tag="event_lifecycle", gc=False):
    """An event was made; it shares the lifecycle's subscription and says nothing about a market."""


class IndexValue(_Frame, tag="cfbenchmarks_value", gc=False):
    """An index, about once a second."""

    msg: IndexBody


class FastIndexValue(_Frame, tag="cfbenchmarks_value_5hz", gc=False):
    """An index, up to five times a second."""

    msg: IndexBody


class Subscribed(_Frame, tag="subscribed", gc=False):
    """A subscription began; its `sid` is here on index channels and inside `msg` on the others."""

    id: Count = 0
    sid: Count | None = None
    msg: SubscribedBody = msgspec.field(default_factory=SubscribedBody)


class Ok(_Frame, tag="ok", gc=False):
    """A command was done; on a numbered subscription it takes a number too."""

    sid: Count | None = None
    seq: Count | None = None


class Unsubscribed(_Frame, tag="unsubscribed", gc=False):
    """A subscription ended because we asked."""

    sid: Count | None = None
    seq: Count | None = None


class Error(_Frame, tag="error", gc=False):
    """A command failed, or a subscription ended."""

    id: Count = 0
    sid: Count | None = None
    msg: ErrorBody = msgspec.field(default_factory=ErrorBody)


Frame = (
    Snapshot | Delta | Trade | Lifecycle | EventLifecycle | IndexValue | FastIndexValue | Subscribed | Ok
    | Unsubscribed | Error
)  # fmt: skip


class Named(msgspec.Struct):
    """Any message, for the name of what is not known here."""

    type: Text


class RestBook(msgspec.Struct):
    """`orderbook_fp` of `GET /markets/{ticker}/orderbook`."""

    yes_dollars: list[LevelText] | None = None
    no_dollars: list[LevelText] | None = None


class RestBookAnswer(msgspec.Struct):
    """The answer of `GET /markets/{ticker}/orderbook`."""

    orderbook_fp: RestBook


decode_frame = msgspec.json.Decoder(Frame).decode
decode_named = msgspec.json.Decoder(Named).decode
decode_index_data = msgspec.json.Decoder(IndexData).decode
decode_rest_book = msgspec.json.Decoder(RestBookAnswer).decode
KNOWN_TYPES = frozenset(str(kind.__struct_config__.tag) for kind in Frame.__args__)

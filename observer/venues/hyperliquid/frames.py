"""Hyperliquid's messages, typed; numbers stay text until they are read."""

from typing import Annotated, Literal

import msgspec

CHANNELS = ("l2Book", "bbo", "trades")
KNOWN = (*CHANNELS, "pong", "subscriptionResponse", "error")

Text = Annotated[str, msgspec.Meta(max_length=200)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]


class Printed(msgspec.Struct, gc=False):
    """A level, as text."""

    px: str
    sz: str


class BookData(msgspec.Struct, gc=False):
    """A whole book."""

    coin: Text
    time: Millis
    levels: tuple[list[Printed], list[Printed]]


class TouchData(msgspec.Struct, gc=False):
    """The best level of each side; None where there is none."""

    coin: Text
    time: Millis
    bbo: tuple[Printed | None, Printed | None]


class TradeData(msgspec.Struct, gc=False):
    """A trade; `side` is the aggressor: B bought, A sold."""

    coin: Text
    side: Literal["A", "B"]
    px: str
    sz: str
    time: Millis
    tid: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class BookFrame(msgspec.Struct, tag_field="channel", tag="l2Book", gc=False):
    """About twice a second."""

    data: BookData


class TouchFrame(msgspec.Struct, tag_field="channel", tag="bbo", gc=False):
    """At every block that changed it."""

    data: TouchData


class TradesFrame(msgspec.Struct, tag_field="channel", tag="trades", gc=False):
    """Trades; the first frame holds some that were before."""

    data: list[TradeData]


class Pong(msgspec.Struct, tag_field="channel", tag="pong", gc=False):
    """The answer to a ping."""


class Subscribed(msgspec.Struct, tag_field="channel", tag="subscriptionResponse", gc=False):
    """The answer to a subscription."""


class Error(msgspec.Struct, tag_field="channel", tag="error", gc=False):
    """What was wrong with a request."""

    data: str = ""


class Named(msgspec.Struct):
    """Any message, for the name of what is not known here."""

    channel: Text


decode_frame = msgspec.json.Decoder(BookFrame | TouchFrame | TradesFrame | Pong | Subscribed | Error).decode
decode_named = msgspec.json.Decoder(Named).decode
decode_rest_book = msgspec.json.Decoder(BookData).decode

"""Reads Polymarket's live-data socket: the prices that its crypto markets settle on.

Topics are subscribed without a filter, each in a frame of its own, because one unknown topic spoils the whole frame.
What a price is, is told by the form of its symbol as well as by its topic: the back-fill of `btc/usd` comes under the
name of the other feed. A back-fill is kept raw; its prices are of the past and are no prices of now.

`full_accuracy_value` is the price times 1e18 as an integer on the Chainlink topics and a plain decimal on the other.
Where it is absent, the text of `value` is read as a decimal. Prices are rounded to 1e-9.
"""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from observer.kit.clock import NS_PER_MS
from observer.kit.decimals import SCALE
from observer.ports import Instrument, Line, StreamPlan
from observer.venues.polymarket.words import BAD_JSON
from observer.venues.times import believed

STREAM = "rtds"
SOURCES: dict[str, str] = {
    "crypto_prices_chainlink": "chainlink",
    "crypto_prices_twap_sixty": "chainlink-twap60",
    "crypto_prices_twap_thirty": "chainlink-twap30",
    "crypto_prices": "polymarket-binance",
}
_SPOT_TOPICS = ("crypto_prices", "crypto_prices_chainlink")
_E18 = 10**18
_MISREAD = Decimal("0.001")  # the two fields of one price may differ by rounding, never by so much
_MOST = 2**63 - 1


class _Message(msgspec.Struct):
    topic: str = ""
    type: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"")
    status_code: int = msgspec.field(name="statusCode", default=200)


class _Price(msgspec.Struct):
    symbol: str
    timestamp: int
    value: msgspec.Raw
    full_accuracy_value: str | None = None


_read_message = msgspec.json.Decoder(_Message).decode
_read_price = msgspec.json.Decoder(_Price).decode


class _BadPrice(ValueError):
    """A price that cannot be one."""


def feeds(venue: str, coins: Sequence[str]) -> list[Instrument]:
    """One instrument for each source and coin."""
    return [
        Instrument(venue, _key(source, f"{coin}usdt" if topic == "crypto_prices" else f"{coin}/usd"), "", 0,
                   coin.upper(), source)
        for topic, source in SOURCES.items()
        for coin in coins
    ]  # fmt: skip


def plan(url: str, instruments: Sequence[Instrument]) -> StreamPlan:
    """The one connection that carries all of them; it stalls while connected, so it is short-lived."""
    sources = {instrument.source for instrument in instruments}
    frames = [
        msgspec.json.encode({"action": "subscribe", "subscriptions": [{"topic": topic, "type": "*"}]})
        for topic, source in SOURCES.items()
        if source in sources
    ]
    return StreamPlan(
        STREAM, url, tuple(instruments), tuple(frames), ping=b"PING", ping_every_s=5.0, silence_s=10.0, life_s=600.0
    )


class ReferenceStream:
    """Decoder of one connection (`observer.ports.Decoder`)."""

    def __init__(self, instruments: Sequence[Instrument], line: Line) -> None:
        self._line = line
        self._instruments = {instrument.key: instrument for instrument in instruments}

    def message(self, payload: bytes) -> bool:
        """Read one frame; prices of now are data, back-fills and everything else are not."""
        line = self._line
        if not payload.startswith(b"{"):
            if payload.strip().upper() not in (b"", b"PONG"):
                line.refuse("text instead of a message")
            return False
        try:
            message = _read_message(payload)
        except BAD_JSON as error:
            line.refuse(f"message: {type(error).__name__}")
            return False
        if message.status_code >= 400:
            line.refuse(f"venue answers {message.status_code}")
            return False
        if message.topic not in SOURCES:
            line.unknown(message.topic[:60] or "message without a topic")
            return False
        if message.type == "subscribe":
            return False
        if message.type != "update":
            line.unknown(f"{message.topic} {message.type[:40]}")
            return False
        try:
            return self._price(message.topic, _read_price(message.payload))
        except BAD_JSON as error:
            line.refuse(f"{message.topic}: {type(error).__name__}")
        except _BadPrice as error:
            line.refuse(f"{message.topic}: {error}")
        return False

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """There are no books here and none is ever asked for."""

    def _price(self, topic: str, said: _Price) -> bool:
        line = self._line
        source = SOURCES[topic]
        if topic in _SPOT_TOPICS:
            source = "chainlink" if "/" in said.symbol else "polymarket-binance"
        price = _scaled(said, is_e18=source != "polymarket-binance")
        instrument = self._instruments.get(_key(source, said.symbol))
        if instrument is None:
            return True
        line.price(instrument, price, believed(line, said.timestamp * NS_PER_MS))
        return True


def _key(source: str, symbol: str) -> str:
    return f"{source}:{symbol}"


def _scaled(said: _Price, *, is_e18: bool) -> int:
    """The price in units of 1e-9, from the exact field where there is one."""
    value = _decimal(bytes(said.value).decode().strip('"'))
    exact = said.full_accuracy_value
    if exact:
        whole = _decimal(exact)
        precise = whole / _E18 if is_e18 and exact.isdigit() else whole
        if abs(precise - value) > value * _MISREAD:
            raise _BadPrice("value and full_accuracy_value differ")
        value = precise
    scaled = round(value * SCALE)
    if not 0 < scaled <= _MOST:
        raise _BadPrice("price out of range")
    return scaled


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= 48 else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not Decimal("1e-9") <= number < Decimal("1e30"):
        raise _BadPrice("no price")
    return number

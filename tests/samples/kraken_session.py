"""Kraken's side of a conversation, for tests; numbers are given as the text that goes onto the wire."""

from collections.abc import Sequence
from zlib import crc32

from observer.kit.clock import parse_iso
from observer.ports import Instrument

Printed = tuple[str, str]  # price, size

RECV_NS = parse_iso("2026-04-28T10:00:01Z")
AT = "2026-04-28T10:00:00.123456Z"

# The vector of Kraken's checksum guide.
ASKS: list[Printed] = [
    ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
    ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
    ("45297.5", "0.09945542"), ("45299.5", "0.18772827"),
]  # fmt: skip
BIDS: list[Printed] = [
    ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
    ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
    ("45277.3", "1.54602737"), ("45276.6", "0.15445238"),
]  # fmt: skip
CHECKSUM = 3310070434


def pair(symbol: str = "BTC/USD") -> Instrument:
    """A pair of ours."""
    return Instrument("kraken", symbol, "", 0, symbol.partition("/")[0], "kraken")


def checksum(bids: Sequence[Printed], asks: Sequence[Printed]) -> int:
    """The checksum by the letter of Kraken's guide: text in, text out."""
    digits = [text.replace(".", "").lstrip("0") for level in (*asks[:10], *bids[:10]) for text in level]
    return crc32("".join(digits).encode())


def book(
    kind: str,
    bids: Sequence[Printed],
    asks: Sequence[Printed],
    check: int,
    symbol: str = "BTC/USD",
    at: str | None = AT,
) -> bytes:
    """A message of the book channel."""
    sides = [",".join(f'{{"price":{p},"qty":{q}}}' for p, q in side) for side in (bids, asks)]
    when = "" if at is None else f',"timestamp":"{at}"'
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{check}{when}}}]}}'
    ).encode()


def trade(price: str = "45285.2", qty: str = "0.00027625", side: str = "buy", trade_id: int = 10218208) -> bytes:
    """A message of the trade channel."""
    return (
        f'{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"{side}","price":{price},"qty":{qty},'
        f'"ord_type":"limit","trade_id":{trade_id},"timestamp":"{AT}"}}]}}'
    ).encode()

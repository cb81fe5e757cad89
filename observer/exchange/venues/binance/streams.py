"""What Binance's stream names mean, and what a venue does with names that mean nothing: it acknowledges them.

Futures are split by class of data: a stream asked for at the wrong base is acknowledged, and then silent.
"""

import re
from typing import NamedTuple

_NAME = re.compile(r"([a-z0-9]+)@(depth|depth5|depth10|depth20|bookTicker|trade|aggTrade|markPrice)(?:@(\w+))?")
_DEPTH_MS = {
    False: {"": 1000, "1000ms": 1000, "100ms": 100},
    True: {"": 250, "100ms": 100, "500ms": 500},  # the explicit 250ms is acknowledged and silent
}
_MARK_MS = {"": 3000, "1s": 1000}
_MARKET_CLASS = ("aggTrade", "markPrice")


class Stream(NamedTuple):
    """One stream.

    Attributes:
        name: as asked for.
        symbol: upper-case.
        kind: "depth", "bookTicker", "trade", "aggTrade", "markPrice".
        levels: of a partial depth stream, 0 for diffs.
        every_ms: how often it is sent; 0 when something happens.
    """

    name: str
    symbol: str
    kind: str
    levels: int
    every_ms: int


def parse(name: str, is_futures: bool, data_class: str) -> Stream | None:
    """The stream a name means, None where it means nothing here.

    Args:
        name: e.g. "btcusdt@depth@100ms".
        is_futures: which venue.
        data_class: futures: "public", "market", "private", or "" for the legacy address, which is public.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    symbol, kind, speed = match[1].upper(), match[2], match[3] or ""
    if kind.startswith("depth"):
        every_ms = _DEPTH_MS[is_futures].get(speed, 0)
        stream = Stream(name, symbol, "depth", int(kind[5:] or 0), every_ms) if every_ms else None
    elif kind == "markPrice":
        stream = Stream(name, symbol, kind, 0, _MARK_MS[speed]) if is_futures and speed in _MARK_MS else None
    else:
        stream = None if speed else Stream(name, symbol, kind, 0, 0)
    if stream is None or not is_futures:
        return stream
    wanted = "market" if kind in _MARKET_CLASS else "public"
    return stream if (data_class or "public") == wanted else None

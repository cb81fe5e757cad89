"""Making a good frame wrong the way feeds have been seen to go wrong: NaN, negative, crossed, from the future.

Each venue says where the levels and times of its frames are; what is done to them is the same for all.
"""

import re
from collections.abc import Iterator
from typing import Any

from observer.exchange.wire import json_bytes, parse_json

SPOILS = frozenset({"nan", "negative", "crossed", "future"})
_HOUR_MS = 3_600_000
_NAN = "\u0000nan"  # becomes a bare NaN where the venue sends numbers

# (holder of the level, key of its price, key of its size, "bid", "ask" or "" where the frame does not say)
_Level = tuple[Any, Any, Any, str]


def spoil(how: str, venue: str, payload: bytes) -> bytes | None:
    """The frame with one number made wrong, or None where it holds nothing that could be.

    Args:
        how: "nan" (a price), "negative" (a size), "crossed" (a bid above or an offer below everything), "future"
            (an hour ahead).
        venue: whose frame it is.
        payload: the frame.
    """
    document = parse_json(payload)
    if document is None:
        return None
    if how == "future":
        return json_bytes(document) if _move_times(document) else None
    for holder, price, size, side in _levels(venue, document):
        is_number = not isinstance(holder[price], str)
        if how == "nan":
            holder[price] = _NAN if is_number else "NaN"
        elif how == "negative":
            if size is None:
                continue
            holder[size] = -5 if is_number else "-5"
        elif not side:
            continue
        else:
            holder[price] = _across(holder[price], side, venue)
        return json_bytes(document).replace(b'"\\u0000nan"', b"NaN")
    return None


def _across(price: Any, side: str, venue: str) -> Any:
    """A price on the wrong side of everything."""
    if venue in ("polymarket", "kalshi"):
        return "0.999" if side == "bid" else "0.001"
    far = float(price) * (10 if side == "bid" else 0.1)
    return f"{far:.2f}" if isinstance(price, str) else far


def _levels(venue: str, document: Any) -> Iterator[_Level]:
    if venue == "polymarket":
        yield from _polymarket(document)
    elif venue == "kalshi":
        message = document.get("msg") or {}
        if "price_dollars" in message and "delta_fp" in message:
            # Any bid of one side that reaches the best bid of the other, both counted from 1, is crossed.
            yield message, "price_dollars", "price_dollars", "bid"  # a negative change is lawful, a price is not
        for key in ("yes_dollars_fp", "no_dollars_fp"):
            yield from ((row, 0, 1, "bid") for row in message.get(key, ()))
    elif venue.startswith("binance"):
        body = document.get("data", document)
        for key, side in (("b", "bid"), ("a", "ask")):
            rows = body.get(key)
            if isinstance(rows, list):
                yield from ((row, 0, 1, side) for row in rows)
            elif body.get("e") != "aggTrade" and isinstance(rows, str):
                yield body, key, key.upper(), side
        if "p" in body and "q" in body:
            yield body, "p", "q", ""
    elif venue == "coinbase":
        for event in document.get("events", ()):
            for row in event.get("updates", ()):
                yield row, "price_level", "new_quantity", "bid" if row["side"] == "bid" else "ask"
            yield from ((row, "price", "size", "") for row in event.get("trades", ()))
    elif venue == "kraken":
        for row in document.get("data", ()):
            for key, side in (("bids", "bid"), ("asks", "ask")):
                yield from ((level, "price", "qty", side) for level in row.get(key, ()))
            if "price" in row:
                yield row, "price", "qty", ""
    elif venue == "hyperliquid":
        body = document.get("data")
        if isinstance(body, dict):
            for rows, side in zip(body.get("levels", ()), ("bid", "ask"), strict=False):
                yield from ((row, "px", "sz", side) for row in rows)
        elif isinstance(body, list):
            yield from ((row, "px", "sz", "") for row in body)


def _polymarket(document: Any) -> Iterator[_Level]:
    for event in document if isinstance(document, list) else [document]:
        for row in event.get("price_changes", ()):
            yield row, "price", "size", "bid" if row["side"] == "BUY" else "ask"
        for key, side in (("bids", "bid"), ("asks", "ask")):
            yield from ((row, "price", "size", side) for row in event.get(key, ()))
        if event.get("event_type") == "last_trade_price":
            yield event, "price", "size", ""
        payload = event.get("payload")
        if isinstance(payload, dict) and "value" in payload:
            yield payload, "value", None, ""


_RFC3339 = re.compile(r"^(\d{4})(-\d\d-\d\dT.*Z)$")
_TIME_KEYS = frozenset({"timestamp", "time", "ts_ms", "E", "T", "event_time"})


def _move_times(value: Any) -> bool:
    """Put every time in the document an hour (a year, where it is text) ahead; False where there is none."""
    moved = False
    if isinstance(value, dict):
        for key, item in value.items():
            if key in _TIME_KEYS and not isinstance(item, dict | list):
                later = _later(item)
                if later is not None:
                    value[key] = later
                    moved = True
            else:
                moved |= _move_times(item)
    elif isinstance(value, list):
        for item in value:
            moved |= _move_times(item)
    return moved


def _later(item: Any) -> Any:
    if isinstance(item, int):
        return item + _HOUR_MS
    if isinstance(item, str) and item.isdigit():
        return str(int(item) + _HOUR_MS)
    match = _RFC3339.match(item) if isinstance(item, str) else None
    return f"{int(match[1]) + 1}{match[2]}" if match else None

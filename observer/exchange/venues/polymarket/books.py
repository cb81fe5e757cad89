"""Polymarket's books as JSON, with the hash that says which state they are."""

from hashlib import sha1
from typing import Any

from observer.book import ASK, BID
from observer.exchange.venues.polymarket.listed import Listed
from observer.exchange.wire import json_bytes
from observer.kit.decimals import text_of

_MOST_LEVELS = 1_000
MIN_ORDER = "5"


def book_hash(book: dict[str, Any]) -> str:
    """SHA-1 of the compact JSON of a whole REST book, its own hash left empty, keys in the order given there."""
    return sha1(json_bytes({**book, "hash": ""})).hexdigest()


def rest_book(listed: Listed, which: int, stamp_ms: int) -> dict[str, Any]:
    """What `/book` answers: bids ascend, offers descend, the best is last."""
    book = {**_sides(listed, which, stamp_ms), **_terms(listed, which)}
    book["hash"] = book_hash(book)
    return book


def socket_book(listed: Listed, which: int, stamp_ms: int) -> dict[str, Any]:
    """What the socket sends as `book`: the same state and hash, other fields around it."""
    rest = rest_book(listed, which, stamp_ms)
    found = {key: rest[key] for key in ("market", "asset_id", "timestamp", "hash", "bids", "asks", "tick_size")}
    found["event_type"] = "book"
    found["last_trade_price"] = rest["last_trade_price"]
    if listed.version == "v2":
        found["version"] = "v2"
    return found


def last_price(listed: Listed, which: int) -> str:
    """The last trade's price as text, "" before the first trade."""
    price = listed.market.last_price[which]
    return text_of(price) if price else ""


def _sides(listed: Listed, which: int, stamp_ms: int) -> dict[str, Any]:
    book = listed.market.books[which]
    return {
        "market": listed.condition_id,
        "asset_id": listed.token(which),
        "timestamp": str(stamp_ms),
        "hash": "",
        "bids": _levels(book.top(BID, _MOST_LEVELS)),
        "asks": _levels(book.top(ASK, _MOST_LEVELS)),
    }


def _terms(listed: Listed, which: int) -> dict[str, Any]:
    return {
        "min_order_size": MIN_ORDER,
        "tick_size": text_of(listed.market.tick),
        "neg_risk": listed.is_negative_risk,
        "last_trade_price": last_price(listed, which),
    }


def _levels(levels: list[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"price": text_of(price), "size": text_of(size)} for price, size in reversed(levels)]

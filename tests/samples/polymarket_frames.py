"""Polymarket messages in the venue's own schema, with made-up values."""

import json
from typing import Any

from observer.kit.clock import NS_PER_MS
from observer.ports import Instrument
from observer.records import DOWN, UP

UP_ID = "48388091485466084032258596983551595414700058539322197443810535093166937854987"
DOWN_ID = "61239215649395191360236665642361373285369855891601242399674202107726866894461"
OTHER_ID = "21877884362864520105095713465324802268226241687841418558631884372653365875256"
MARKET_ID = "btc-updown-15m-1777366800"
AT_MS = 1_777_366_994_943
RECV_NS = (AT_MS + 60) * NS_PER_MS

Levels = list[tuple[str, str]]


def instruments(market_id: str = MARKET_ID) -> list[Instrument]:
    """Up and Down of one window."""
    return [Instrument("polymarket", key, market_id, token, "BTC") for key, token in ((UP_ID, UP), (DOWN_ID, DOWN))]


def frame(**fields: Any) -> bytes:
    """One event, as it is sent: the type at the end."""
    kind = fields.pop("event_type")
    return json.dumps({"market": "0xd2d9", **fields, "event_type": kind}).encode()


def book(key: str, bids: Levels, asks: Levels, at_ms: int = AT_MS) -> bytes:
    """A whole book, best last on both sides."""
    return frame(
        event_type="book", asset_id=key, timestamp=str(at_ms), hash="5662", tick_size="0.01", last_trade_price="0.52",
        bids=_levels(sorted(bids)), asks=_levels(sorted(asks, reverse=True)),
    )  # fmt: skip


def changes(*changed: tuple[str, str, str, str, str, str], at_ms: int = AT_MS) -> bytes:
    """New totals: (token, side, price, size, best bid, best ask) each."""
    names = ("asset_id", "side", "price", "size", "best_bid", "best_ask")
    entries = [dict(zip(names, entry, strict=True)) | {"hash": "5662"} for entry in changed]
    return frame(event_type="price_change", price_changes=entries, timestamp=str(at_ms))


def old_changes(key: str, *changed: tuple[str, str, str], at_ms: int = AT_MS) -> bytes:
    """New totals in the schema of before 2025-09-15: (side, price, size) each."""
    entries = [dict(zip(("side", "price", "size"), entry, strict=True)) for entry in changed]
    return frame(event_type="price_change", asset_id=key, changes=entries, hash="5662", timestamp=str(at_ms))


def trade(key: str, side: str, price: str, size: str, at_ms: int = AT_MS, transaction: str = "0xab") -> bytes:
    """A trade."""
    return frame(
        event_type="last_trade_price", asset_id=key, price=price, size=size, side=side, fee_rate_bps="0",
        timestamp=str(at_ms), transaction_hash=transaction,
    )  # fmt: skip


def rest_book(key: str, bids: Levels, asks: Levels, at_ms: int = AT_MS) -> bytes:
    """`GET /book`."""
    return json.dumps({
        "market": "0xd2d9", "asset_id": key, "timestamp": str(at_ms), "hash": "0458", "bids": _levels(sorted(bids)),
        "asks": _levels(sorted(asks, reverse=True)), "min_order_size": "5", "tick_size": "0.01", "neg_risk": False,
        "last_trade_price": "",
    }).encode()  # fmt: skip


def array(*frames: bytes) -> bytes:
    """Several events in one frame."""
    return b"[" + b",".join(frames) + b"]"


def _levels(levels: Levels) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in levels]

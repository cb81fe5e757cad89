"""The market socket's events as JSON."""

from hashlib import sha1
from typing import Any

from observer.book import BID
from observer.exchange.markets.binary import Change, Print
from observer.exchange.venues.polymarket.gamma import winner_of
from observer.exchange.venues.polymarket.listed import Listed
from observer.exchange.wire import identifier
from observer.kit.decimals import text_of
from observer.records import BUY, UP


def price_change(listed: Listed, changes: tuple[Change, ...], stamp_ms: int) -> dict[str, Any]:
    """New totals; each entry tells the best prices of its token after it."""
    return {
        "market": listed.condition_id,
        "price_changes": [_entry(listed, change, stamp_ms) for change in changes],
        "timestamp": str(stamp_ms),
        "event_type": "price_change",
    }


def _entry(listed: Listed, change: Change, stamp_ms: int) -> dict[str, str]:
    token, price, size = listed.token(change.token), text_of(change.price), text_of(change.new)
    return {
        "asset_id": token,
        "price": price,
        "size": size,
        "side": "BUY" if change.side == BID else "SELL",
        "hash": sha1(f"{token}{price}{size}{stamp_ms}".encode()).hexdigest(),
        "best_bid": text_of(change.best_bid),
        "best_ask": text_of(change.best_ask),
    }


def last_trade(listed: Listed, trade: Print, stamp_ms: int) -> dict[str, Any]:
    """A trade, by what the taker did."""
    return {
        "market": listed.condition_id,
        "asset_id": listed.token(trade.token),
        "price": text_of(trade.price),
        "size": text_of(trade.size),
        "side": "BUY" if trade.side == BUY else "SELL",
        "fee_rate_bps": "0",
        "timestamp": str(stamp_ms),
        "transaction_hash": "0x" + identifier("trade", listed.slug, trade.number),
        "event_type": "last_trade_price",
    }


def tick_size_change(listed: Listed, which: int, old: int, stamp_ms: int) -> dict[str, Any]:
    """Another price step from now on."""
    return {
        "market": listed.condition_id,
        "asset_id": listed.token(which),
        "old_tick_size": text_of(old),
        "new_tick_size": text_of(listed.market.tick),
        "timestamp": str(stamp_ms),
        "event_type": "tick_size_change",
    }


def best_bid_ask(listed: Listed, which: int, bid: int, ask: int, stamp_ms: int) -> dict[str, Any]:
    """The best prices; only for those who asked for custom features."""
    return {
        "market": listed.condition_id,
        "asset_id": listed.token(which),
        "best_bid": text_of(bid),
        "best_ask": text_of(ask),
        "spread": text_of(max(ask - bid, 0)),
        "timestamp": str(stamp_ms),
        "event_type": "best_bid_ask",
    }


def new_market(listed: Listed, stamp_ms: int) -> dict[str, Any]:
    """A market that has just been listed; only for those who asked for custom features."""
    event = listed.event
    return {
        "id": str(listed.number), "question": listed.question, "market": listed.condition_id, "slug": listed.slug,
        "description": event.description, "assets_ids": list(listed.tokens), "outcomes": list(listed.outcomes),
        "event_message": _message(listed), "timestamp": str(stamp_ms), "event_type": "new_market",
        "tags": [tag.slug for tag in event.tags], "condition_id": listed.condition_id, "active": False,
        "clob_token_ids": list(listed.tokens), "sports_market_type": "", "line": "", "game_start_time": "",
        "order_price_min_tick_size": text_of(listed.market.tick), "group_item_title": "", "taker_base_fee": "1000",
        "fees_enabled": listed.fees.rate > 0,
        "fee_schedule": {
            "exponent": str(listed.fees.exponent), "rate": str(listed.fees.rate), "taker_only": True,
            "rebate_rate": str(listed.fees.rebate),
        },
    }  # fmt: skip


def market_resolved(listed: Listed, stamp_ms: int, now_ns: int) -> dict[str, Any] | None:
    """Who won, for those who asked for custom features; None where nobody did."""
    winner = winner_of(listed, now_ns)
    if winner is None:
        return None
    return {
        "id": str(listed.number), "market": listed.condition_id, "assets_ids": list(listed.tokens),
        "winning_asset_id": listed.token(winner), "winning_outcome": listed.outcomes[0 if winner == UP else 1],
        "event_message": _message(listed), "timestamp": str(stamp_ms), "event_type": "market_resolved",
        "tags": [tag.slug for tag in listed.event.tags],
    }  # fmt: skip


def _message(listed: Listed) -> dict[str, str]:
    event = listed.event
    return {
        "id": str(event.number), "ticker": event.slug, "slug": event.slug, "title": event.title,
        "description": event.description,
    }  # fmt: skip

"""Kalshi's side of a conversation, for tests: its messages, and the books they should add up to."""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from observer.kit.clock import NS_PER_MS
from observer.ports import Instrument, Line
from observer.records import UP
from observer.venues.kalshi import Kalshi
from observer.venues.kalshi.decoder import KalshiDecoder
from observer.venues.kalshi.signing import Signer
from observer.venues.urls import URLS

TICKER, OTHER = "KXBTC15M-26NOV201415-15", "KXETH15M-26NOV201415-15"
AT_MS = 1_795_201_381_123
RECV_NS = (AT_MS + 40) * NS_PER_MS


def venue() -> Kalshi:
    """A venue with a key of its own."""
    return Kalshi(dict(URLS), Signer("test-key", ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)))


def up(ticker: str = TICKER, market_id: str | None = None) -> Instrument:
    """The book of a market."""
    return Instrument("kalshi", ticker, market_id or ticker, UP, ticker[2:5])


def decoder(line: Line, *instruments: Instrument, is_running: bool = True) -> KalshiDecoder:
    """A decoder of one connection; with `is_running` its book subscription has number 1."""
    made = venue()
    [plan] = made.plan(instruments or [up()])
    reader = made.decoder(plan, line)
    assert isinstance(reader, KalshiDecoder)
    if is_running:
        reader.message(subscribed())
    return reader


def frame(**fields: Any) -> bytes:
    """A message."""
    return json.dumps(fields).encode()


def subscribed(command: int = 1, channel: str = "orderbook_delta", sid: int = 1) -> bytes:
    """The answer to a subscribe command."""
    return frame(id=command, type="subscribed", msg={"channel": channel, "sid": sid})


def snapshot(seq: int, yes: list[list[str]], no: list[list[str]], ticker: str = TICKER, sid: int = 1) -> bytes:
    """A whole book."""
    body = {"market_ticker": ticker, "market_id": "8f1b", "yes_dollars_fp": yes, "no_dollars_fp": no}
    return frame(type="orderbook_snapshot", sid=sid, seq=seq, msg=body)


def delta(seq: int, side: str, price: str, change: str, ticker: str = TICKER, sid: int = 1, **more: Any) -> bytes:
    """A change of a level."""
    body = {
        "market_ticker": ticker, "market_id": "8f1b", "price_dollars": price, "delta_fp": change, "side": side,
        "ts": "2026-11-20T19:03:01.123456Z", "ts_ms": AT_MS, **more,
    }  # fmt: skip
    return frame(type="orderbook_delta", sid=sid, seq=seq, msg=body)


def trade(trade_id: str = "t-1", **more: Any) -> bytes:
    """A trade; fields given as None are absent."""
    body = {
        "trade_id": trade_id, "market_ticker": TICKER, "yes_price_dollars": "0.5600", "no_price_dollars": "0.4400",
        "count_fp": "136.00", "taker_side": "yes", "taker_outcome_side": "yes", "taker_book_side": "bid",
        "is_block_trade": False, "ts": AT_MS // 1000, "ts_ms": AT_MS, **more,
    }  # fmt: skip
    return frame(type="trade", sid=2, msg={key: value for key, value in body.items() if value is not None})


def lifecycle(event_type: str, ticker: str = TICKER, **more: Any) -> bytes:
    """Something happened to a market."""
    return frame(type="market_lifecycle_v2", sid=3, msg={"event_type": event_type, "market_ticker": ticker, **more})


def commands(sent: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The commands a `RecordingLine` was told to send."""
    return [json.loads(payload) for (payload,) in sent]

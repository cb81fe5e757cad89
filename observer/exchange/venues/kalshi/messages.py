"""Kalshi's markets, books and events as JSON: dollars with four decimals, counts with two."""

from typing import Any

from observer.book import ASK, BID
from observer.exchange.markets.binary import Binary, Change
from observer.exchange.venues.kalshi.listed import Contract, TimedPrint
from observer.exchange.wire import fixed, ms, rfc3339, uuid
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.records import BUY, DOWN, UP

SIDES = {UP: "yes", DOWN: "no"}


def dollars(price: int) -> str:
    """`0.5400`."""
    return fixed(price, 4)


def count(size: int) -> str:
    """`120.00`."""
    return fixed(size, 2)


def levels(market: Binary, token: int, depth: int, *, in_yes: bool = False) -> list[list[str]]:
    """Bids of one side, ascending, the best last."""
    top = market.books[token].top(BID, depth)
    return [[dollars(SCALE - price if in_yes else price), count(size)] for price, size in reversed(top)]


def market_json(contract: Contract, now_ns: int) -> dict[str, Any]:
    """A market as REST shows it."""
    up, down = contract.market.books[UP], contract.market.books[DOWN]
    status, result = contract.status(now_ns), contract.result(now_ns)
    has_opened = now_ns >= contract.open_ns
    best = {side: (up.top(side, 1) or [(0 if side == BID else SCALE, 0)])[0] for side in (BID, ASK)}
    found: dict[str, Any] = {
        "ticker": contract.ticker, "event_ticker": contract.event_ticker, "market_type": "binary",
        "title": f"{contract.coin.word} price up in next 15 mins?", "yes_sub_title": "Up", "no_sub_title": "Down",
        "created_time": rfc3339(contract.open_ns, 0), "open_time": rfc3339(contract.open_ns, 0),
        "close_time": rfc3339(contract.close_ns, 0), "expected_expiration_time": rfc3339(contract.close_ns, 0),
        "latest_expiration_time": rfc3339(contract.close_ns + 7 * 86_400 * NS_PER_S, 0), "settlement_timer_seconds": 60,
        "status": status, "yes_bid_dollars": dollars(best[BID][0]), "yes_bid_size_fp": count(best[BID][1]),
        "yes_ask_dollars": dollars(best[ASK][0]), "yes_ask_size_fp": count(best[ASK][1]),
        "no_bid_dollars": dollars(down.best(BID)), "no_ask_dollars": dollars(down.best(ASK) or SCALE),
        "last_price_dollars": dollars(contract.market.last_price[UP]), "notional_value_dollars": "1.0000",
        "volume_fp": _volume(contract), "volume_24h_fp": _volume(contract),
        "open_interest_fp": "0.00", "result": result, "can_close_early": False, "expiration_value": "",
        "strike_type": "greater_or_equal", "rules_primary": _rules(contract), "rules_secondary": "",
        "price_level_structure": "linear_cent", "exchange_index": 0,
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
    }  # fmt: skip
    if has_opened:
        found["floor_strike"] = round(contract.strike(), 2)
    if result:
        found["settlement_value_dollars"] = "1.0000" if result == "yes" else "0.0000"
    if status == "finalized":
        found["settlement_ts"] = rfc3339(contract.settled_ns, 0)
    return found


def trade_json(contract: Contract, timed: TimedPrint) -> dict[str, Any]:
    """A trade as REST shows it."""
    return {**_trade(contract, timed), "ticker": contract.ticker, "created_time": rfc3339(timed.ns)}


def trade_message(contract: Contract, timed: TimedPrint, skew_ns: int) -> dict[str, Any]:
    """A trade as the socket shows it."""
    stamp = ms(timed.ns + skew_ns)
    return {**_trade(contract, timed), "market_ticker": contract.ticker, "ts": stamp // 1000, "ts_ms": stamp}


def _trade(contract: Contract, timed: TimedPrint) -> dict[str, Any]:
    trade = timed.trade
    price = trade.price if trade.token == UP else SCALE - trade.price
    takes_yes = (trade.token == UP) == (trade.side == BUY)
    return {
        "trade_id": uuid("trade", contract.ticker, trade.number), "yes_price_dollars": dollars(price),
        "no_price_dollars": dollars(SCALE - price), "count_fp": count(trade.size),
        "taker_side": "yes" if takes_yes else "no", "taker_outcome_side": "yes" if takes_yes else "no",
        "taker_book_side": "bid" if takes_yes else "ask", "is_block_trade": False,
    }  # fmt: skip


def snapshot_message(contract: Contract, *, in_yes: bool) -> dict[str, Any]:
    """A whole book; a side without bids is left out."""
    message: dict[str, Any] = {"market_ticker": contract.ticker, "market_id": uuid("market", contract.ticker)}
    for token, name in SIDES.items():
        rows = levels(contract.market, token, 1_000, in_yes=in_yes and token == DOWN)
        if rows:
            message[f"{name}_dollars_fp"] = rows
    return message


def delta_message(contract: Contract, change: Change, stamp_ns: int, *, in_yes: bool) -> dict[str, Any]:
    """A signed change of one level of bids."""
    price = SCALE - change.price if in_yes and change.token == DOWN else change.price
    return {
        "market_ticker": contract.ticker, "market_id": uuid("market", contract.ticker), "price_dollars": dollars(price),
        "delta_fp": count(change.new - change.old), "side": SIDES[change.token], "ts": rfc3339(stamp_ns),
        "ts_ms": ms(stamp_ns),
    }  # fmt: skip


def ticker_message(contract: Contract, stamp_ns: int) -> dict[str, Any]:
    """The best prices and the last trade."""
    market = contract.market
    (bid, bid_size), (ask, ask_size) = (
        (market.books[UP].top(side, 1) or [(0 if side == BID else SCALE, 0)])[0] for side in (BID, ASK)
    )
    last = contract.trades[-1].trade.size if contract.trades else 0
    return {
        "market_ticker": contract.ticker, "market_id": uuid("market", contract.ticker),
        "price_dollars": dollars(market.last_price[UP]), "yes_bid_dollars": dollars(bid),
        "yes_ask_dollars": dollars(ask),
        "volume_fp": _volume(contract), "open_interest_fp": "0.00", "dollar_volume": 0, "dollar_open_interest": 0,
        "yes_bid_size_fp": count(bid_size), "yes_ask_size_fp": count(ask_size), "last_trade_size_fp": count(last),
        "ts": stamp_ns // NS_PER_S, "ts_ms": ms(stamp_ns), "time": rfc3339(stamp_ns),
    }  # fmt: skip


def created_message(contract: Contract) -> dict[str, Any]:
    """A market has been listed."""
    close = contract.close_ns // NS_PER_S
    return {
        "event_type": "created", "market_ticker": contract.ticker, "open_ts": contract.open_ns // NS_PER_S,
        "close_ts": close,
        "additional_metadata": {
            "name": "Up", "title": f"{contract.coin.word} price up in next 15 mins?", "yes_sub_title": "Up",
            "no_sub_title": "Down", "rules_primary": _rules(contract), "can_close_early": False,
            "expected_expiration_ts": close, "strike_type": "greater_or_equal",
        },
    }  # fmt: skip


def determined_message(contract: Contract, now_ns: int) -> dict[str, Any]:
    """A market's result."""
    result = contract.result(now_ns)
    return {
        "event_type": "determined", "market_ticker": contract.ticker, "result": result,
        "determination_ts": contract.determined_ns // NS_PER_S,
        "settlement_value": "1.0000" if result == "yes" else "0.0000",
    }  # fmt: skip


def settled_message(contract: Contract) -> dict[str, Any]:
    """A market is paid out."""
    return {
        "event_type": "settled", "market_ticker": contract.ticker, "settled_ts": contract.settled_ns // NS_PER_S,
    }  # fmt: skip


def event_message(contract: Contract) -> dict[str, Any]:
    """The event of a new market."""
    return {
        "event_ticker": contract.event_ticker, "title": f"{contract.coin.word} 15 min up or down", "sub_title": "",
        "collateral_return_type": "", "series_ticker": contract.series_ticker,
        "strike_date": contract.close_ns // NS_PER_S,
    }  # fmt: skip


def _volume(contract: Contract) -> str:
    return count(sum(timed.trade.size for timed in contract.trades))


def _rules(contract: Contract) -> str:
    return (
        f"Resolves to Yes if the average of the 60 one-second values of the {contract.coin.name} index in the last "
        "minute before the close is at least the price to beat."
    )

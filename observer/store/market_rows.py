"""A market as one row of plain data and back: for the store's table, and for the live recorder's notes."""

from dataclasses import replace
from typing import Any

from observer.records import FeeSchedule, Market

_FEE_FIELDS = ("name", "kind", "rate", "exponent", "rounding_usd", "round_up", "taken_in", "from_ns", "to_ns")


def market_row(market: Market) -> dict[str, Any]:
    """A market as one row of plain data."""
    plain = ("market_id", "venue", "series", "symbol", "open_ns", "close_ns", "tick_ns", "price_tick", "lot_shares")
    row = {name: getattr(market, name) for name in (*plain, "strike", "settlement_rule", "source")}
    return {**row, **{f"fee_{name}": getattr(market.fees, name) for name in _FEE_FIELDS}}


def market_from(row: dict[str, Any]) -> Market:
    """The market that `market_row` took apart."""
    fees = FeeSchedule(**{name: row[f"fee_{name}"] for name in _FEE_FIELDS})
    return Market(fees=fees, **{key: value for key, value in row.items() if not key.startswith("fee_")})


def plain_market(market: Market) -> Market:
    """The market with plain Python numbers, as it will be read back."""
    strike = None if market.strike is None else float(market.strike)
    times = {name: int(getattr(market, name)) for name in ("open_ns", "close_ns", "tick_ns")}
    return replace(market, strike=strike, **times)

"""From Kalshi's description of a market to a window that can be recorded.

Up is yes. A quarter-hour market is its own window; a longer one is cut into windows of one UTC hour at most, called
`<ticker>#2026-11-25T14`. One book serves both tokens, so a listing has the Up instrument only and is mirrored.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from observer.kit.clock import NS_PER_S, parse_iso
from observer.kit.decimals import SCALE, BadNumber, scaled
from observer.ports import Instrument, Listing
from observer.records import UP, FeeSchedule, Market
from observer.venues.fees import schedule_on
from observer.venues.kalshi.rest import MarketRow, SeriesRow

VENUE = "kalshi"
HOUR_NS, QUARTER_HOUR_NS = 3600 * NS_PER_S, 900 * NS_PER_S
CUT = "#"
# What a user may ask for, and the venue's categories that it means.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "crypto": ("Crypto",),
    "politics": ("Politics", "Elections"),
    "sports": ("Sports",),
    "finance": ("Economics", "Financials", "Companies"),
}

_TICK_NS = NS_PER_S // 2
_QUARTER_HOUR = re.compile(r"KX([A-Z0-9]+)15M")
_QUADRATIC = ("quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees")
_STEPS = {"linear_cent": "0.01", "tapered_deci_cent": "0.001", "deci_cent": "0.001"}
_OVER = ("closed", "determined", "disputed", "amended", "finalized", "settled")
_ABOVE_STRIKE = ("greater", "greater_or_equal")


@dataclass(frozen=True, slots=True)
class Hour:
    """One UTC hour of a category.

    Attributes:
        category: a key of `CATEGORIES`.
        coins: known coins, to tell what a crypto series is about.
        begin_ns: when the hour begins.
    """

    category: str
    coins: frozenset[str]
    begin_ns: int


def coin_of(series: str) -> str:
    """The coin of a quarter-hour series (`KXBTC15M` is BTC's), "" for any other series."""
    found = _QUARTER_HOUR.fullmatch(series)
    return found[1] if found else ""


def fees_of(series: SeriesRow, when_ns: int) -> FeeSchedule | None:
    """What takers pay in a series, None where no law of ours says it (a `flat` fee)."""
    if series.fee_type not in _QUADRATIC or series.fee_multiplier < 0:
        return None
    schedule = schedule_on(VENUE, when_ns)
    if series.fee_multiplier == 1:
        return schedule
    name = f"{schedule.name}-x{series.fee_multiplier:g}"
    return replace(schedule, name=name, rate=schedule.rate * series.fee_multiplier)


def is_recordable(row: MarketRow) -> bool:
    """Whether a market is binary and not over."""
    return row.market_type == "binary" and row.status not in _OVER


def quarter_hour(row: MarketRow, series: SeriesRow) -> Listing | None:
    """A quarter-hour market's window, None where it does not end on a quarter of an hour.

    Raises:
        ValueError: a time that cannot be read.
    """
    close_ns, coin = parse_iso(row.close_time), coin_of(series.ticker)
    open_ns = max(parse_iso(row.open_time), close_ns - QUARTER_HOUR_NS)
    if close_ns % QUARTER_HOUR_NS or open_ns >= close_ns:
        return None
    return _listing(row, series, row.ticker, coin, open_ns, close_ns, ("crypto", coin.lower(), "15m", "up-down"))


def hour_of(row: MarketRow, series: SeriesRow, hour: Hour) -> Listing | None:
    """The part of a longer market in one hour, None where there is none; raises `ValueError` for an unreadable time."""
    ends_ns = hour.begin_ns + HOUR_NS
    open_ns, close_ns = max(hour.begin_ns, parse_iso(row.open_time)), min(ends_ns, parse_iso(row.close_time))
    if open_ns >= close_ns:
        return None
    symbol = series.ticker.removeprefix("KX")
    if hour.category == "crypto":
        symbol = max((coin for coin in hour.coins if symbol.startswith(coin)), key=len, default=symbol)
    tags = dict.fromkeys([hour.category, *(tag.lower() for tag in series.tags or []), series.ticker.lower()])
    market_id = f"{row.ticker}{CUT}{datetime.fromtimestamp(hour.begin_ns // NS_PER_S, UTC):%Y-%m-%dT%H}"
    return _listing(row, series, market_id, symbol, open_ns, close_ns, tuple(tags))


def price_step(row: MarketRow) -> float:
    """The smallest price step anywhere in the market, USD."""
    steps = [entry.step for entry in row.price_ranges or []] or [_STEPS.get(row.price_level_structure or "", "0.01")]
    try:
        step = min(scaled(step) for step in steps)
    except BadNumber:
        step = 0
    return step / SCALE if 0 < step < SCALE else 0.01


def strike_of(row: MarketRow) -> float | None:
    """The price that yes must reach, where the market is about reaching one and says which."""
    if row.floor_strike is None or (row.strike_type or "greater") not in _ABOVE_STRIKE:
        return None
    try:
        strike = float(row.floor_strike)
    except ValueError:
        return None
    return strike if 0 < strike < float("inf") else None


def _listing(
    row: MarketRow, series: SeriesRow, market_id: str, symbol: str, open_ns: int, close_ns: int, tags: tuple[str, ...]
) -> Listing | None:
    fees = fees_of(series, open_ns)
    if fees is None:
        return None
    market = Market(
        market_id=market_id, venue=VENUE, series=series.ticker, symbol=symbol, open_ns=open_ns, close_ns=close_ns,
        tick_ns=_TICK_NS, price_tick=price_step(row), lot_shares=0.01 if row.fractional_trading_enabled else 1.0,
        fees=fees, settlement_rule=row.rules_primary.strip() or "as the venue's rules for this market say",
        strike=strike_of(row), source=VENUE,
    )  # fmt: skip
    up = Instrument(VENUE, row.ticker, market_id, UP, symbol)
    return Listing(
        market, (up,), is_mirrored=True, tags=tags, condition_id=row.ticker, ends_ns=parse_iso(row.close_time)
    )

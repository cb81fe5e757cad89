"""What the two recorders of Polymarket's quarter-hour BTC market have in common: the market and its outcome."""

from pathlib import Path

import numpy as np

from observer.importers.source import Columns, groups, read_columns
from observer.kit.clock import NS_PER_S
from observer.records import DOWN_ASK, DOWN_BID, UP_ASK, UP_BID, Market
from observer.store.refusals import NO_MARKET, ImportReport
from observer.venues.fees import schedule_on

SERIES = "btc-updown-15m"
QUOTES: dict[str, int] = {"up_bid": UP_BID, "up_ask": UP_ASK, "down_bid": DOWN_BID, "down_ask": DOWN_ASK}
_MARKET_COLUMNS = ("market_start", "market_end", "slug", "outcome_inferred")
_PAYOFF_UP = {"Up": 1.0, "Down": 0.0}


def read_markets(path: Path, source: str) -> dict[int, tuple[Market, float | None]]:
    """Opening time -> the market, and what one Up share paid by the quotes at the end (None: undecided).

    The fee schedule is the one in force when the window opened.
    """
    table = read_columns(path, _MARKET_COLUMNS)
    found: dict[int, tuple[Market, float | None]] = {}
    for open_ns, close_ns, slug, outcome in zip(*(table[name] for name in _MARKET_COLUMNS), strict=True):
        market = Market(
            market_id=str(slug), venue="polymarket", series=SERIES, symbol="BTC",
            open_ns=int(open_ns), close_ns=int(close_ns), tick_ns=NS_PER_S, price_tick=0.001, lot_shares=0.01,
            fees=schedule_on("polymarket-crypto", int(open_ns)),
            settlement_rule="Up if the Chainlink BTC/USD price at the close is not below the one at the open",
            source=source,
        )  # fmt: skip
        found[int(open_ns)] = (market, _PAYOFF_UP.get(outcome))
    return found


def windows(ticks: Columns, markets: dict[int, tuple[Market, float | None]], report: ImportReport):
    """(market, payoff_up or None, row numbers) of each recorded window, in order of opening time."""
    found: list[tuple[Market, float | None, np.ndarray]] = []
    for start_ns, rows in groups(ticks["market_start"]):
        if int(start_ns) not in markets:
            report.seen["tick"] += len(rows)
            report.refuse("tick", NO_MARKET, f"window of {int(start_ns) // NS_PER_S}", len(rows))
            continue
        found.append((*markets[int(start_ns)], rows))
    return sorted(found, key=lambda window: window[0].open_ns)

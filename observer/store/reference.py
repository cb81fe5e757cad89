"""The price of the underlying as it was known at each tick.

Reference prices are stored apart from the ticks and joined when a tape is read, so it does not matter which of
the two was imported first. The join looks backwards only: a tick gets the latest price whose `recv_ns` is not
after its own, and how old that price was. A price older than a minute is not used.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.kit.clock import NS_PER_S
from observer.records import REFERENCE, REFERENCE_AGE_S

MAX_AGE_S = 60.0
# Where several sources quote one symbol, the first of these that is fresh enough speaks; others by name. Prices of now
# come before averages, which are what some markets settle on but lag the price by half their length.
PREFERRED = (
    "chainlink", "binance-spot", "binance-usdm", "binance-cm", "polymarket-binance", "coinbase", "kraken",
    "hyperliquid", "kalshi-cf", "chainlink-twap30", "chainlink-twap60",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one symbol from one source: (N,) times never decreasing, (N,) USD."""

    recv_ns: NDArray[np.int64]
    price: NDArray[np.float64]


def by_preference(sources: list[str]) -> list[str]:
    """The sources in the order in which they are asked."""
    return sorted(sources, key=lambda source: (PREFERRED.index(source) if source in PREFERRED else 99, source))


def fill_reference(recv_ns: NDArray[np.int64], rows: NDArray[np.float64], sources: list[Prices]) -> None:
    """Fill, in place, the reference columns of the rows that have none of their own.

    Args:
        recv_ns: (T,) tick times.
        rows: (T, C).
        sources: most preferred first.
    """
    for prices in sources:
        lacks = np.isnan(rows[:, REFERENCE])
        last = np.searchsorted(prices.recv_ns, recv_ns, side="right") - 1
        age_s = (recv_ns - prices.recv_ns[np.maximum(last, 0)]) / NS_PER_S
        use = lacks & (last >= 0) & (age_s <= MAX_AGE_S)
        rows[use, REFERENCE] = prices.price[last[use]]
        rows[use, REFERENCE_AGE_S] = age_s[use]

"""The replay feed: a recording played again, with recorded depth, and with every window's end.

A window ends when the clock has passed its close, not when its last tick came, because live could not know which
one that was. The feed cannot open the outcomes.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.records import Ladder, Market
from observer.store.reader import Recording
from observer.store.schemas import BOOK
from observer.venues.replay import replay


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick of one window: row (C,), and recorded depth (S, K) where there is any."""

    market: Market
    recv_ns: int
    row: NDArray[np.float64]
    ladder_price: NDArray[np.float64] | None = None
    ladder_size: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class End:
    """A window whose close has passed."""

    market: Market


def replayed(recording: Recording, series: str | None = None, speed: float = 0.0) -> Iterator[Tick | End]:
    """Yield every tick and every window's end, in time order.

    Args:
        recording: what to play.
        series: one series, or None for all.
        speed: times real time; 0 as fast as the ticks are taken.
    """
    has_depth = bool(recording.partitions(BOOK))
    depth: dict[str, Ladder | None] = {}
    ticks: dict[str, int] = {}  # taken so far, by open window
    closes: list[tuple[int, str, Market]] = []  # close_ns, market id, market
    for recv_ns, market, row in replay(recording, series=series, speed=speed or None):
        while closes and closes[0][0] < recv_ns:
            _, market_id, over = heapq.heappop(closes)
            del depth[market_id], ticks[market_id]
            yield End(over)
        market_id = market.market_id
        if market_id not in ticks:
            heapq.heappush(closes, (market.close_ns, market_id, market))
            depth[market_id] = recording.tape(market_id).ladder if has_depth else None
            ticks[market_id] = 0
        t, ladder = ticks[market_id], depth[market_id]
        ticks[market_id] = t + 1
        if ladder is None:
            yield Tick(market, recv_ns, row)
        else:
            yield Tick(market, recv_ns, row, ladder.price[t], ladder.size[t])
    while closes:
        yield End(heapq.heappop(closes)[2])

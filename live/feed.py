"""The replay feed: a recording's windows merged into one stream in time order, as they once arrived.

Ticks of all windows come by `recv_ns`; at the same nanosecond the window that closes first speaks first. A window
ends when the clock has passed its close, not when its last tick came, because live could not know which one that
was. A tape is in memory only while its window is open. The feed cannot open the outcomes.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.records import Market, Tape
from observer.store.reader import Recording


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick of one window: row (C,), and recorded depth (S, K) where there is any."""

    market: Market
    recv_ns: int
    row: NDArray[np.float64]
    ladder_price: NDArray[np.float64] | None
    ladder_size: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class End:
    """A window whose close has passed."""

    market: Market


def replayed(recording: Recording, series: str | None = None) -> Iterator[Tick | End]:
    """Yield every tick and every window's end, in time order."""
    waiting = recording.tapes(series)
    upcoming: Tape | None = next(waiting, None)
    ticking: list[tuple[int, int, str, int, Tape]] = []  # next recv_ns, close_ns, market id, tick, tape
    over: list[tuple[int, str, Market]] = []  # close_ns, market id, market
    while ticking or upcoming is not None:
        while upcoming is not None and (not ticking or upcoming.market.open_ns <= ticking[0][0]):
            _push(ticking, over, upcoming, 0)
            upcoming = next(waiting, None)
        if not ticking:
            continue
        now_ns, _, _, t, tape = heapq.heappop(ticking)
        while over and over[0][0] < now_ns:
            yield End(heapq.heappop(over)[2])
        ladder = tape.ladder
        price, size = (None, None) if ladder is None else (ladder.price[t], ladder.size[t])
        yield Tick(tape.market, now_ns, tape.rows[t], price, size)
        _push(ticking, over, tape, t + 1)
    while over:
        yield End(heapq.heappop(over)[2])


def _push(
    ticking: list[tuple[int, int, str, int, Tape]], over: list[tuple[int, str, Market]], tape: Tape, t: int
) -> None:
    """Line up a tape's tick t, or its end where there is none."""
    market = tape.market
    if t < len(tape):
        heapq.heappush(ticking, (int(tape.recv_ns[t]), market.close_ns, market.market_id, t, tape))
    else:
        heapq.heappush(over, (market.close_ns, market.market_id, market))

"""`regime`: the same shock is the start of a move in one regime and an excess in the other.

The regime r ∈ {+1 momentum, −1 reversal} switches at random and is shown by the tilt of the book's levels two to
five. A shock u ∈ {−1, 0, +1} is shown by one large trade and moves the mid by k in its own direction, in both
regimes, for two ticks. Then the mid goes to the fundamental, which has moved by 2 k (momentum: on) or not at
all (reversal: back):

    F[t] = F[t − 1] + (1 + r[t]) · k · u[t],    mid[t] = F[t] − k · (r[t] · u[t] + r[t − 1] · u[t − 1]) + noise[t].

A shock seen at t is worth r[t] · u[t] · k to a buyer filled at t + 1 and nothing to one filled later. Shocks are
even, so who ignores the regime earns nothing.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from observer.records import (
    BUY_USD,
    MAX_TRADE_USD,
    N_TRADES,
    SELL_USD,
    UP_ASK_DEPTH5,
    UP_ASK_SIZE,
    UP_BID_DEPTH5,
    UP_BID_SIZE,
    Tape,
)
from observer.venues.synthetic.common import (
    F64,
    I64,
    LEAN,
    GridPrice,
    SyntheticMarket,
    SyntheticSettings,
    make_market,
    make_tape,
    noise_tilt,
    pips,
    quote,
    settle,
    signs,
    start_pips,
    stopped_walk,
)

SHOCK_USD = 1000.0  # the trade that shows a shock; ordinary trades are of at most 101 USD


class RegimeSettings(SyntheticSettings):
    """Make a market that follows shocks in one regime and takes them back in the other."""

    half_spread: GridPrice = Field(default=0.004, gt=0, le=0.03, description="mid to best bid or ask, USD per share")
    displacement: GridPrice = Field(
        default=0.01, gt=0, le=0.015, description="how far a shock moves the mid at once, USD"
    )
    shock_chance: float = Field(
        default=0.02, gt=0, le=1, description="probability of a shock at each tick, half of them up"
    )
    switch_chance: float = Field(default=0.005, ge=0, le=1, description="probability that the regime changes at a tick")
    noise: GridPrice = Field(default=0.001, ge=0, le=0.005, description="the mid's own noise: −noise, 0 or +noise, USD")


def make_window(settings: RegimeSettings, index: int, rng: np.random.Generator) -> tuple[Tape, float]:
    """One window: the tape and what a share of Up pays."""
    n = settings.ticks_per_window
    switches = np.cumsum(rng.random(n) < settings.switch_chance)
    regime = 1 - 2 * ((switches + int(rng.integers(2))) % 2)
    shocks = signs(rng, n, settings.shock_chance)
    start = start_pips(rng, 0.45, 0.55)
    fundamental, is_taken = walk(settings, start, regime, shocks)
    return make_path(settings, index, start, regime, shocks * is_taken, rng), settle(rng, int(fundamental[-1]))


def walk(settings: RegimeSettings, start: int, regime: I64, shocks: I64) -> tuple[I64, NDArray[np.bool_]]:
    """(T,) the fundamental in pips, and (T,) bool, True until the tick at which a wall is reached."""
    return stopped_walk(start, pips(settings.displacement) * (1 + regime) * shocks)


def make_path(
    settings: RegimeSettings, index: int, start: int, regime: I64, shocks: I64, rng: np.random.Generator
) -> Tape:
    """The tape of one path: (T,) regimes and (T,) shocks; `rng` makes noise, sizes and small trades."""
    n = len(shocks)
    fundamental, _ = walk(settings, start, regime, shocks)
    push = pips(settings.displacement) * regime * shocks
    gap = push.copy()
    gap[1:] += push[:-1]
    mid = fundamental - gap + pips(settings.noise) * signs(rng, n, 2 / 3)
    rows = quote(
        mid, pips(settings.half_spread), noise_tilt(rng, n), LEAN * regime.astype(np.float64), settings.depth, rng
    )
    is_shock = shocks != 0
    rows[:, BUY_USD] += SHOCK_USD * (shocks > 0)
    rows[:, SELL_USD] += SHOCK_USD * (shocks < 0)
    rows[:, N_TRADES] += is_shock
    rows[is_shock, MAX_TRADE_USD] = SHOCK_USD
    return make_tape(make_market("regime", settings, index), rows)


def read_regime(rows: F64) -> I64:
    """(T,) the regime that the ticks show: +1 momentum, −1 reversal."""
    bid = rows[:, UP_BID_DEPTH5] - rows[:, UP_BID_SIZE]
    ask = rows[:, UP_ASK_DEPTH5] - rows[:, UP_ASK_SIZE]
    return np.where(bid > ask, 1, -1)


def read_shocks(rows: F64) -> I64:
    """(T,) the shocks that the ticks show: −1, 0 or +1."""
    is_up = rows[:, BUY_USD] > rows[:, SELL_USD]
    return np.where(rows[:, MAX_TRADE_USD] >= SHOCK_USD, np.where(is_up, 1, -1), 0)


REGIME = SyntheticMarket("regime", "momentum in one regime, reversal in the other", RegimeSettings, make_window)

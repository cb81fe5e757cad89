"""`lag`: the reference leads the market.

The fundamental F stands still but for rare jumps of equal size, up or down. The reference shows F at once, on a
straight line; the market's mid shows it D ticks later (D = lag in ticks), with a noise of its own, drawn anew at each
tick:

    reference[t] = strike · (1 + SLOPE · (F[t] − 1/2)),    mid[t] = F[max(t − D, 0)] + noise[t].

An order decided at t is filled at t + 1 around F[t + 1 − D], while the reference already shows F[t]. No jump
happens at the first tick.
"""

import numpy as np
from pydantic import Field, model_validator

from observer.records import REFERENCE, REFERENCE_AGE_S, Market, Tape
from observer.venues.synthetic.common import (
    F64,
    I64,
    PIPS_PER_USD,
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

STRIKE = 100_000.0  # USD of the underlying at which Up is worth one half
SLOPE = 0.01  # fraction of the strike that the reference moves while Up goes from 0 to 1


class LagSettings(SyntheticSettings):
    """Make a market that follows its reference some seconds late."""

    half_spread: GridPrice = Field(default=0.005, gt=0, le=0.03, description="mid to best bid or ask, USD per share")
    lag_s: float = Field(default=2.0, gt=0, description="seconds by which the reference leads, a whole number of ticks")
    jump: GridPrice = Field(
        default=0.015, gt=0, le=0.03, description="size of a jump of the fundamental, USD per share of Up"
    )
    jump_chance: float = Field(
        default=0.02, gt=0, le=1, description="probability of a jump at each tick, half of them up"
    )
    noise: GridPrice = Field(default=0.001, ge=0, le=0.005, description="the mid's own noise: −noise, 0 or +noise, USD")

    @property
    def lag_ticks(self) -> int:
        """The lead of the reference in ticks."""
        return round(self.lag_s / self.tick_s)

    @model_validator(mode="after")
    def _whole_ticks(self) -> "LagSettings":
        if self.lag_ticks < 1 or abs(self.lag_ticks * self.tick_s - self.lag_s) > 1e-9:
            raise ValueError(f"lag_s {self.lag_s} is not a whole number of ticks of {self.tick_s} s; choose a multiple")
        return self


def make_window(settings: LagSettings, index: int, rng: np.random.Generator) -> tuple[Tape, float]:
    """One window: the tape and what a share of Up pays."""
    n = settings.ticks_per_window
    jumps = signs(rng, n, settings.jump_chance)
    jumps[0] = 0
    fundamental, _ = stopped_walk(start_pips(rng, 0.45, 0.55), pips(settings.jump) * jumps)
    return make_path(settings, index, fundamental, rng), settle(rng, int(fundamental[-1]))


def make_path(settings: LagSettings, index: int, fundamental: I64, rng: np.random.Generator) -> Tape:
    """The tape of one (T,) fundamental in pips; `rng` makes the noise."""
    n = len(fundamental)
    noise = pips(settings.noise) * signs(rng, n, 2 / 3)
    mid = fundamental[np.maximum(np.arange(n) - settings.lag_ticks, 0)] + noise
    rows = quote(mid, pips(settings.half_spread), noise_tilt(rng, n), noise_tilt(rng, n), settings.depth, rng)
    rows[:, REFERENCE] = STRIKE * (1 + SLOPE * (fundamental / PIPS_PER_USD - 0.5))
    rows[:, REFERENCE_AGE_S] = 0.0
    return make_tape(make_market("lag", settings, index, strike=STRIKE), rows)


def read_fundamental(market: Market, rows: F64) -> I64:
    """(T,) the fundamental in pips that the reference shows."""
    strike = STRIKE if market.strike is None else market.strike
    return np.round(((rows[:, REFERENCE] / strike - 1) / SLOPE + 0.5) * PIPS_PER_USD).astype(np.int64)


LAG = SyntheticMarket("lag", "the reference leads the market by some seconds", LagSettings, make_window)

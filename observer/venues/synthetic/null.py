"""`null`: a martingale with costs. Nothing in it can be known, so the best policy never trades.

The mid is the fundamental. Book tilt and trades are noise that a learner may fit and nobody can use.
"""

import numpy as np
from pydantic import Field

from observer.records import Tape
from observer.venues.synthetic.common import (
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


class NullSettings(SyntheticSettings):
    """Make a market in which nothing can be known."""

    step: GridPrice = Field(
        default=0.002, gt=0, le=0.01, description="how far the mid moves at each tick, up or down, USD"
    )


def make_window(settings: NullSettings, index: int, rng: np.random.Generator) -> tuple[Tape, float]:
    """One window: the tape and what a share of Up pays."""
    n = settings.ticks_per_window
    mid, _ = stopped_walk(start_pips(rng, 0.3, 0.7), pips(settings.step) * signs(rng, n, 1.0))
    rows = quote(mid, pips(settings.half_spread), noise_tilt(rng, n), noise_tilt(rng, n), settings.depth, rng)
    return make_tape(make_market("null", settings, index), rows), settle(rng, int(mid[-1]))


NULL = SyntheticMarket("null", "a martingale with costs; nothing can be known", NullSettings, make_window)

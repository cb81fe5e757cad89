"""`spike`: the mark in the book 12 ticks ago displaces the next price, for one tick.

At every tick an independent mark m ∈ {−1, 0, +1} is drawn and shown as the tilt of the book at that tick, and
nowhere else. With F the fundamental, k the displacement and g the lag (12 ticks),

    mid[t + 1] = F[t + 1] + k · m[t − g].

An order decided at t is filled at t + 1, so what counts at t is the mark of exactly lag g. Displacements are
independent from tick to tick: to know a later one does not help now, to be filled at an unknown one earns
nothing but costs. Prices tell only of marks of lag g + 1 and older, the book only of the marks in sight, so a
viewer of the last 12 ticks or fewer learns nothing about the next displacement, however long the memory for prices.

No mark was set before the open: the first g + 1 ticks are not displaced.
"""

import numpy as np
from pydantic import Field

from observer.records import UP_ASK_SIZE, UP_BID_SIZE, Tape
from observer.venues.synthetic.common import (
    F64,
    I64,
    LEAN,
    GridPrice,
    SyntheticMarket,
    SyntheticSettings,
    make_market,
    make_tape,
    pips,
    quote,
    settle,
    signs,
    start_pips,
    stopped_walk,
    tilt_of,
)


class SpikeSettings(SyntheticSettings):
    """Make a market in which the mark of some ticks ago displaces the next price."""

    half_spread: GridPrice = Field(default=0.021, gt=0, le=0.03, description="mid to best bid or ask, USD per share")
    displacement: GridPrice = Field(
        default=0.04, gt=0, le=0.04, description="how far a mark moves the mid of one tick, USD"
    )
    mark_chance: float = Field(
        default=0.5, gt=0, le=1, description="probability that a tick carries a mark, half of them up"
    )
    mark_lag_ticks: int = Field(
        default=12, ge=0, description="ticks from the mark to the decision that it pays to know it at"
    )
    step: GridPrice = Field(
        default=0.0002, ge=0, le=0.001, description="how far the fundamental moves at each tick, USD"
    )


def make_window(settings: SpikeSettings, index: int, rng: np.random.Generator) -> tuple[Tape, float]:
    """One window: the tape and what a share of Up pays."""
    n = settings.ticks_per_window
    fundamental, _ = stopped_walk(start_pips(rng, 0.3, 0.7), pips(settings.step) * signs(rng, n, 1.0))
    marks = signs(rng, n, settings.mark_chance)
    return make_path(settings, index, fundamental, marks, rng), settle(rng, int(fundamental[-1]))


def make_path(settings: SpikeSettings, index: int, fundamental: I64, marks: I64, rng: np.random.Generator) -> Tape:
    """The tape of one path: (T,) fundamental in pips and (T,) marks; `rng` makes sizes and trades only."""
    delay = settings.mark_lag_ticks + 1
    mid = fundamental.copy()
    mid[delay:] += pips(settings.displacement) * marks[: max(0, len(marks) - delay)]
    tilt = LEAN * marks.astype(np.float64)
    rows = quote(mid, pips(settings.half_spread), tilt, tilt, settings.depth, rng)
    return make_tape(make_market("spike", settings, index), rows)


def read_marks(rows: F64) -> I64:
    """(T,) the marks that the ticks show: −1, 0 or +1."""
    tilt = tilt_of(rows, UP_BID_SIZE, UP_ASK_SIZE)
    return (tilt > LEAN / 2).astype(np.int64) - (tilt < -LEAN / 2).astype(np.int64)


SPIKE = SyntheticMarket("spike", "the book's mark 12 ticks ago displaces the next price", SpikeSettings, make_window)

"""What is planted in each market is there, and nothing else is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from observer.records import UP_ASK, UP_ASK_DEPTH5, UP_BID, UP_BID_DEPTH5, Tape, mid_up
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.common import tilt_of
from observer.venues.synthetic.lag import LagSettings, read_fundamental
from observer.venues.synthetic.regime import RegimeSettings, read_regime, read_shocks
from observer.venues.synthetic.spike import SpikeSettings, read_marks

F64 = NDArray[np.float64]


def tapes(kind: str, windows: int = 30, **settings: float) -> list[Tape]:
    market = SYNTHETIC[kind]
    return [tape for tape, _ in market.generate(market.settings(windows=windows, seed=2, **settings))]


def seen_lately(tape: Tape, ticks: int) -> F64:
    """(T, ticks · columns) all that the last `ticks` ticks show, the own mid as moves; NaN-free."""
    rows = np.nan_to_num(tape.rows[:, :16])
    rows[:, :4] -= rows[:1, :4]
    lagged = [np.roll(rows, age, axis=0) for age in range(ticks)]
    tilts = [np.roll(read_marks(tape.rows).astype(float)[:, None], age, axis=0) for age in range(ticks)]
    return np.concatenate(lagged + tilts, axis=1)


def gain_over_mean(x: F64, y: F64) -> float:
    """Share of the variance of y on the second half that a least-squares fit on the first half explains."""
    half = len(y) // 2
    centre, scale = x[:half].mean(axis=0), x[:half].std(axis=0) + 1e-12
    design = np.column_stack([np.ones(len(y)), (x - centre) / scale])
    weights = np.linalg.lstsq(design[:half], y[:half], rcond=None)[0]
    left = y[half:] - design[half:] @ weights
    return 1 - float((left**2).mean() / y[half:].var())


def test_null_moves_cannot_be_told_from_what_was_shown() -> None:
    made = tapes("null")
    x = np.concatenate([seen_lately(tape, 5)[10:-1] for tape in made])
    y = np.concatenate([np.diff(mid_up(tape.rows))[10:] for tape in made])

    assert abs(y.mean()) < 4 * y.std() / np.sqrt(len(y))
    assert gain_over_mean(x, y) < 1e-3


def test_spike_is_what_it_says() -> None:
    settings = SpikeSettings(windows=20, step=0.0, seed=4)
    for tape, _ in SYNTHETIC["spike"].generate(settings):
        mid = mid_up(tape.rows)
        marks = read_marks(tape.rows)
        displaced = np.round((mid - mid[0]) * 1e4).astype(int)

        # mid[t + 1] = F[t + 1] + 400 pips · m[t − 12], and F stands still at mid[0].
        assert (displaced[:13] == 0).all()
        assert np.array_equal(displaced[13:], 400 * marks[:-13])
        assert np.array_equal(marks, np.sign(np.round(2 * tilt_of(tape.rows, UP_BID_DEPTH5, UP_ASK_DEPTH5))))


def test_spike_marks_are_independent_of_time_sign_and_each_other() -> None:
    marks = np.concatenate([read_marks(tape.rows) for tape in tapes("spike")]).astype(float)
    n = len(marks)

    # A mark has variance 1/2; a product of two has variance 1/4.
    assert abs(marks.mean()) < 4 * np.sqrt(0.5 / n)
    assert abs((marks**2).mean() - 0.5) < 4 * 0.5 / np.sqrt(n)
    for lag in (1, 2, 11, 12, 13, 120, 600, 1200):
        assert abs((marks[lag:] * marks[:-lag]).mean()) < 4 * 0.5 / np.sqrt(n)


def displacement_ahead(tape: Tape) -> F64:
    """(T − 14,) what displaces tick t + 1, for t = 12 … T − 3, where the fundamental stands still at the first mid."""
    mid = mid_up(tape.rows)
    return (mid - mid[0])[13:-1]


@pytest.mark.parametrize("ticks_seen", [1, 5, 12])
def test_a_viewer_of_spike_with_fewer_than_13_ticks_learns_nothing_of_the_next_displacement(ticks_seen: int) -> None:
    seen, ahead = [], []
    for tape in tapes("spike", step=0.0):
        mid = mid_up(tape.rows)
        # Rolling summaries of the own price over the spans that features use, and others: moves and volatility.
        spans = [mid - np.roll(mid, span) for span in (1, 5, 12, 13, 20, 120, 600, 1200)]
        move = np.abs(np.diff(mid, prepend=mid[:1]))
        spans += [np.convolve(move, np.ones(span))[: len(mid)] for span in (12, 13, 120, 600)]
        seen.append(np.column_stack([seen_lately(tape, ticks_seen), *spans])[12:-2])
        ahead.append(displacement_ahead(tape))

    assert gain_over_mean(np.concatenate(seen), np.concatenate(ahead)) < 1e-3


def test_a_viewer_of_spike_with_13_ticks_knows_the_next_displacement() -> None:
    made = tapes("spike", windows=10, step=0.0)
    x = np.concatenate([seen_lately(tape, 13)[12:-2] for tape in made])
    y = np.concatenate([displacement_ahead(tape) for tape in made])

    assert gain_over_mean(x, y) > 0.999


def test_lag_shows_the_reference_first() -> None:
    settings = LagSettings(windows=20, seed=4)
    for tape, _ in SYNTHETIC["lag"].generate(settings):
        fundamental = read_fundamental(tape.market, tape.rows)
        mid = np.round(mid_up(tape.rows) * 1e4).astype(int)
        noise = mid[4:] - fundamental[:-4]  # 2 s are four ticks
        jumps = np.diff(fundamental)

        assert set(np.unique(noise)) <= {-10, 0, 10}
        assert set(np.unique(jumps)) <= {-150, 0, 150}
        assert np.count_nonzero(jumps) > 10
        assert abs(np.corrcoef(noise, fundamental[4:])[0, 1]) < 0.2


def test_regime_follows_or_takes_back_its_shocks() -> None:
    settings = RegimeSettings(windows=30, noise=0.0, seed=4)
    n_followed = n_undone = 0
    for tape, _ in SYNTHETIC["regime"].generate(settings):
        mid = np.round((tape.rows[:, UP_BID] + tape.rows[:, UP_ASK]) / 2 * 1e4).astype(int)
        shocks, regime = read_shocks(tape.rows), read_regime(tape.rows)
        lone = [t for t in np.flatnonzero(shocks) if t > 3 and not shocks[max(0, t - 3) : t].any()]
        for t in lone:
            if t + 3 >= len(mid) or shocks[t + 1 : t + 4].any():
                continue
            moves = (mid[t : t + 4] - mid[t - 1]) * shocks[t]

            # 100 pips at once, for two ticks, then 200 in momentum and back to 0 in reversal.
            assert list(moves) == ([100, 100, 200, 200] if regime[t] == 1 else [100, 100, 0, 0])
            n_followed += regime[t] == 1
            n_undone += regime[t] == -1
    assert min(n_followed, n_undone) > 100

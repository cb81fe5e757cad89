"""Every synthetic market makes lawful tapes, the same ones for the same seed, one window at a time."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import ValidationError

import observer.venues.synthetic as family
from observer.kit.errors import UsageError
from observer.records import DOWN_ASK, DOWN_BID, N_COLUMNS, REFERENCE, UP_ASK, UP_BID
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.common import WALL_PIPS, signs, stopped_walk

KINDS = list(SYNTHETIC)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tape_is_lawful(kind: str) -> None:
    market = SYNTHETIC[kind]
    made = list(market.generate(market.settings(windows=40, seed=3)))
    rows = np.concatenate([tape.rows for tape, _ in made])
    prices = rows[:, UP_BID : DOWN_ASK + 1]
    first = made[0][0]

    assert rows.shape == (40 * 1800, N_COLUMNS)
    assert ((prices > 0.02) & (prices < 0.98)).all()
    assert np.abs(prices * 1e4 - np.round(prices * 1e4)).max() < 1e-9
    assert (rows[:, UP_ASK] > rows[:, UP_BID]).all()
    assert np.allclose(rows[:, DOWN_BID], 1 - rows[:, UP_ASK], atol=1e-12)
    assert np.allclose(rows[:, DOWN_ASK], 1 - rows[:, UP_BID], atol=1e-12)
    assert (rows[:, 4:8] >= 50).all()  # the touch holds the default order
    assert (rows[:, 8:12] >= rows[:, 4:8]).all()
    assert (rows[:, 12:16] >= 0).all()
    assert ((rows[:, 15] > 0) == (rows[:, 14] > 0)).all()
    assert np.isnan(rows[:, REFERENCE]).all() == (kind != "lag")
    assert {payoff for _, payoff in made} == {0.0, 1.0}
    assert first.market.series == f"{kind}-updown-15m"
    assert first.market.open_ns % (900 * 10**9) == 0
    for (tape, _), (after, _) in pairwise(made):
        assert tape.recv_ns[0] == tape.market.open_ns
        assert (np.diff(tape.recv_ns) == tape.market.tick_ns).all()
        assert tape.recv_ns[-1] < tape.market.close_ns <= after.market.open_ns


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_depends_on_seed_and_index_only(kind: str) -> None:
    market = SYNTHETIC[kind]
    few = list(market.generate(market.settings(windows=2, ticks_per_window=60, seed=5)))
    many = list(market.generate(market.settings(windows=5, ticks_per_window=60, seed=5)))
    other = next(market.generate(market.settings(windows=1, ticks_per_window=60, seed=6)))

    for (tape, payoff), (again, payoff_again) in zip(few, many, strict=False):
        assert np.array_equal(tape.rows, again.rows, equal_nan=True)
        assert (tape.market, payoff) == (again.market, payoff_again)
    assert not np.array_equal(few[0][0].rows, few[1][0].rows, equal_nan=True)
    assert not np.array_equal(few[0][0].rows, other[0].rows, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_window_settles_around_its_last_mid(kind: str) -> None:
    market = SYNTHETIC[kind]
    made = [
        (float(tape.rows[-1, [UP_BID, UP_ASK]].mean()), payoff)
        for tape, payoff in market.generate(market.settings(windows=2000, ticks_per_window=100, seed=1))
    ]
    mid, payoff = np.array(made).T

    # One draw per window: standard error of the mean gap is at most 0.5 / sqrt(2000) = 0.0112.
    assert abs((payoff - mid).mean()) < 4 * 0.0112
    assert np.cov(mid, payoff)[0, 1] > 0


def test_the_table_lists_every_market_in_the_folder() -> None:
    assert family.__file__ is not None
    files = {path.stem for path in Path(family.__file__).parent.glob("*.py")} - {"__init__", "common"}

    assert files == set(SYNTHETIC)
    assert all(SYNTHETIC[kind].name == kind for kind in SYNTHETIC)


@given(seed=st.integers(0, 2**32), step=st.integers(1, 400), start=st.integers(1201, 8799))
@effort(max_examples=50, deadline=None)
def test_a_walk_stands_still_behind_a_wall(seed: int, step: int, start: int) -> None:
    steps = step * signs(np.random.default_rng(seed), 500, 0.9)
    path, is_taken = stopped_walk(start, steps)
    moved = np.diff(path, prepend=start)

    assert np.array_equal(moved, np.where(is_taken, steps, 0))
    assert path.min() > WALL_PIPS[0] - step
    assert path.max() < WALL_PIPS[1] + step
    assert is_taken.all() == bool(((path[:-1] > WALL_PIPS[0]) & (path[:-1] < WALL_PIPS[1])).all())


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [
        ("null", {"half_spread": 0.00005}, "not a multiple of the price tick 0.0001"),
        ("null", {"fees": "none"}, "known: free, "),
        ("null", {"ticks_per_window": 2000}, "lower ticks_per_window to 1800 or less"),
        ("spike", {"mark_lag_ticks": -1}, "greater than or equal to 0"),
        ("lag", {"lag_s": 0.7}, "not a whole number of ticks"),
        ("regime", {"jump": 0.01}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(kind: str, wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SYNTHETIC[kind].settings(**wrong)


def test_an_unknown_market_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no synthetic market is called 'spikes'. Known: null, spike, lag, regime"):
        SYNTHETIC["spikes"]

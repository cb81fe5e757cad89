"""The optimum of `spike`: later marks do not matter, five ticks are worth nothing, a notebook little."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_rl.optima.chain import LEGS, SignalChain, independent, solve_chain
from mlx_rl.optima.spike import profit_per_tick, solve, solve_for_viewer
from observer.kit.errors import UsageError
from observer.records import FLAT
from observer.venues.synthetic.spike import SpikeSettings
from tests.mlx_rl.optima.windows import SIZE, make_windows, z


def register(settings: SpikeSettings) -> SignalChain:
    """All marks that can still displace a tick: number in base 3, the oldest (lag g) its first digit."""
    n = 3 ** (settings.mark_lag_ticks + 1)
    marks = np.arange(n) // (n // 3) - 1
    p = settings.mark_chance
    chance = np.array([p / 2, 1 - p, p / 2])
    start = np.ones(1)
    for _ in range(settings.mark_lag_ticks + 1):
        start = np.outer(start, chance).ravel()
    return SignalChain(-settings.displacement * marks, (np.arange(n)[:, None] * 3 + np.arange(3)) % n, chance, start)


@pytest.mark.parametrize(("lag", "decisions"), [(0, 50), (1, 50), (2, 50), (6, 60), (12, 4)])
@pytest.mark.parametrize("half_spread", [0.02, 0.021, 0.03])
def test_seeing_every_mark_is_worth_no_more_than_seeing_the_one_of_lag_g(
    lag: int, decisions: int, half_spread: float
) -> None:
    settings = SpikeSettings(mark_lag_ticks=lag, ticks_per_window=decisions + 1 + lag, half_spread=half_spread)
    whole = solve_chain(register(settings), half_spread, decisions)

    assert solve(settings).usd_per_share == pytest.approx(whole.usd_per_share, rel=1e-12)


def test_a_cheap_spread_makes_later_marks_worth_seeing_and_is_refused() -> None:
    settings = SpikeSettings(mark_lag_ticks=2, ticks_per_window=53, half_spread=0.01)
    p, k, h = 0.5, 0.04, 0.01
    whole = solve_chain(register(settings), h, 50)
    one_mark = solve_chain(independent([k, 0.0, -k], [p / 2, 1 - p, p / 2]), h, 50)

    assert whole.usd_per_share > 1.01 * one_mark.usd_per_share
    with pytest.raises(UsageError, match=r"found 0\.01 against 0\.04\. Raise half_spread to 0\.02\."):
        solve(settings)


def test_profit_per_tick_tends_to_its_closed_form() -> None:
    # 2/3 · 0.5 · (0.04 − 0.021) = 0.00633 USD per tick and share; 570 USD for 1800 ticks of 50 shares.
    settings = SpikeSettings()
    window = solve(settings).usd_per_share

    assert profit_per_tick(settings) == pytest.approx(0.019 / 3)
    # 1787 decisions count; the flat start is worth a little more than the long run.
    assert window == pytest.approx(1787 * 0.019 / 3, rel=1e-3)
    assert profit_per_tick(SpikeSettings(displacement=0.03, half_spread=0.03)) == 0.0


def test_a_viewer_needs_thirteen_ticks() -> None:
    settings = SpikeSettings(ticks_per_window=100)
    worth = [solve_for_viewer(settings, seen).usd_per_share for seen in (1, 5, 12, 13, 20)]

    assert worth[:3] == [0.0, 0.0, 0.0]
    assert worth[3] == worth[4] == solve(settings).usd_per_share > 0.5


MIRROR = np.array([0, 2, 1])  # swaps Up and Down, and BUY and SELL


@pytest.mark.parametrize("wrong_lag", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("follows", [True, False])
def test_acting_on_a_mark_within_five_ticks_loses_the_costs(wrong_lag: int, follows: bool) -> None:
    settings = SpikeSettings(windows=60, ticks_per_window=900, seed=8)
    windows = make_windows("spike", settings)
    wrong = solve(settings.model_copy(update={"mark_lag_ticks": wrong_lag}))
    tables = [wrong.actions(tape) for tape in windows.tapes]
    net = windows.net(tables if follows else [MIRROR[table][:, MIRROR] for table in tables])

    # Each leg costs 50 · 0.021 = 1.05 USD and gains nothing: one leg at every third tick loses about 315 USD. (Not
    # exactly: the own position, set by the marks since, still tells a little of the mark of lag 12.)
    assert net.mean() == pytest.approx(-315, abs=35)


def courier_share(settings: SpikeSettings) -> float:
    """The best a viewer of 5 ticks can do with a tick counter and its own position as its only memory, as a share.

    Every 8th tick it acts on its position and the mark of lag 4, which is the mark of lag 12 at its next turn; in
    between it holds. Every such rule is tried, in the long run.
    """
    p, k, h = settings.mark_chance, settings.displacement, settings.half_spread
    chance = {-1: p / 2, 0: 1 - p, 1: p / 2}
    moves = {at: [(at, 0), *[(after, way) for here, _, after, way in LEGS if here == at]] for at in range(3)}
    turns = list(itertools.product(range(3), chance))  # (position, mark of lag 4)
    best = 0.0
    for choice in itertools.product(*[moves[position] for position, _ in turns]):
        rule = dict(zip(turns, choice, strict=True))
        step, gain = np.zeros((9, 9)), np.zeros(9)  # over (position, mark of lag 12)
        for (at, old), (mark, weight) in itertools.product(itertools.product(range(3), chance), chance.items()):
            after, way = rule[at, mark]
            step[at * 3 + old + 1, after * 3 + mark + 1] += weight
            gain[at * 3 + old + 1] += weight * (-way * old * k - h) * (way != 0)
        start = np.array([chance[old] if at == FLAT else 0.0 for at, old in itertools.product(range(3), chance)])
        # Averaged with standing still, the chain forgets its period and 2^8 steps are the long run.
        long_run: NDArray[np.float64] = start @ np.linalg.matrix_power((step + np.eye(9)) / 2, 256)
        best = max(best, float(long_run @ gain))
    return best / 8 / profit_per_tick(settings)


def test_a_position_as_notebook_and_a_tick_counter_earn_little() -> None:
    assert courier_share(SpikeSettings()) == pytest.approx(0.0419, abs=1e-4)
    assert 0.05 < courier_share(SpikeSettings(mark_chance=1.0)) < 0.1


def test_the_mean_is_the_stated_expectation() -> None:
    settings = SpikeSettings(windows=300, seed=9)
    windows = make_windows("spike", settings)
    optimum = solve(settings)
    net = windows.net([optimum.actions(tape) for tape in windows.tapes])

    assert SIZE * optimum.usd_per_share == pytest.approx(566.09, abs=0.01)
    assert abs(z(net, SIZE * optimum.usd_per_share)) < 4

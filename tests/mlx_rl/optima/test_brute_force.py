"""On tiny markets the optimum equals the best of all policies that see the past, under the money law.

A policy is a table: for each history that can have been shown, an action. (It may as well remember its own
position: that follows from the history.) Every table is tried, on every path, at its probability; a
masked action holds. What a path shows up to tick t is the bytes of its rows up to t.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_rl.market.fills import price_fills
from mlx_rl.market.law import LawSettings
from mlx_rl.optima import OPTIMA
from mlx_rl.optima.chain import LEGS, SignalChain, independent, solve_chain
from mlx_rl.optima.play import play
from observer.records import FLAT, Tape
from observer.venues.synthetic import lag, null, regime, spike
from observer.venues.synthetic.common import SyntheticSettings

SIZE = 50.0


@dataclass(frozen=True)
class Path:
    """One thing that can happen; all paths of a market are equally likely."""

    tape: Tape
    up_chance: float  # the last fundamental


def rng() -> np.random.Generator:
    return np.random.default_rng(0)  # the same sizes and trades on every path


def null_paths(settings: null.NullSettings) -> list[Path]:
    from observer.venues.synthetic.common import make_market, make_tape, quote

    flat = np.zeros(settings.ticks_per_window)
    paths = []
    for steps in itertools.product((-20, 20), repeat=settings.ticks_per_window - 1):
        mid = 5000 + np.cumsum([0, *steps])
        rows = quote(mid, 10, flat, flat, 500, rng())
        paths.append(Path(make_tape(make_market("null", settings, 0), rows), mid[-1] / 1e4))
    return paths


def spike_paths(settings: spike.SpikeSettings) -> list[Path]:
    fundamental = np.full(settings.ticks_per_window, 4000)
    n_felt = settings.ticks_per_window - 1 - settings.mark_lag_ticks  # later marks displace no tick of the window
    paths = []
    for felt in itertools.product((-1, 1), repeat=n_felt):
        marks = np.array([*felt, *[0] * (settings.ticks_per_window - n_felt)])
        paths.append(Path(spike.make_path(settings, 0, fundamental, marks, rng()), 0.4))
    return paths


def lag_paths(settings: lag.LagSettings) -> list[Path]:
    paths = []
    for jumps in itertools.product((-150, 150), repeat=settings.ticks_per_window - 1):
        fundamental = 5000 + np.cumsum([0, *jumps])
        paths.append(Path(lag.make_path(settings, 0, fundamental, rng()), fundamental[-1] / 1e4))
    return paths


def regime_paths(settings: regime.RegimeSettings) -> list[Path]:
    n = settings.ticks_per_window
    paths = []
    for sign in (-1, 1):
        for shocks in itertools.product((-1, 1), repeat=n):
            signs = np.full(n, sign)
            fundamental, _ = regime.walk(settings, 5000, signs, np.array(shocks))
            tape = regime.make_path(settings, 0, 5000, signs, np.array(shocks), rng())
            paths.append(Path(tape, fundamental[-1] / 1e4))
    return paths


def net_usd(paths: list[Path], tables: list[NDArray[np.integer]]) -> NDArray[np.float64]:
    """(W,) profit of table w on path w, averaged over the settlement."""
    fills = [price_fills(path.tape, LawSettings(size_shares=SIZE)) for path in paths]
    up = np.array([path.up_chance for path in paths])
    return up * play(tables, fills, [1.0] * len(paths)) + (1 - up) * play(tables, fills, [0.0] * len(paths))


def best_of_all_tables(paths: list[Path]) -> tuple[float, int]:
    """Highest mean profit of any table of actions by history, and how many tables there were."""
    n_decisions = len(paths[0].tape) - 1
    sequences = list(itertools.product(range(3), repeat=n_decisions))
    tables = [np.repeat(np.array([*s, 0])[:, None], 3, axis=1) for s in sequences]
    profit = np.array([net_usd([path] * len(tables), tables) for path in paths])  # (paths, sequences)
    histories: dict[bytes, int] = {}
    node = np.array(
        [
            [histories.setdefault(path.tape.rows[: t + 1].tobytes(), len(histories)) for t in range(n_decisions)]
            for path in paths
        ]
    )
    n_nodes, weight = len(histories), 3 ** np.arange(n_decisions)[::-1]
    best, chunk = -np.inf, 3**9
    for first in range(0, 3**n_nodes, chunk):
        number = np.arange(first, min(first + chunk, 3**n_nodes))
        action = number[:, None] // 3 ** np.arange(n_nodes) % 3  # (tables, nodes)
        mean = np.mean([profit[i, action[:, node[i]] @ weight] for i in range(len(paths))], axis=0)
        best = max(best, float(mean.max()))
    return best, 3**n_nodes


CASES: list[tuple[str, SyntheticSettings, Callable[..., list[Path]], int]] = [
    ("null", null.NullSettings(ticks_per_window=4, half_spread=0.001), null_paths, 7),
    ("spike", spike.SpikeSettings(ticks_per_window=4, mark_lag_ticks=1, mark_chance=1.0), spike_paths, 10),
    ("spike", spike.SpikeSettings(ticks_per_window=3, mark_lag_ticks=0, mark_chance=1.0), spike_paths, 6),
    ("lag", lag.LagSettings(ticks_per_window=4, lag_s=1.0, jump_chance=1.0, noise=0.0), lag_paths, 7),
    ("lag", lag.LagSettings(ticks_per_window=4, lag_s=1.5, jump_chance=1.0, noise=0.0), lag_paths, 7),
    ("regime", regime.RegimeSettings(ticks_per_window=3, shock_chance=1.0, noise=0.0), regime_paths, 12),
]


@pytest.mark.parametrize(("kind", "settings", "paths_of", "n_histories"), CASES)
def test_the_optimum_equals_the_best_of_all_tables(
    kind: str, settings: SyntheticSettings, paths_of: Callable[..., list[Path]], n_histories: int
) -> None:
    paths = paths_of(settings)
    optimum = OPTIMA[kind](settings)
    best, n_tables = best_of_all_tables(paths)
    played = float(np.mean(net_usd(paths, [optimum.actions(path.tape) for path in paths])))

    assert n_tables == 3**n_histories
    assert best == pytest.approx(SIZE * optimum.usd_per_share, abs=1e-9)
    assert played == pytest.approx(best, abs=1e-9)


def test_two_ticks_of_spike_by_hand() -> None:
    # Lag 0, every tick marked, three ticks: decisions at 0 and 1, each with an edge of ± 0.04 and a cost of 0.021.
    # The first gains 0.019 per share from flat. The second mark is opposite (a close, + 0.019) half of the time, else
    # blocked: 0.019 + 0.019 / 2 = 0.0285 per share.
    settings = spike.SpikeSettings(ticks_per_window=3, mark_lag_ticks=0, mark_chance=1.0)

    assert OPTIMA["spike"](settings).usd_per_share == pytest.approx(0.0285)


def best_over_histories(chain: SignalChain, half_spread: float, signal: int, position: int, left: int) -> float:
    """Expectimax over every history, which forgets nothing and merges nothing."""
    if left == 0:
        return 0.0

    def onward(after: int) -> float:
        return sum(
            float(chance) * best_over_histories(chain, half_spread, int(to), after, left - 1)
            for to, chance in zip(chain.next_signal[signal], chain.chance, strict=True)
        )

    legs = [(after, way) for at, _, after, way in LEGS if at == position]
    return max([onward(position), *(way * chain.edge[signal] - half_spread + onward(after) for after, way in legs)])


@pytest.mark.parametrize("half_spread", [0.0, 0.004, 0.02])
def test_backward_induction_equals_expectimax_over_histories(half_spread: float) -> None:
    draw = np.random.default_rng(3)
    chain = SignalChain(draw.normal(0, 0.02, 4), draw.integers(0, 4, (4, 2)), np.array([0.3, 0.7]), np.full(4, 0.25))
    plan = solve_chain(chain, half_spread, 6)
    brute = np.mean([best_over_histories(chain, half_spread, s, FLAT, 6) for s in range(4)])

    assert plan.usd_per_share == pytest.approx(float(brute), abs=1e-12)


def test_no_edge_no_trade() -> None:
    plan = solve_chain(independent([0.01, -0.01], [0.5, 0.5]), 0.01, 5)

    assert plan.usd_per_share == 0.0
    assert not plan.actions.any()

"""By simulation: each optimum earns what it states, and no policy near it earns more.

Each rival is played on the same paths; the mean of the paired differences may not be above 0 by 4 standard errors.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_rl.market.oracle import solve as solve_in_hindsight
from mlx_rl.optima import OPTIMA
from mlx_rl.optima.play import play
from mlx_rl.optima.policy import CausalOptimum
from observer.kit.errors import UsageError
from observer.records import BUY, HOLD, SELL, Tape, mid_up
from observer.venues.synthetic import SYNTHETIC
from tests.mlx_rl.optima.windows import SIZE, Windows, make_windows, z

Table = NDArray[np.integer]

KINDS = ("spike", "lag", "regime")


@pytest.fixture(scope="module", params=KINDS)
def played(request: pytest.FixtureRequest) -> tuple[Windows, CausalOptimum, list[Table]]:
    settings = SYNTHETIC[request.param].settings(windows=300, seed=21)
    optimum = OPTIMA[request.param](settings)
    windows = make_windows(request.param, settings)
    return windows, optimum, [optimum.actions(tape) for tape in windows.tapes]


def flipped(table: Table, seed: int, share: float) -> Table:
    """Another action in a share of all (tick, position)."""
    draw = np.random.default_rng(seed)
    return np.where(draw.random(table.shape) < share, draw.integers(0, 3, table.shape), table)


def early(table: Table) -> Table:
    return np.concatenate([table[1:], table[-1:]])


def late(table: Table) -> Table:
    return np.concatenate([np.zeros_like(table[:1]), table[:-1]])


def never_short(table: Table) -> Table:
    changed = table.copy()
    changed[:, 0] = np.where(table[:, 0] == SELL, HOLD, table[:, 0])
    return changed


def flat_at_the_end(table: Table) -> Table:
    """Close what is open over the last ten ticks rather than let it settle."""
    changed = table.copy()
    changed[-10:] = (HOLD, SELL, BUY)
    return changed


def eager(table: Table) -> Table:
    """Close as soon as possible what an order has opened, as if holding cost something."""
    changed = table.copy()
    changed[:, 1] = SELL
    return changed


RIVALS: dict[str, Callable[[Table], Table]] = {
    "2 % of actions at random": lambda table: flipped(table, 1, 0.02),
    "20 % of actions at random": lambda table: flipped(table, 2, 0.2),
    "one tick late": late,
    "one tick early (sees the future by one tick)": early,
    "never Down": never_short,
    "flat at the end": flat_at_the_end,
    "closes at once": eager,
    "holds": np.zeros_like,
}
# To act on the next tick's signal is hindsight, and in `lag` (where the newest jump stays known) it would pay.
IS_CAUSAL = {name: not name.startswith("one tick early") for name in RIVALS}


def test_the_mean_is_the_stated_expectation(played: tuple[Windows, CausalOptimum, list[Table]]) -> None:
    windows, optimum, tables = played

    assert optimum.usd_per_share > 0.1
    assert abs(z(windows.net(tables), SIZE * optimum.usd_per_share)) < 4


def test_no_policy_near_the_optimum_earns_more(played: tuple[Windows, CausalOptimum, list[Table]]) -> None:
    windows, _, tables = played
    best = windows.net(tables)
    beaten_by = {
        name: z(windows.net([rival(table) for table in tables]) - best)
        for name, rival in RIVALS.items()
        if IS_CAUSAL[name]
    }

    assert max(beaten_by.values()) < 4, beaten_by
    assert beaten_by["holds"] < -4
    assert beaten_by["20 % of actions at random"] < -4


def test_hindsight_earns_more_than_foresight(played: tuple[Windows, CausalOptimum, list[Table]]) -> None:
    windows, _, tables = played
    known = [
        solve_in_hindsight(f, payoff).value[0, 0] for f, payoff in zip(windows.fills, windows.payoffs, strict=True)
    ]

    assert (np.array(known) >= windows.net(tables) - 1e-6).all()


def act_through(policy: CausalOptimum, tape: Tape, position: int) -> list[int]:
    policy.start(tape.market)
    allowed = np.ones(3, dtype=bool)
    return [policy.act(int(ns), row, None, position, allowed) for ns, row in zip(tape.recv_ns, tape.rows, strict=True)]


@pytest.mark.parametrize("kind", ["null", *KINDS])
def test_tick_by_tick_equals_the_whole_tape(kind: str) -> None:
    settings = SYNTHETIC[kind].settings(windows=2, ticks_per_window=300, seed=5)
    optimum = OPTIMA[kind](settings)
    for tape, _ in SYNTHETIC[kind].generate(settings):
        table = optimum.actions(tape)
        for position in range(3):
            assert act_through(optimum, tape, position) == table[:, position].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_future_changes_no_action(kind: str) -> None:
    settings = SYNTHETIC[kind].settings(windows=2, seed=6)
    optimum = OPTIMA[kind](settings)
    (tape, _), (other, _) = SYNTHETIC[kind].generate(settings)
    spliced = Tape(tape.market, tape.recv_ns, np.concatenate([tape.rows[:900], other.rows[900:]]))

    assert np.array_equal(optimum.actions(spliced)[:900], optimum.actions(tape)[:900])


# Policies that try to stop at the right moment in `null`; each sees the past only.
def take_profit(mid: NDArray[np.float64]) -> Table:
    """Buy at once, sell 3 cents above the first price, stay out after."""
    table = np.zeros((len(mid), 3), dtype=np.int64)
    table[0, 0], above = BUY, np.maximum.accumulate(mid) >= mid[0] + 0.03
    table[above, 1] = SELL
    return table


def double_down(mid: NDArray[np.float64]) -> Table:
    """Buy below the opening price, sell above it, both ways round."""
    table = np.zeros((len(mid), 3), dtype=np.int64)
    table[mid < mid[0] - 0.02] = (BUY, HOLD, BUY)
    table[mid > mid[0] + 0.02] = (SELL, SELL, HOLD)
    return table


def chase(mid: NDArray[np.float64]) -> Table:
    """Go with the last minute, be out of the market when it turns."""
    move = mid - np.concatenate([np.full(120, mid[0]), mid[:-120]])
    table = np.zeros((len(mid), 3), dtype=np.int64)
    table[move > 0.02] = (BUY, HOLD, BUY)
    table[move < -0.02] = (SELL, SELL, HOLD)
    return table


def new_high(mid: NDArray[np.float64]) -> Table:
    """Buy a first low of 2 cents, keep until the close."""
    table = np.zeros((len(mid), 3), dtype=np.int64)
    table[mid <= mid[0] - 0.02, 0] = BUY
    return table


@pytest.mark.parametrize("fees", ["free", "polymarket-crypto-v2", "kalshi-quadratic"])
@pytest.mark.parametrize("policy", [take_profit, double_down, chase, new_high])
def test_no_stopping_rule_earns_in_null(policy: Callable[[NDArray[np.float64]], Table], fees: str) -> None:
    settings = SYNTHETIC["null"].settings(windows=250, seed=13, fees=fees)
    windows = make_windows("null", settings)
    tables = [policy(mid_up(tape.rows)) for tape in windows.tapes]
    net = windows.net(tables)

    assert OPTIMA["null"](settings).usd_per_share == 0.0
    assert not OPTIMA["null"](settings).actions(windows.tapes[0]).any()
    assert net.std() > 0
    assert z(net) < 4


def test_next_to_no_costs_stopping_rules_earn_nothing_and_lose_nothing() -> None:
    # Optional stopping: E[profit] = −costs, and 0.0001 USD per leg is next to nothing.
    settings = SYNTHETIC["null"].settings(windows=400, seed=14, half_spread=0.0001)
    windows = make_windows("null", settings)
    for policy in (take_profit, double_down, chase, new_high):
        assert abs(z(windows.net([policy(mid_up(tape.rows)) for tape in windows.tapes]))) < 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimum_is_not_stated_for_costs_that_depend_on_the_price(kind: str) -> None:
    with pytest.raises(UsageError, match="stated for fees 'free'"):
        OPTIMA[kind](SYNTHETIC[kind].settings(fees="kalshi-quadratic"))


def test_a_tape_of_another_length_is_refused() -> None:
    tape, _ = next(SYNTHETIC["spike"].generate(SYNTHETIC["spike"].settings(windows=1, ticks_per_window=50)))

    with pytest.raises(UsageError, match="has 50 ticks; this optimum was solved for 1800"):
        OPTIMA["spike"](SYNTHETIC["spike"].settings()).actions(tape)


def test_a_lead_too_long_to_solve_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 9 ticks of lead; lag_s 6.0 is 12"):
        OPTIMA["lag"](SYNTHETIC["lag"].settings(lag_s=6.0))


def test_play_refuses_nothing_and_holds_masked_actions() -> None:
    tape, payoff = next(SYNTHETIC["null"].generate(SYNTHETIC["null"].settings(windows=1, ticks_per_window=5)))
    windows = make_windows("null", SYNTHETIC["null"].settings(windows=1, ticks_per_window=5))
    always_buy = np.full((5, 3), BUY)
    ask = tape.rows[1, 1]

    # One purchase of 50 shares at the second tick, held to the settlement; the later BUYs are masked.
    assert play([always_buy], windows.fills, [payoff])[0] == pytest.approx(50 * (payoff - ask))

"""Rule strategies: every member keeps the contract, and each does on a hand-made path what it says."""

from pathlib import Path

import numpy as np
import pytest

import mlx_rl.strategies as family
from mlx_rl.market.binary import action_mask
from mlx_rl.strategies import STRATEGIES
from mlx_rl.strategies.check import ContractBroken, check_strategy, drive
from mlx_rl.strategies.contract import Strategy, build
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import (
    BUY,
    DOWN,
    DOWN_ASK,
    DOWN_BID,
    FLAT,
    HOLD,
    N_COLUMNS,
    REFERENCE,
    REFERENCE_AGE_S,
    SELL,
    UP,
    UP_ASK,
    UP_BID,
    Tape,
)
from tests.samples.tapes import make_market, make_tape

SHARED = {"__init__", "contract", "check", "move"}


def ticks(
    mids: list[float], *, reference: list[float] | None = None, spread: float = 0.02, every_s: float = 0.5
) -> Tape:
    """A tape with the given prices of Up (NaN: not quoted), from the window's open on."""
    market = make_market()
    rows = np.full((len(mids), N_COLUMNS), np.nan)
    mid = np.array(mids)
    rows[:, UP_BID], rows[:, UP_ASK] = mid - spread / 2, mid + spread / 2
    rows[:, DOWN_BID], rows[:, DOWN_ASK] = 1 - mid - spread / 2, 1 - mid + spread / 2
    if reference is not None:
        rows[:, REFERENCE], rows[:, REFERENCE_AGE_S] = reference, 0.1
    recv_ns = market.open_ns + (np.arange(len(mids)) * every_s * NS_PER_S).astype(np.int64)
    return Tape(market, recv_ns, rows)


def ask(strategy: Strategy, tape: Tape, position: int = FLAT) -> list[int]:
    """Actions at each tick with the position held fixed."""
    strategy.start(tape.market)
    mask = action_mask(position)
    return [strategy.act(int(t), row, None, position, mask) for t, row in zip(tape.recv_ns, tape.rows, strict=True)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_member_keeps_the_contract(name: str) -> None:
    tapes = [make_tape(seed, 700, index=seed, missing_frac=0.05) for seed in range(2)]
    tapes += [make_tape(9, 900, index=3, reference=False)]

    check_strategy(lambda: build(name), tapes)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_member_calls_itself_what_the_table_calls_it(name: str) -> None:
    assert build(name).name == name


def test_folder_and_table_agree() -> None:
    files = {path.stem for path in Path(family.__file__).parent.glob("*.py")} - SHARED

    assert files == set(STRATEGIES)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no strategy is called 'moon'. Known: random, mean_revert"):
        build("moon")


class Remembers:
    """Breaks the contract: counts ticks over all windows and trades on the 800th."""

    name, note = "remembers", "x"
    Settings = build("mean_revert").Settings
    seen = 0

    def start(self, market) -> None:
        pass

    def act(self, recv_ns, row, state, position, mask) -> int:
        self.seen += 1
        return BUY if self.seen > 250 and mask[BUY] else HOLD


class Greedy(Remembers):
    """Breaks the contract: buys whatever the mask says."""

    def act(self, recv_ns, row, state, position, mask) -> int:
        return BUY


@pytest.mark.parametrize(("member", "broken"), [(Remembers, "remembers the window before"), (Greedy, "is masked")])
def test_the_check_catches_a_member_that_cheats(member: type, broken: str) -> None:
    tapes = [make_tape(seed, 200, index=seed) for seed in range(2)]

    with pytest.raises(ContractBroken, match=broken):
        check_strategy(member, tapes)


def test_mean_revert_buys_below_40_and_sells_above_60() -> None:
    tape = ticks([0.39, 0.40, 0.50, 0.60, 0.61])

    assert ask(build("mean_revert"), tape) == [BUY, HOLD, HOLD, HOLD, SELL]
    assert ask(build("mean_revert"), tape, UP) == [HOLD, HOLD, HOLD, HOLD, SELL]
    assert ask(build("mean_revert"), tape, DOWN) == [BUY, HOLD, HOLD, HOLD, HOLD]


def test_momentum_follows_three_cents_over_five_ticks_and_not_across_a_gap() -> None:
    nan = float("nan")

    # Sixth tick: 0.53 - 0.50 = 0.03, so BUY; the next compares 0.53 with 0.50 again.
    assert ask(build("momentum"), ticks([0.5, 0.5, 0.5, 0.5, 0.5, 0.53, 0.53])) == [HOLD] * 5 + [BUY, BUY]
    assert ask(build("momentum"), ticks([0.5, 0.5, 0.5, 0.5, 0.5, 0.47])) == [HOLD] * 5 + [SELL]
    assert ask(build("momentum"), ticks([0.5, 0.5, 0.5, 0.5, 0.55])) == [HOLD] * 5  # a move over four ticks only
    assert ask(build("momentum"), ticks([nan, 0.5, 0.5, 0.5, 0.5, 0.55])) == [HOLD] * 6
    assert ask(build("momentum"), ticks([0.5, 0.5, 0.5, 0.5, 0.5, nan])) == [HOLD] * 6


def test_fade_spike_leans_only_against_a_fast_move_into_an_extreme() -> None:
    # Fourth tick against the first: +0.06 to 0.66 is a spike; +0.06 to 0.60 ends too low to be dear.
    assert ask(build("fade_spike"), ticks([0.60, 0.60, 0.60, 0.66])) == [HOLD, HOLD, HOLD, SELL]
    assert ask(build("fade_spike"), ticks([0.54, 0.54, 0.54, 0.60])) == [HOLD] * 4
    assert ask(build("fade_spike"), ticks([0.40, 0.40, 0.40, 0.34])) == [HOLD, HOLD, HOLD, BUY]


def test_gating_needs_two_that_agree() -> None:
    # 0.70 throughout: mean reversion alone says Down (weight 0.4 of 1), below the quorum of 0.5.
    assert ask(build("gating"), ticks([0.70] * 7)) == [HOLD] * 7
    # 0.66 -> 0.61 falls five cents and stays above 0.60: mean reversion and momentum both say Down, 0.6.
    assert ask(build("gating"), ticks([0.66] * 5 + [0.61])) == [HOLD] * 5 + [SELL]
    # A spike to 0.70: mean reversion and the fader say Down (0.8), momentum says Up (0.2): 0.6.
    assert ask(build("gating"), ticks([0.60] * 5 + [0.70])) == [HOLD] * 5 + [SELL]


def test_random_trades_at_its_pace_and_by_its_seed() -> None:
    tape = ticks([0.5] * 1500)
    actions = np.array(ask(build("random", trade_chance=0.2), tape))

    # 1,500 draws at 0.2: 300 expected, standard deviation 15.5; five deviations either way.
    assert 220 < np.sum(actions != HOLD) < 380
    assert {BUY, SELL} <= set(actions.tolist())
    assert not np.array_equal(actions, ask(build("random", trade_chance=0.2, seed=1), tape))


def walk(n: int, drift: float = 0.0) -> list[float]:
    """A reference that alternates by 1e-4 every 5 s (10 ticks), so σ is known: 1e-4 per √(5 s)."""
    return [100.0 * (1 + drift) * (1.0001 if (i // 10) % 2 else 1.0) for i in range(n)]


def test_fair_value_is_the_gaussian_digital_worked_by_hand() -> None:
    # 200 ticks of 0.5 s; each 5 s sample moves ln 1.0001 = 0.99995e-4, so σ² = 1e-8 / 5 per second. At tick 199
    # 99.5 s have passed and 800.5 s are left: σ√τ = √(2e-9 · 800.5) = 1.26531e-3. The reference stands at 1.0001
    # times the strike: distance 0.99995e-4 / 1.26524e-3 = 0.07903, and Φ(0.07903) = 0.53150.
    strategy = build("fair_value")
    tape = ticks([0.5] * 200, reference=walk(200))
    strategy.start(tape.market)

    worth = [strategy.worth_up(int(t), row) for t, row in zip(tape.recv_ns, tape.rows, strict=True)]

    assert worth[-1] == pytest.approx(0.53150, abs=2e-5)


def test_fair_value_buys_what_is_cheap_after_cost_and_sells_what_is_dear() -> None:
    cheap = ticks([0.48] * 200, reference=walk(200))  # worth 0.5315, ask 0.49: 0.0415 below, margin 0.02
    near = ticks([0.505] * 200, reference=walk(200))  # ask 0.515: 0.0165 below, under the margin
    dear = ticks([0.58] * 200, reference=walk(200))  # bid 0.57 above worth; Down's ask 0.43, worth 0.4685

    assert ask(build("fair_value"), cheap)[-1] == BUY
    assert ask(build("fair_value"), near)[-1] == HOLD
    assert ask(build("fair_value"), dear)[-1] == SELL
    assert ask(build("fair_value"), dear, UP)[-1] == SELL
    assert ask(build("fair_value"), cheap, UP)[-1] == HOLD
    assert ask(build("fair_value"), cheap, DOWN)[-1] == BUY  # Down's bid 0.51 above its worth 0.4685


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "no reference price"),
        ([100.0] * 200, "the reference has not moved"),
        ([float("nan")] * 20 + walk(180), "no strike"),
    ],
)
def test_fair_value_says_why_it_holds(reference: list[float] | None, reason: str) -> None:
    strategy = build("fair_value")

    actions = ask(strategy, ticks([0.2] * 200, reference=reference))

    assert actions == [HOLD] * 200
    assert strategy.note.startswith(reason)


def test_no_rule_opens_in_the_last_two_minutes() -> None:
    tape = ticks([0.2] * 900, every_s=1.0)  # cheap throughout, one tick a second, the last at 899 s
    actions = np.array(ask(build("mean_revert"), tape))

    assert (actions[:780] == BUY).all()  # 900 - 780 = 120 s left: quiet from here on
    assert (actions[780:] == HOLD).all()


def test_drive_fills_at_the_next_tick() -> None:
    actions = drive(build("mean_revert"), ticks([0.3, 0.3, 0.7, 0.7, 0.7]))

    # Opens Up, holds it (BUY is masked), closes on the first 0.7, opens Down on the second, holds.
    assert actions.tolist() == [BUY, HOLD, SELL, SELL, HOLD]

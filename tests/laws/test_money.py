"""The laws of money: what no tape, fee, action or outcome may break."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_rl.market import LawSettings
from mlx_rl.market.binary import action_mask
from mlx_rl.market.fills import price_fills
from mlx_rl.market.oracle import solve
from mlx_rl.market.portfolio import Account
from observer.records import DOWN, FLAT, HOLD, UP, FeeSchedule, Ladder, Tape
from observer.venues.fees import BY_NAME
from tests.mlx_rl.market.slow_law import random_case
from tests.samples.tapes import make_tape

EPS_USD = 1e-9
ASSUMPTIONS = ("optimistic", "base", "pessimistic")

seeds = st.integers(0, 10_000)
schedules = st.sampled_from([*BY_NAME.values()])
assumptions = st.sampled_from(ASSUMPTIONS)
payoffs = st.sampled_from([0.0, 0.5, 1.0])
lawful = settings(max_examples=40, deadline=None)


def _tape(seed: int, fees: FeeSchedule, n: int = 60) -> Tape:
    """A tape whose depth is a ladder, levels, the touch or unknown, by its seed."""
    tape = make_tape(seed, n, fees=fees, missing_frac=0.1, ladder=seed % 4 == 0)
    if seed % 4 in (2, 3):
        tape.rows[:, 8:12] = np.nan
    if seed % 4 == 3:
        tape.rows[:, 4:8] = np.nan
    return tape


@lawful
@given(seed=seeds, fees=schedules, fills=assumptions, payoff=payoffs)
def test_cash_plus_positions_less_fees_is_equity(seed: int, fees: FeeSchedule, fills: str, payoff: float) -> None:
    tape, law = _tape(seed, fees), LawSettings(size_shares=20, fills=fills)
    priced, account, rng = price_fills(tape, law), Account(law), np.random.default_rng(seed)
    for t in range(len(tape)):
        account.on_tick(int(tape.recv_ns[t]), priced.at(t))
        water = account.waterfall
        close = {FLAT: None, UP: 1, DOWN: 3}[account.position]

        assert account.cash_usd == pytest.approx(water.net, abs=EPS_USD)
        if close is None:
            assert account.equity_usd() == account.cash_usd
        elif not np.isnan(priced.cash[t, close]):
            exit_fee = priced.fee_usd[t, close]
            worth = priced.cash[t, close] + exit_fee
            assert account.equity_usd() == pytest.approx(account.cash_usd + worth - exit_fee, abs=EPS_USD)
        account.decide(int(rng.choice(np.flatnonzero(account.mask()))))

    net = account.settle(payoff)
    assert net == pytest.approx(account.waterfall.net, abs=EPS_USD)
    assert account.equity_usd() == net


@lawful
@given(seed=seeds, fees=schedules, fills=assumptions)
def test_every_order_is_its_flow_at_mid_less_its_costs(seed: int, fees: FeeSchedule, fills: str) -> None:
    tape = _tape(seed, fees)
    priced = price_fills(tape, LawSettings(size_shares=20, fills=fills))
    parts = priced.spread_usd + priced.slippage_usd + priced.fee_usd
    mid = np.stack([tape.rows[:, [0, 0, 2, 2]], tape.rows[:, [1, 1, 3, 3]]]).mean(axis=0)  # NaN where one-sided
    flow = np.array([-1, 1, -1, 1]) * (20 + priced.dust_shares) * mid

    is_known = np.isfinite(priced.cash) & np.isfinite(mid)
    assert is_known.any()
    np.testing.assert_allclose(priced.cash[is_known], (flow - parts)[is_known], rtol=0, atol=EPS_USD)
    assert min(priced.spread_usd.min(), priced.slippage_usd.min(), priced.fee_usd.min()) >= 0
    assert (parts[np.isnan(priced.cash)] == 0).all()


@lawful
@given(seed=seeds, fees=schedules)
def test_dust_is_less_than_a_lot(seed: int, fees: FeeSchedule) -> None:
    tape = _tape(seed, fees)

    dust = price_fills(tape, LawSettings(size_shares=20)).dust_shares

    assert (dust >= 0).all()
    assert (dust < tape.market.lot_shares).all()
    if fees.taken_in == "cash" or fees.kind == "none":
        assert (dust == 0).all()


@lawful
@given(seed=seeds, fees=schedules)
def test_a_kinder_book_never_pays_less(seed: int, fees: FeeSchedule) -> None:
    tape = _tape(seed, fees)
    kind, base, hard = (price_fills(tape, LawSettings(size_shares=20, fills=name)).cash for name in ASSUMPTIONS)

    # A fee's rounding may turn by one step, and a buy whose fee is taken in shares by one lot.
    slack = np.full(4, fees.rounding_usd + EPS_USD)
    if fees.taken_in == "shares_on_buy" and fees.kind != "none":
        slack[[0, 2]] += tape.market.lot_shares
    for better, worse in ((kind, base), (base, hard)):
        both = np.isfinite(better) & np.isfinite(worse)
        assert (worse <= better + slack)[both].all()


@lawful
@given(
    seed=seeds, kind=st.sampled_from(["quadratic", "weighted", "notional"]), low=st.floats(0, 0.1),
    more=st.floats(0, 0.1), in_cash=st.booleans(), payoff=payoffs,
)  # fmt: skip
def test_a_higher_fee_never_raises_the_oracle(
    seed: int, kind: str, low: float, more: float, in_cash: bool, payoff: float
) -> None:
    def value(rate: float) -> np.ndarray:
        taken_in = "cash" if in_cash else "shares_on_buy"
        tape = _tape(seed, FeeSchedule("made up", kind, rate, rounding_usd=1e-5, taken_in=taken_in))
        tape = replace(tape, market=replace(tape.market, lot_shares=1e-6))
        return solve(price_fills(tape, LawSettings(size_shares=20)), payoff).value

    # In cash exactly so. In shares every open leaves less than a lot of dust, which may pay at settlement.
    slack = 0.0 if in_cash else 60 * 1e-6
    assert (value(low + more) <= value(low) + slack).all()


@lawful
@given(seed=seeds, fees=schedules, payoff=payoffs)
def test_a_wider_assumption_never_raises_the_oracle(seed: int, fees: FeeSchedule, payoff: float) -> None:
    cash_fees = replace(fees, taken_in="cash")
    tape = _tape(seed, cash_fees)
    priced = [price_fills(tape, LawSettings(size_shares=20, fills=name)) for name in ASSUMPTIONS]
    # Latency is held still: another latency reaches other ticks, and they may be better ones.
    kind, base, hard = (solve(replace(p, execute_at=priced[0].execute_at), payoff).value for p in priced)

    slack = len(tape) * (fees.rounding_usd + EPS_USD)
    assert (base <= kind + slack).all()
    assert (hard <= base + slack).all()


@lawful
@given(seed=seeds, fees=schedules, fills=assumptions, cut=st.integers(0, 59))
def test_the_future_changes_no_past_fill(seed: int, fees: FeeSchedule, fills: str, cut: int) -> None:
    tape, law = _tape(seed, fees), LawSettings(size_shares=20, fills=fills, latency_s=0.7)
    rng = np.random.default_rng(seed)
    rows = tape.rows.copy()
    rows[cut + 1 :] = rng.uniform(0.01, 0.99, size=rows[cut + 1 :].shape)
    ladder = tape.ladder
    if ladder is not None:
        ladder = Ladder(ladder.price.copy(), ladder.size.copy())
        ladder.price[cut + 1 :] = rng.uniform(0.01, 0.99, size=ladder.price[cut + 1 :].shape)

    whole = price_fills(tape, law)
    for other in (replace(tape, rows=rows, ladder=ladder), tape.until(int(tape.recv_ns[cut]))):
        changed = price_fills(other, law)
        for name in ("cash", "fee_usd", "spread_usd", "slippage_usd", "dust_shares"):
            assert getattr(changed, name)[: cut + 1].tobytes() == getattr(whole, name)[: cut + 1].tobytes()
        is_past = whole.execute_at[: cut + 1] <= cut
        assert (changed.execute_at[: cut + 1][is_past] == whole.execute_at[: cut + 1][is_past]).all()


@lawful
@given(seed=seeds)
def test_the_oracle_is_consistent_with_itself(seed: int) -> None:
    tape, law, payoff = random_case(2, seed)
    oracle = solve(price_fills(tape, law), payoff)

    assert (oracle.q.max(axis=2) == oracle.value[:-1]).all()  # the value is the best action's
    assert (oracle.value[:, FLAT] >= 0).all()  # doing nothing is always possible
    assert (oracle.q[:, :, HOLD] == oracle.value[1:]).all()
    assert (np.diff(oracle.value, axis=0) <= 0).all()  # waiting opens no door
    assert (np.isneginf(oracle.q) == ~action_mask([FLAT, UP, DOWN])).all()
    is_allowed = action_mask([FLAT, UP, DOWN])
    assert (oracle.q[-1][is_allowed] == np.repeat(oracle.value[-1], is_allowed.sum(axis=1))).all()  # too late to trade

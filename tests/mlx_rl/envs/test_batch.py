"""Many windows in lock step are many accounts, to the bit."""

import numpy as np
import pytest

from mlx_rl.envs.batch import BatchAccounts
from mlx_rl.market import LawSettings
from mlx_rl.market.binary import NO_ORDER
from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.market.oracle import best_action, solve
from mlx_rl.market.portfolio import Account
from observer.kit.errors import BadRecording, UsageError
from observer.kit.rng import stream
from observer.records import BUY, FLAT, SELL
from observer.venues.fees import BY_NAME
from tests.samples.tapes import make_tape

LAWS = (
    LawSettings(),
    LawSettings(latency_s=1.3, fills="pessimistic", size_shares=20),
    LawSettings(latency_s=0.9, fills="optimistic", fees="kalshi-quadratic"),
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.fills)
def test_equals_the_account_tick_by_tick(law: LawSettings) -> None:
    tapes = [
        make_tape(i, 40 + 17 * i, index=i, fees=fees, missing_frac=0.2)
        for i, fees in enumerate([*BY_NAME.values()] * 2)
    ]
    fills = [price_fills(tape, law) for tape in tapes]
    payoffs = [(1.0, 0.0, 0.5)[i % 3] for i in range(len(tapes))]
    batch, accounts = BatchAccounts(fills, payoffs), [Account(law) for _ in tapes]
    rng = stream(0, "batch", law.fills)

    t = 0
    while not batch.done.all():
        alive = [w for w in range(len(tapes)) if t < len(tapes[w])]
        for w in alive:
            accounts[w].on_tick(int(tapes[w].recv_ns[t]), fills[w].at(t))
        _same(batch, accounts)
        mask = batch.mask()
        actions = np.array([rng.choice(np.flatnonzero(m)) for m in mask])
        for w in alive:
            accounts[w].decide(int(actions[w]))
            if t + 1 == len(tapes[w]):
                accounts[w].settle(payoffs[w])
        batch.step(actions)
        t += 1

    _same(batch, accounts)
    ledger = batch.ledger()
    assert ledger["trades"].sum() > 100
    assert ledger["held_to_settlement"].any()
    for w, account in enumerate(accounts):
        water = account.waterfall
        for name in ("gross", "spread", "fees", "slippage", "net", "trades", "turnover_usd", "held_to_settlement"):
            assert ledger[name][w] == getattr(water, name)


def _same(batch: BatchAccounts, accounts: list[Account]) -> None:
    assert batch.position.tolist() == [a.position for a in accounts]
    assert batch.is_pending.tolist() == [a.pending != NO_ORDER for a in accounts]
    assert batch.done.tolist() == [a.is_settled for a in accounts]
    assert batch.equity_usd().tolist() == pytest.approx([a.equity_usd() for a in accounts], abs=1e-12)
    assert batch.pnl_usd().tolist() == [a.pnl_usd() for a in accounts]
    assert batch.entries().tobytes() == np.stack([a.entries() for a in accounts]).tobytes()
    open_ones = ~batch.done
    assert (batch.mask()[open_ones] == np.array([a.mask() for a in accounts])[open_ones]).all()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.fills)
def test_following_the_oracle_earns_its_value(law: LawSettings) -> None:
    tapes = [make_tape(9, 150, index=i, fees=fees) for i, fees in enumerate(BY_NAME.values())]
    fills = [price_fills(tape, law) for tape in tapes]
    oracles = [solve(f, 1.0) for f in fills]
    batch = BatchAccounts(fills, [1.0] * len(fills))

    best = [best_action(o) for o in oracles]
    while not batch.done.all():
        at = np.minimum(batch.tick, [len(f) - 1 for f in fills])
        chosen = np.array([best[w][at[w], batch.position[w]] for w in range(len(fills))])
        batch.step(np.where(batch.is_pending, 0, chosen))

    np.testing.assert_allclose(batch.ledger()["net"], [o.value[0, FLAT] for o in oracles], rtol=0, atol=1e-9)


def test_a_forbidden_action_moves_nothing() -> None:
    fills = price_fills(make_tape(0, 20, missing_frac=0), LawSettings(size_shares=1))
    batch = BatchAccounts([fills, fills], [1.0, 0.0])
    batch.step([BUY, SELL])

    with pytest.raises(UsageError, match="window 0, tick 1: BUY is not allowed while up"):
        batch.step([BUY, BUY])
    assert batch.tick.tolist() == [1, 1]


def test_a_window_without_ticks_is_done_at_once() -> None:
    none = np.empty((0, 4))
    batch = BatchAccounts([Fills(none, none, none, none, none, np.empty(0, dtype=np.int64), 50.0)], [1.0])

    assert batch.done.all()
    assert batch.ledger()["net"].tolist() == [0.0]


def test_windows_without_their_payoffs_are_refused() -> None:
    fills = price_fills(make_tape(0, 20), LawSettings())

    with pytest.raises(UsageError, match="1 windows and 2 payoffs"):
        BatchAccounts([fills], [1.0, 0.0])
    with pytest.raises(BadRecording, match="a payoff outside"):
        BatchAccounts([fills], [float("nan")])

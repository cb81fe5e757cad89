"""Trading in lock step is trading window by window, and the baselines do what they say."""

import numpy as np
import pytest

from mlx_rl.evaluation.rollout import encode_windows, lock_step, play_policy
from mlx_rl.evaluation.run_strategy import holding_spans, play_oracle, play_strategy, play_targets, random_targets
from mlx_rl.features.padding import padded_window
from mlx_rl.market.fills import price_fills
from mlx_rl.market.law import LawSettings
from mlx_rl.market.oracle import solve
from mlx_rl.market.portfolio import Account
from observer.kit.errors import ToolkitError
from observer.records import DOWN, FLAT, UP
from tests.mlx_rl.evaluation.policies import Scripted, coin, future_states, holder, synthetic_exam
from tests.samples.tapes import make_tape


def test_a_policy_in_lock_step_equals_an_account_fed_tick_by_tick() -> None:
    tapes = [make_tape(s, 60 + 7 * s, index=s) for s in range(6)]
    law = LawSettings(size_shares=5)
    fills = [price_fills(t, law) for t in tapes]
    payoffs = [float(s % 2) for s in range(6)]
    states = [np.random.default_rng(s).normal(size=(len(t), 18)).astype(np.float32) for s, t in enumerate(tapes)]
    for x in states:
        x[:, 12:15] = 0

    def logits(state: np.ndarray, z: np.ndarray) -> np.ndarray:  # looks at the market, the position and the window
        return np.stack([0.5 + state[:, 14], state[:, 0] + 0.3 * state[:, 13], z[:, 1] - 0.2 * state[:, 12]], 1)

    policy = Scripted("p", logits)
    play = play_policy(policy, encode_windows(policy, states), fills, payoffs)

    for w, (tape, x) in enumerate(zip(tapes, states, strict=True)):
        account = Account(law)
        for t in range(len(tape)):
            account.on_tick(int(tape.recv_ns[t]), fills[w].at(t))
            window, real = padded_window(x[: t + 1], policy.seq_len)
            state = x[t : t + 1].copy()
            state[0, 12:15] = account.entries()
            scores, _, _ = policy.heads(state, policy.encode(window[None], real[None]))
            action = int(np.argmax(np.where(account.mask(), scores[0], -np.inf)))
            assert (play.actions[w][t], play.positions[w][t]) == (action, account.position)
            assert play.equity[w][t] == pytest.approx(account.equity_usd(), abs=1e-4)
            account.decide(action)
        net = account.settle(payoffs[w])
        assert play.net[w] == pytest.approx(net, abs=1e-9)
        assert play.equity[w][-1] == pytest.approx(net, abs=1e-4)
    assert play.ledger["trades"].sum() > 20


def test_the_oracle_earns_its_value_and_nobody_earns_more() -> None:
    exam = synthetic_exam("null", windows=8, ticks=80, half_spread=0.0001)
    (batch,) = exam.batches()
    oracle, best = play_oracle(batch)
    values = [solve(f, float(p)).value[0, FLAT] for f, p in zip(batch.fills(), batch.payoffs, strict=True)]
    rule, _ = play_strategy("momentum", batch)

    assert oracle.net == pytest.approx(values, abs=1e-9)
    assert (oracle.net >= rule.net - 1e-9).all()
    assert [b.shape for b in best] == [(80, 3)] * 8


def test_batches_of_any_size_give_the_same_states_and_money() -> None:
    exam = synthetic_exam("null", windows=7, ticks=50)
    policy = Scripted("p", lambda s, z: np.stack([0.2 + 0 * s[:, 0], s[:, 3], -s[:, 3]], 1))

    def nets(max_ticks: int) -> np.ndarray:
        states = exam.features(policy.schema)
        batches = exam.batches(max_ticks)
        return np.concatenate(
            [play_policy(policy, encode_windows(policy, states(b)), b.fills(), b.payoffs).net for b in batches]
        )

    assert np.array_equal(nets(10**6), nets(1))
    assert np.array_equal(nets(10**6), nets(120))


def test_a_random_trader_keeps_how_often_and_how_long() -> None:
    rng = np.random.default_rng(0)
    positions = []
    for _ in range(40):
        p = np.zeros(200, np.int8)
        p[20:50], p[70:75] = UP, DOWN
        start = int(rng.integers(100, 190))
        p[start:] = UP  # to settlement
        positions.append(p)
    targets = random_targets(positions, rng)

    before = sorted(len(p) - holding_spans(p)[-1][0] for p in positions)
    after = sorted(len(p) - holding_spans(p)[-1][0] for p in targets)
    assert before == after
    assert [holding_spans(p)[-1] for p in positions] != [holding_spans(p)[-1] for p in targets]
    for target in targets:
        spans = holding_spans(target)
        assert sorted(b - a for a, b in spans[:-1]) == [5, 30]
    sides = np.concatenate([t[t != FLAT] for t in targets])
    assert 0.3 < (sides == UP).mean() < 0.7
    assert len({holding_spans(t)[0] for t in targets}) > 20


def test_aiming_for_a_position_trades_into_it() -> None:
    exam = synthetic_exam("null", windows=1, ticks=40)
    (batch,) = exam.batches()
    target = np.zeros(40, np.int8)
    target[5:10], target[10:15], target[30:] = UP, DOWN, DOWN
    play = play_targets([target], batch)

    # Decided at 5, filled at 6; closed at 11 and opened Down at 12, because each order takes a tick.
    assert [int(p) for p in play.positions[0][4:17]] == [0, 0, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0]
    assert play.ledger["trades"][0] == 5
    assert bool(play.ledger["held_to_settlement"][0])


def test_windows_of_different_length_do_not_disturb_each_other() -> None:
    tapes = [make_tape(s, n, index=s) for s, n in enumerate((10, 90, 40))]
    fills = [price_fills(t, LawSettings(size_shares=5)) for t in tapes]
    policy = coin("c", 0.0, 0)
    always = lambda t, is_open, accounts, mask: np.where(mask[:, 1], 1, 0)  # noqa: E731
    together = lock_step(fills, [1.0, 0.0, 1.0], always)
    alone = [lock_step([f], [p], always) for f, p in zip(fills, (1.0, 0.0, 1.0), strict=True)]

    assert together.net.tolist() == [float(a.net[0]) for a in alone]
    assert [len(a) for a in together.actions] == [len(t) for t in tapes]
    assert policy.name == "c"


def test_an_answer_that_is_not_a_number_is_refused() -> None:
    exam = synthetic_exam("null", windows=1, ticks=10)
    (batch,) = exam.batches()
    broken = Scripted("broken", lambda s, z: np.full((len(s), 3), np.nan))

    with pytest.raises(ToolkitError, match="broken answered tick 0 with NaN"):
        play_policy(broken, encode_windows(broken, future_states(1)()(batch)), batch.fills(), batch.payoffs)
    assert holder().name == "holder"

"""The identities of bc and wbc, and what each of them learns from noisy outcomes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlx_rl.algos.bc import BCSettings, BehaviourCloning
from mlx_rl.algos.cloning import cloning_loss
from mlx_rl.algos.targets import best_action
from mlx_rl.algos.wbc import WBCSettings, WeightedCloning, regret
from mlx_rl.artifact.manifest import BaseArchitecture
from mlx_rl.models.network import build
from mlx_rl.nn.backend import mx, nn
from mlx_rl.training.data import Gather
from mlx_rl.training.inputs import loss_inputs
from observer.kit.errors import UsageError
from tests.mlx_rl.training.toy import ToyData

ARCHITECTURE = BaseArchitecture(hidden_dim=16, temporal_dim=8, head_dim=8, value_dim=8)
ALLOWED = np.array([[True, True, True], [True, False, True], [True, True, False]])
values = arrays(np.float32, (4, 3, 3), elements=st.floats(-5, 5, width=32))


def plain_bc() -> BehaviourCloning:
    return BehaviourCloning(BCSettings(hold_weight=1.0))


def masked(q: np.ndarray) -> np.ndarray:
    return np.where(ALLOWED, q, np.float32(-np.inf))


def loss_and_gradient(data: ToyData, targets) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    network = build(ARCHITECTURE, seed=1)
    batch = Gather(data, 5, 32)(np.arange(32), 0)
    x = {name: mx.array(value) for name, value in loss_inputs(batch, targets).items()}

    def loss(weights: dict) -> tuple[mx.array, mx.array]:
        network.update(weights)
        return cloning_loss(network, x, 0.1, 0.1)

    (_, parts), gradient = mx.value_and_grad(loss)(network.parameters())
    return np.array(parts), {name: np.array(value) for name, value in nn.utils.tree_flatten(gradient)}


@given(q=values)
def test_no_forbidden_action_ever_carries_weight(q: np.ndarray) -> None:
    for method in (plain_bc(), WeightedCloning(WBCSettings())):
        weight = method.targets(masked(q)).weight

        assert np.all(weight[:, ~ALLOWED] == 0)
        assert np.isfinite(weight).all()
        assert np.all(weight >= 0)


@given(q=values)
def test_a_tie_goes_to_hold(q: np.ndarray) -> None:
    q = masked(np.zeros_like(q) + q[:, :1, :1])

    assert np.all(best_action(q) == 0)
    assert np.all(plain_bc().targets(q).weight[..., 0] == 1)


def test_weights_that_are_all_alike_make_wbc_bc_bit_for_bit() -> None:
    data = ToyData.random(2, 16, 18, 5, seed=0)
    best = np.random.default_rng(0).integers(0, 3, (32, 3)) % np.array([3, 1, 2])  # some allowed action each
    data.q = masked(np.eye(3, dtype=np.float32)[best])
    wbc = WeightedCloning(WBCSettings())
    wbc.fit(data, np.arange(32))
    a_parts, a = loss_and_gradient(data, plain_bc().targets(data.q))
    b_parts, b = loss_and_gradient(data, wbc.targets(data.q))

    assert wbc.scale == 1.0
    assert np.array_equal(a_parts, b_parts)
    assert all(np.array_equal(a[name], b[name]) for name in a)


@settings(max_examples=25)
@given(factor=st.floats(1e-3, 1e3))
def test_the_unit_of_money_changes_nothing(factor: float) -> None:
    data, scaled = (ToyData.random(3, 20, 18, 5, seed=0) for _ in range(2))
    scaled.q = (data.q * np.float32(factor)).astype(np.float32)
    weights = []
    for each in (data, scaled):
        wbc = WeightedCloning(WBCSettings())
        wbc.fit(each, np.arange(60))
        weights.append(wbc.targets(each.q).weight)

    assert np.allclose(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_a_cut_weight_is_counted() -> None:
    wbc = WeightedCloning(WBCSettings(weight_clip=2.0))
    q = masked(np.zeros((1, 3, 3), np.float32))
    q[0, 0, 1] = 5.0
    made = wbc.targets(q)

    assert made.n_clipped == 1
    assert made.weight[0, 0].tolist() == [0.0, 2.0, 0.0]


def test_hold_weight_scales_hold_alone() -> None:
    q = masked(np.zeros((1, 3, 3), np.float32))
    q[0, 0, 2] = 1.0
    weight = BehaviourCloning(BCSettings(hold_weight=0.25)).targets(q).weight

    assert weight[0].tolist() == [[0, 0, 1], [0.25, 0, 0], [0.25, 0, 0]]


def test_bc_reports_how_often_hold_is_best() -> None:
    data = ToyData.random(1, 10, 18, 5, seed=0)
    data.q = masked(np.zeros((10, 3, 3), np.float32))
    data.q[:6, 0, 1] = 1.0  # flat: BUY in six of ten samples; in the two held positions HOLD always

    assert plain_bc().fit(data, np.arange(10)) == {"hold_share": pytest.approx(1 - 6 / 30)}


def test_accuracy_is_how_often_the_best_allowed_logit_is_the_best_action() -> None:
    data = ToyData.random(2, 16, 18, 5, seed=0)
    targets = plain_bc().targets(data.q[:32])
    parts, _ = loss_and_gradient(data, targets)
    batch = Gather(data, 5, 32)(np.arange(32), 0)
    x = loss_inputs(batch, targets)
    network = build(ARCHITECTURE, seed=1)
    encoded = np.array(network.encode(mx.array(x["window"]), mx.array(x["is_real"])))
    logits, _, _ = network.heads(mx.array(x["states"]), mx.array(np.repeat(encoded[:, None], 3, axis=1)))
    chosen = np.where(x["is_allowed"], np.array(logits), -np.inf).argmax(-1)

    assert parts[4] == pytest.approx(np.mean(chosen == x["best"]))


def test_markets_without_any_difference_cannot_be_learnt() -> None:
    data = ToyData.random(1, 10, 18, 5, seed=0)
    data.q = masked(np.zeros((10, 3, 3), np.float32))

    with pytest.raises(UsageError, match="no action is worth more than another"):
        WeightedCloning(WBCSettings()).fit(data, np.arange(10))


def test_regret_is_what_an_action_earns_over_the_worst_allowed_one() -> None:
    # flat: −1, 2, 4 -> 0, 3, 5; up, BUY forbidden: 0.5, −, 0.25 -> 0.25, 0, 0
    q = np.array([[-1, 2, 4], [0.5, -np.inf, 0.25]], np.float32)

    assert regret(q).tolist() == [[0, 3, 5], [0.25, 0, 0]]


def test_wbc_finds_the_action_of_highest_mean_where_bc_finds_the_most_frequent() -> None:
    # BUY earns 1 in nine cases of ten and loses 20 in the tenth: mean −1.1; HOLD earns 0 always.
    # bc sees BUY best nine times in ten. wbc: E[w] = HOLD 0.1·20 = 2.0, BUY 0.9·1 = 0.9, so HOLD.
    rng = np.random.default_rng(0)
    buy = np.where(rng.random(4000) < 0.9, 1.0, -20.0).astype(np.float32)
    q = np.stack([np.zeros(4000, np.float32), buy, np.full(4000, -np.inf, np.float32)], axis=-1)
    chosen = {}
    for name, method in (("bc", plain_bc()), ("wbc", WeightedCloning(WBCSettings()))):
        weight = mx.array(method.targets(q).weight.mean(axis=0))
        logits = mx.zeros(3)
        for _ in range(200):  # descend the loss of one state, −Σ w log π over the two allowed actions
            gradient = mx.grad(lambda z, w=weight: -(w[:2] * (z[:2] - mx.logsumexp(z[:2]))).sum())(logits)
            logits = logits - 0.2 * gradient
        chosen[name] = int(mx.argmax(logits[:2]).item())

    assert q[:, 1].mean() < 0
    assert chosen == {"bc": 1, "wbc": 0}


def test_a_sample_without_market_price_or_outcome_says_nothing_about_the_forecast() -> None:
    data = ToyData.random(2, 16, 18, 5, seed=0)
    targets = plain_bc().targets(data.q[:32])
    data.market_mid[:], data.payoff[:] = 0.4, 1.0
    data.payoff[16:] = np.nan
    data.market_mid[:8] = np.nan
    parts, gradient = loss_and_gradient(data, targets)

    # The forecast starts at zero, so each of the 8 known samples costs −log 0.4 = 0.91629; mean over 32: 0.22907.
    assert parts[3] == pytest.approx(0.22907, abs=1e-5)
    assert np.isfinite(gradient["forecast.out.weight"]).all()

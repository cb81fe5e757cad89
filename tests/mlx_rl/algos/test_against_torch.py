"""Loss and gradients of both models, against an independent reference written with Torch's own layers."""

import math

import numpy as np
import pytest

from mlx_rl.algos.cloning import cloning_loss
from mlx_rl.algos.wbc import WBCSettings, WeightedCloning
from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.models.network import build
from mlx_rl.nn.backend import mx, nn
from mlx_rl.training.data import Gather
from mlx_rl.training.inputs import loss_inputs
from mlx_rl.training.optimizer import Layout, adamw, step_scalars
from tests.mlx_rl.training.toy import ToyData

pytestmark = pytest.mark.torch

SIZES = {"head_dim": 12, "value_dim": 14, "temporal_dim": 8}


def reference(w: dict, x: dict, a: TransformerArchitecture | BaseArchitecture):
    """The loss of `cloning_loss` in Torch, from the formulas alone."""
    import torch
    from torch.nn import functional as f

    bend = {"relu": torch.relu, "gelu": f.gelu, "tanh": torch.tanh}[a.activation]

    def linear(name: str, h):
        return f.linear(h, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name: str, h):
        return f.layer_norm(h, h.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def two(name: str, h):
        h = bend(norm(f"{name}.ln1", linear(f"{name}.fc1", h)))
        return bend(norm(f"{name}.ln2", linear(f"{name}.fc2", h)))

    if isinstance(a, BaseArchitecture):
        z = two("encoder", (x["window"] * x["is_real"][..., None]).flatten(1))
    else:
        place = torch.arange(a.seq_len)[:, None] / 10000 ** (torch.arange(0, a.d_model, 2) / a.d_model)
        h = linear("encoder.input", x["window"]) + torch.stack([place.sin(), place.cos()], -1).flatten(1)
        hidden = (~x["is_real"])[:, None, None, :]
        for i in range(a.n_layers):
            at, n = f"encoder.layers.{i}", norm(f"encoder.layers.{i}.ln1", h)
            q, k, v = (
                linear(f"{at}.{p}", n).unflatten(-1, (a.n_heads, -1)).transpose(1, 2) for p in ("query", "key", "value")
            )
            score = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(hidden, -1e9)
            h = h + linear(f"{at}.out", (score.softmax(-1) @ v).transpose(1, 2).flatten(2))
            h = h + linear(f"{at}.ff2", bend(linear(f"{at}.ff1", norm(f"{at}.ln2", h))))
        z = linear("encoder.output", norm("encoder.ln_final", h))[:, -1]
    u = torch.cat([x["states"], z[:, None].expand(-1, 3, -1)], -1)
    logits = linear("policy.out", two("policy", u)).masked_fill(~x["is_allowed"], -1e9)
    imitation = -(x["weight"] * logits.log_softmax(-1)).sum(-1).mean()
    error = (linear("value.out", two("value", u))[..., 0] - x["value"]).square().mean()
    odds = x["odds"][:, None] + linear("forecast.out", u)[..., 0]
    truth = x["payoff"][:, None].expand_as(odds)
    off = (f.binary_cross_entropy_with_logits(odds, truth, reduction="none") * x["known"][:, None]).mean()
    return imitation + 0.3 * error + 0.2 * off


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("kind", ["base", "transformer"])
def test_loss_gradients_and_one_update_agree_with_torch(kind: str, activation: str) -> None:
    import torch

    a = (
        BaseArchitecture(hidden_dim=16, activation=activation, **SIZES)
        if kind == "base"
        else TransformerArchitecture(
            seq_len=6, d_model=16, n_heads=2, n_layers=2, d_ff=24, activation=activation, **SIZES
        )
    )
    data = ToyData.random(3, 12, 18, a.seq_len, seed=2)
    wbc = WeightedCloning(WBCSettings())
    wbc.fit(data, np.arange(36))
    batch = Gather(data, a.seq_len, 36)(np.arange(36), 0)
    x = loss_inputs(batch, wbc.targets(batch.q))
    network = build(a, seed=5)
    weights = network.flat()

    def loss(flat: dict) -> tuple[mx.array, mx.array]:
        network.set_flat(flat)
        return cloning_loss(network, {k: mx.array(v) for k, v in x.items()}, 0.3, 0.2)

    (ours, _), gradient = mx.value_and_grad(loss)(weights)
    theirs_w = {k: torch.tensor(np.array(v), requires_grad=True) for k, v in weights.items()}
    theirs = reference(theirs_w, {k: torch.tensor(np.ascontiguousarray(v)) for k, v in x.items()}, a)
    theirs.backward()

    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    for name, part in gradient.items():
        assert np.allclose(part, theirs_w[name].grad, atol=1e-5, rtol=1e-5), name

    layout = Layout(weights)
    start, scalars = layout.start(weights), step_scalars(0.01, 1, 0.1)
    state, _ = adamw(start, layout.join(gradient), scalars, layout.is_decayed, clip=1e9)
    matrices = [t for t in theirs_w.values() if t.ndim > 1]
    vectors = [t for t in theirs_w.values() if t.ndim == 1]
    for name, part in gradient.items():  # the same gradient, so that the update alone is compared
        theirs_w[name].grad = torch.tensor(np.array(part))
    torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], 0.01
    ).step()
    for name, after in layout.split(state.weights).items():
        assert np.allclose(after, theirs_w[name].detach(), atol=1e-5), name


def test_flat_names_are_what_the_tree_says() -> None:
    network = build(BaseArchitecture(**SIZES))

    assert list(network.flat()) == [name for name, _ in nn.utils.tree_flatten(network.parameters())]

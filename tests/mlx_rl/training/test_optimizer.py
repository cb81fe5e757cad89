"""AdamW on one vector is Torch's AdamW on named weights, clipping included, over many steps."""

import numpy as np
import pytest

from mlx_rl.nn.backend import mx
from mlx_rl.training.optimizer import Layout, adamw, step_scalars

pytestmark = pytest.mark.torch

SHAPES = {"fc.weight": (3, 4), "fc.bias": (3,), "ln.weight": (4,)}


@pytest.mark.parametrize("clip", [0.5, 1e9])
def test_many_updates_agree_with_torch(clip: float) -> None:
    import torch

    rng = np.random.default_rng(0)
    start = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    theirs = {name: torch.tensor(value.copy(), requires_grad=True) for name, value in start.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": [t for t in theirs.values() if t.ndim > 1], "weight_decay": 0.1},
            {"params": [t for t in theirs.values() if t.ndim == 1], "weight_decay": 0.0},
        ]
    )
    layout = Layout({name: mx.array(value) for name, value in start.items()})
    state = layout.start({name: mx.array(value) for name, value in start.items()})
    for step in range(1, 31):
        rate = 0.02 / step
        size = 10.0 ** rng.uniform(-2, 1)  # some gradients are cut, some are not
        gradient = {name: (size * rng.normal(size=shape)).astype(np.float32) for name, shape in SHAPES.items()}
        vector = layout.join({name: mx.array(value) for name, value in gradient.items()})
        state, norm = adamw(state, vector, step_scalars(rate, step, 0.1), layout.is_decayed, clip)
        for name, value in gradient.items():
            theirs[name].grad = torch.tensor(value)
        whole = torch.nn.utils.clip_grad_norm_(list(theirs.values()), clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()

        assert norm.item() == pytest.approx(whole.item(), rel=1e-5)  # before it was cut
        for name, value in layout.split(state.weights).items():
            assert np.allclose(value, theirs[name].detach(), atol=2e-6), (step, name)


def test_every_weight_begins_where_a_gpus_matrix_product_takes_it() -> None:
    weights = {f"w{n}": mx.full((n,), float(n)) for n in (1, 64, 3, 130)}
    layout = Layout(weights)
    vector = np.array(layout.join(weights))

    assert [int(np.argmax(vector == n)) for n in (1, 64, 3, 130)] == [0, 64, 128, 192]
    assert len(vector) == 384
    assert sorted(set(vector)) == [0, 1, 3, 64, 130]
    assert {name: np.array(a).tolist() for name, a in layout.split(mx.array(vector)).items()} == {
        name: np.array(a).tolist() for name, a in weights.items()
    }

"""When a number stops being finite: say which tensor, at which step, in which batch, and stop.

The check itself costs nothing (the loss and the gradient's norm are read anyway). Only when it fails is the step
taken apart, with the weights from before it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mlx_rl.algos.cloning import METRICS
from mlx_rl.models.network import Network
from mlx_rl.nn.backend import as_mx
from mlx_rl.training.data import I64
from mlx_rl.training.optimizer import State
from mlx_rl.training.step import Arrays, Outcome, Stepper
from observer.kit.errors import ToolkitError


class NotFinite(ToolkitError):
    """Training met NaN or infinity; nothing after it would mean anything."""


def check_finite(outcome: Outcome, stepper: Stepper, before: State, x: Arrays, step: int, ids: I64) -> None:
    """Let a finite step pass.

    Raises:
        NotFinite: names the first tensor that is not finite, the step and the batch.
    """
    if math.isfinite(outcome.gradient_norm) and np.isfinite(outcome.parts).all():
        return
    raise NotFinite(
        f"{_culprit(stepper, before, x, step)} at step {step}, batch of {len(ids)} samples {ids[:3].tolist()}…. "
        "Look at these samples with `mlx-rl data report`; if they are sound, lower --learning-rate. "
        "The last checkpoint is from before this step."
    )


def check_finite_validation(parts: NDArray[np.float64], network: Network, x: Arrays, epoch: int, ids: I64) -> None:
    """Let a finite batch of the validation samples pass.

    Raises:
        NotFinite: names the first tensor that is not finite, the epoch and the batch.
    """
    if np.isfinite(parts).all():
        return
    tensors = {f"input {name}": a for name, a in x.items()}
    tensors |= {f"weight {name}": a for name, a in network.numpy().items()}
    broken = next((name for name, a in tensors.items() if not np.isfinite(a).all()), None)
    part = next(name for name, value in zip(METRICS, parts, strict=True) if not math.isfinite(value))
    raise NotFinite(
        f"{f'{broken} holds NaN or infinity' if broken else f'{part} is not finite'} in the validation after epoch "
        f"{epoch}, batch of {len(ids)} validation samples {ids[:3].tolist()}…. Look at these samples with "
        "`mlx-rl data report`; if they are sound, lower --learning-rate. "
        "The last checkpoint is from before the end of this epoch."
    )


def _culprit(stepper: Stepper, before: State, x: Arrays, step: int) -> str:
    for name, array in x.items():
        if not np.isfinite(array).all():
            return f"input {name} holds NaN or infinity"
    for name, weight in stepper.layout.split(before.weights).items():
        if not np.isfinite(np.array(weight)).all():
            return f"weight {name} holds NaN or infinity"
    arrays = {name: as_mx(a) for name, a in x.items()}
    parts, gradient = stepper.gradient(before.weights, arrays, stepper.dropout_key(step))
    if not np.isfinite(np.array(parts)).all():
        return "the loss is not finite"
    for name, part in stepper.layout.split(gradient).items():
        if not np.isfinite(np.array(part)).all():
            return f"the gradient of {name} holds NaN or infinity"
    return "the squared gradient overflows"

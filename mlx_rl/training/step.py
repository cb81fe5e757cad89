"""One training step: whole on one stream, or in halves on two, compiled either way.

Both compute the same gradient (a test holds them to 1e-6). A step is a pure function of state, batch, step size,
step number and dropout key, so a resumed run repeats it bit for bit.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_rl.algos.cloning import cloning_loss
from mlx_rl.models.network import Network
from mlx_rl.nn.backend import as_mx, mx
from mlx_rl.nn.device import compiled
from mlx_rl.nn.layers import split_key
from mlx_rl.training.optimizer import Layout, Scalars, State, adamw, step_scalars
from mlx_rl.training.settings import TrainSettings

Arrays = Mapping[str, NDArray[np.generic]]


class Outcome(NamedTuple):
    """What a step reports: the parts of the loss in the order of `METRICS`, and the gradient's norm."""

    parts: NDArray[np.float32]
    gradient_norm: float


class Stepper:
    """Runs training steps on one model.

    Args:
        network: its weights serve as scratch space; the truth is in the `State` that goes in and out.
        settings: loss weights, decay and clipping.
        streams: 1, or 2 to compute two halves of each batch side by side.
    """

    def __init__(self, network: Network, settings: TrainSettings, streams: int) -> None:
        self.network, self.settings = network, settings
        self.layout = Layout(network.flat())
        self._streams = [mx.new_stream(mx.default_device()) for _ in range(streams)] if streams > 1 else []
        self._gradients = [compiled(self.gradient) for _ in self._streams]  # one each: a trace belongs to its stream
        self._whole = compiled(self._whole_step)
        self._update = compiled(self._adamw)

    def gradient(self, weights: mx.array, x: Mapping[str, mx.array], key: mx.array | None) -> tuple[mx.array, mx.array]:
        """(W,) weights, one batch -> the parts of the loss and the (W,) gradient."""

        def loss(named: dict[str, mx.array]) -> tuple[mx.array, mx.array]:
            self.network.set_flat(named)
            s = self.settings
            return cloning_loss(self.network, x, s.value_weight, s.forecast_weight, key)

        (_, parts), gradient = mx.value_and_grad(loss)(self.layout.split(weights))
        return parts, self.layout.join(gradient)

    def __call__(self, state: State, x: Arrays, rate: float, step: int) -> tuple[State, Outcome]:
        """Step number `step` (from 1) with step size `rate`; evaluated once, at its end."""
        key = self.dropout_key(step)
        scalars = step_scalars(rate, step, self.settings.weight_decay)
        if self._streams:
            parts, gradient = self._in_halves(state.weights, x, key)
            after, norm = self._update(state, gradient, scalars)
        else:
            after, parts, norm = self._whole(state, {name: as_mx(a) for name, a in x.items()}, scalars, key)
        mx.eval(after, parts, norm)
        return after, Outcome(np.array(parts), float(np.array(norm)))

    def dropout_key(self, step: int) -> mx.array | None:
        """The key of a step's dropout, from seed and step alone; None without dropout."""
        if self.network.architecture.dropout == 0.0:
            return None
        return mx.random.key((self.settings.seed << 32) + step)

    def _in_halves(self, weights: mx.array, x: Arrays, key: mx.array | None) -> tuple[mx.array, mx.array]:
        """Each stream takes its share of the batch; the results are averaged by the size of the share."""
        n, n_streams = len(x["window"]), len(self._streams)
        parts, gradient = mx.zeros(()), mx.zeros(())
        for i, (stream, own_key) in enumerate(zip(self._streams, split_key(key, n_streams), strict=True)):
            share = slice(i * n // n_streams, (i + 1) * n // n_streams)
            with mx.stream(stream):
                its_x = {name: as_mx(a[share]) for name, a in x.items()}
                its_parts, its_gradient = self._gradients[i](weights, its_x, own_key)
            weight = (share.stop - share.start) / n
            parts, gradient = parts + weight * its_parts, gradient + weight * its_gradient
        return parts, gradient

    def _whole_step(
        self, state: State, x: Mapping[str, mx.array], scalars: Scalars, key: mx.array | None
    ) -> tuple[State, mx.array, mx.array]:
        parts, gradient = self.gradient(state.weights, x, key)
        after, norm = self._adamw(state, gradient, scalars)
        return after, parts, norm

    def _adamw(self, state: State, gradient: mx.array, scalars: Scalars) -> tuple[State, mx.array]:
        return adamw(state, gradient, scalars, self.layout.is_decayed, self.settings.clip_norm)

"""One way to call every runtime, so that what is compared is called the same way.

A runtime takes NumPy (B, L, F) windows, (B, L) which states are real and (B, F) current states, and returns
named NumPy outputs: `encoded` (B, Z), `logits` (B, A), `value` (B,), `forecast` (B,), and `attention`
(B, layers, H, L) where it can be asked for. A runtime that keeps something to itself leaves the name out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.numpy_forward import NumpyPolicy
from mlx_rl.policy import Policy

if TYPE_CHECKING:
    import torch

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Outputs = dict[str, F32]

OUTPUTS = ("encoded", "logits", "value", "forecast")


@dataclass(frozen=True)
class Runtime:
    """Something that computes a policy, under the name it gets in the certificate."""

    name: str
    run: Callable[[F32, Mask, F32], Outputs]
    logits: Callable[[F32, Mask, F32], F32]  # what one decision needs, for timing
    batch_one_only: bool = False
    device: str = "cpu"


def policy_runtime(name: str, policy: Policy, device: str = "cpu") -> Runtime:
    """A policy object: the trained model in MLX, or the NumPy forward pass."""

    def run(window: F32, is_real: Mask, state: F32) -> Outputs:
        encoded = policy.encode(window, is_real)
        logits, value, forecast = policy.heads(state, encoded)
        made: Outputs = {"encoded": encoded, "logits": logits, "value": value, "forecast": forecast}
        attention = getattr(policy, "attention", None)
        return made if attention is None else {**made, "attention": attention(window, is_real)}

    def logits(window: F32, is_real: Mask, state: F32) -> F32:
        return policy.heads(state, policy.encode(window, is_real))[0]

    return Runtime(name, run, logits, device=device)


def fast_runtime(policy: NumpyPolicy) -> Runtime:
    """The compiled kernel behind live decisions, one sample at a time."""
    all_allowed = np.ones(3, np.bool_)

    def run(window: F32, is_real: Mask, state: F32) -> Outputs:
        made = [policy.decide(*one, all_allowed) for one in zip(window, is_real, state, strict=True)]
        fields = ("logits", "value", "forecast")
        return {name: np.array([getattr(one, name) for one in made], np.float32) for name in fields}

    def logits(window: F32, is_real: Mask, state: F32) -> F32:
        return np.array([policy.decide(window[0], is_real[0], state[0], all_allowed).logits], np.float32)

    return Runtime("fast", run, logits, batch_one_only=True)


def torch_runtime(twin: "torch.nn.Module", name: str = "torch") -> Runtime:
    """A Torch twin, on the CPU, in eager mode.

    Sets this process's Torch to one thread: batches are small, and a second thread that waits for a busy core
    costs a hundred times more than it brings.
    """
    import torch

    torch.set_num_threads(1)
    module: Any = twin.eval()

    def run(window: F32, is_real: Mask, state: F32) -> Outputs:
        with torch.inference_mode():
            inputs = torch.from_numpy(window), torch.from_numpy(is_real), torch.from_numpy(state)
            made = (*module(*inputs), module.attention(*inputs[:2]))
            named = {key: value.numpy() for key, value in zip((*OUTPUTS, "attention"), made, strict=True)}
            return named if named["attention"].size else {key: named[key] for key in OUTPUTS}  # base attends to none

    def logits(window: F32, is_real: Mask, state: F32) -> F32:
        with torch.inference_mode():
            inputs = torch.from_numpy(window), torch.from_numpy(is_real), torch.from_numpy(state)
            return module(*inputs)[1].numpy()

    return Runtime(name, run, logits)


def onnx_runtime(path: Path) -> Runtime:
    """An ONNX file in ONNX Runtime, on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(window: F32, is_real: Mask, state: F32) -> Outputs:
        made = session.run(list(OUTPUTS), {"window": window, "is_real": is_real, "state": state})
        return dict(zip(OUTPUTS, made, strict=True))

    def logits(window: F32, is_real: Mask, state: F32) -> F32:
        return session.run(["logits"], {"window": window, "is_real": is_real, "state": state})[0]

    return Runtime("onnx", run, logits)

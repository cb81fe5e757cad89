"""How long one decision takes at batch 1: every runtime in a process of its own, taking turns, one thread each.

`live` is the whole decision of a trading arm: feature kernel, scaling, window, encoder, heads, mask and choice, on
a made-up tape. The other rows start from a scaled window and end with NumPy logits. MLX runs twice, with the BLAS
of its Linux wheel and with the fast one that this project loads before it. Run: `python scripts/bench_inference.py`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from export.numpy_forward import NumpyPolicy
from observer.kit.console import emit_json, say, table
from tests.samples.model_folder import make_golden, make_policy

MODELS = ("transformer", "base")
DECISIONS, PAUSED = 300, 100  # per turn, and per slow turn
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MLX_RL_FAST_BLAS": "1"}
Decide = Callable[[int], Any]  # the i-th input -> the decision


def live(policy: NumpyPolicy, torch_too: bool = False) -> Decide:
    """A trading arm's whole decision, tick after tick; with Torch's eager twin in place of the kernel if asked."""
    from live.decide import PolicyArm
    from mlx_rl.market.binary import action_mask, position_entries
    from scripts.bench_features import made_up_tape

    tape = made_up_tape(200_000)
    arm = PolicyArm(_TorchPolicy(policy) if torch_too else policy)  # type: ignore[arg-type]
    arm.start(tape.market)
    clock, entries = tape.recv_ns.tolist(), position_entries(1, 0.1, 1.0)

    def decide(i: int) -> Any:
        return arm.decide(clock[i], tape.rows[i], 1, entries, action_mask(1))

    return decide


def from_window(name: str, policy: NumpyPolicy) -> Decide:
    """Scaled window in, logits out, in the runtime called `name`."""
    from export.runtimes import fast_runtime, onnx_runtime, policy_runtime

    golden = make_golden(policy)
    inputs = [
        tuple(golden[key][i : i + 1] for key in ("window", "is_real", "state")) for i in range(len(golden["state"]))
    ]
    if name == "numpy":
        logits = policy_runtime("numpy", policy).logits
    elif name == "kernel (numba)":
        logits = fast_runtime(policy).logits
    elif name == "onnxruntime":
        from export.onnx import write_onnx

        with tempfile.TemporaryDirectory() as place:
            write_onnx(Path(place) / "model.onnx", policy.architecture, policy.weights)
            logits = onnx_runtime(Path(place) / "model.onnx").logits
    elif name.startswith("mlx"):
        logits = policy_runtime("mlx", _mlx(policy)).logits
    else:
        logits = _torch(policy, frozen=name == "torch.jit, frozen")

    return lambda i: logits(*inputs[i % len(inputs)])


FROM_WINDOW = (
    "kernel (numba)", "numpy", "onnxruntime", "torch.jit, frozen", "torch eager", "mlx, fast BLAS", "mlx, stock",
)  # fmt: skip
CONTENDERS: dict[str, Callable[[NumpyPolicy], Decide]] = {
    "live": live,
    "live, torch eager": lambda policy: live(policy, torch_too=True),
    **{name: lambda policy, name=name: from_window(name, policy) for name in FROM_WINDOW},
}


class Worker:
    """A contender in a process of its own, waiting for its turn."""

    def __init__(self, name: str, model: str) -> None:
        environment = {**os.environ, **ONE_THREAD, **({"MLX_RL_FAST_BLAS": "0"} if name == "mlx, stock" else {})}
        command = [sys.executable, __file__, "--worker", name, "--model", model]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.ask("ready")

    def ask(self, what: str) -> Any:
        """Send one word and wait for the answer."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        print(what, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def turn(self, what: str = "turn") -> NDArray[np.float64]:
        """Microseconds of each decision of one turn; a "slow turn" waits 10 ms before each, so caches are cold."""
        return np.array(self.ask(what)) / 1e3

    def close(self) -> list[str]:
        """End the process; which heavy libraries it had loaded."""
        loaded = self.ask("loaded")
        self.process.communicate("stop\n")
        return loaded


def serve(name: str, model: str) -> int:
    """Be a contender: build it, warm it up, then answer words from stdin until told to stop."""
    decide = CONTENDERS[name](make_policy(model))
    done = 0

    def turn(n: int, pause_s: float = 0.0) -> list[int]:
        nonlocal done
        spent = []
        for i in range(done, done + n):
            if pause_s:
                time.sleep(pause_s)
            start = time.perf_counter_ns()
            decide(i)
            spent.append(time.perf_counter_ns() - start)
        done += n
        return spent

    turn(2_000 if name == "live" else 200)
    answers: dict[str, Callable[[], Any]] = {
        "ready": lambda: True,
        "turn": lambda: turn(DECISIONS),
        "slow turn": lambda: turn(PAUSED, pause_s=0.01),
        "loaded": lambda: [module for module in ("torch", "mlx.core", "onnxruntime") if module in sys.modules],
    }
    for word in sys.stdin:
        if word.strip() == "stop":
            break
        print(json.dumps(answers[word.strip()]()), flush=True)
    return 0


def percentiles(turns: list[NDArray[np.float64]]) -> dict[str, float]:
    """Over all turns: the median of all decisions; the p99 of the middle, the quietest and the worst turn."""
    tails = sorted(float(np.percentile(turn, 99)) for turn in turns)
    return {
        "p50_us": round(float(np.median(np.concatenate(turns))), 1),
        "p99_us": round(tails[len(tails) // 2], 1),
        "p99_quietest_us": round(tails[0], 1),
        "p99_worst_us": round(tails[-1], 1),
    }


def race(names: list[str], model: str, rounds: int) -> dict[str, dict[str, float]]:
    """Let the contenders take turns."""
    workers = {}
    for name in names:
        say(f"starting {name} ({model})")
        workers[name] = Worker(name, model)
    turns: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, worker in workers.items():
            turns[name].append(worker.turn())
    for worker in workers.values():
        worker.close()
    return {name: percentiles(taken) for name, taken in turns.items()}


def main() -> int:
    """Parse the flags, race, print."""
    flags = argparse.ArgumentParser(description="Time one decision in every runtime. Nothing is traded or kept.")
    flags.add_argument("--rounds", type=int, default=7, help="turns of 300 decisions for each runtime [7]")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_argument("--worker", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    flags.add_argument("--model", choices=MODELS, help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.worker is not None:
        return serve(asked.worker, asked.model)
    found = {model: race(list(CONTENDERS), model, asked.rounds) for model in MODELS}
    if asked.json:
        emit_json({"unit": "us", "decisions_per_turn": DECISIONS, "rounds": asked.rounds, "models": found})
        return 0
    header = ("model", "runtime", "p50 us", "p99 us, quietest turn", "middle", "worst")
    print(
        table([(model, name, *took.values()) for model, rows in found.items() for name, took in rows.items()], header)
    )
    return 0


class _TorchPolicy:
    """The Torch twin where a policy is expected, without the kernel's `decide`."""

    def __init__(self, policy: NumpyPolicy) -> None:
        self.name, self.schema, self.scaler = policy.name, policy.schema, policy.scaler
        self.seq_len, self.temporal_dim = policy.seq_len, policy.temporal_dim
        self.twin = _twin(policy)

    def encode(self, window: Any, is_real: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self.twin.encode(torch.from_numpy(window), torch.from_numpy(is_real)).numpy()

    def heads(self, state: Any, encoded: Any) -> Any:
        import torch

        with torch.inference_mode():
            return tuple(part.numpy() for part in self.twin.heads(torch.from_numpy(state), torch.from_numpy(encoded)))


def _twin(policy: NumpyPolicy) -> Any:
    import torch

    from export.twins import TWINS

    torch.set_num_threads(1)
    twin = TWINS[policy.architecture.kind](policy.architecture.model_dump())
    twin.load_state_dict({key: torch.from_numpy(value) for key, value in policy.weights.items()})
    return twin


def _torch(policy: NumpyPolicy, *, frozen: bool) -> Callable[..., Any]:
    import torch

    from export.runtimes import torch_runtime

    twin = _twin(policy)
    if not frozen:
        return torch_runtime(twin).logits
    golden = make_golden(policy, 2)
    example = tuple(torch.from_numpy(golden[key][:1]) for key in ("window", "is_real", "state"))
    fixed = torch.jit.freeze(torch.jit.trace(twin, example))

    def logits(window: Any, is_real: Any, state: Any) -> Any:
        with torch.inference_mode():
            return fixed(torch.from_numpy(window), torch.from_numpy(is_real), torch.from_numpy(state))[1].numpy()

    return logits


def _mlx(policy: NumpyPolicy) -> Any:
    from mlx_rl.models.network import Network
    from mlx_rl.models.policy import MlxPolicy
    from mlx_rl.nn.backend import mx

    network = Network(policy.architecture)
    network.set_flat({name: mx.array(value) for name, value in policy.weights.items()})
    return MlxPolicy(policy.name, network, policy.schema, policy.scaler)


if __name__ == "__main__":
    raise SystemExit(main())

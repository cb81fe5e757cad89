"""Training throughput, ours beside PyTorch and stock MLX: `python scripts/bench_train.py [--quick] [--cuda] [--json]`.

Each contender runs in a process of its own, one at a time, round robin; the figure is the median over the rounds.
One sample is one window with one position; data lie in memory and are handed over at each step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# contender -> environment. Two threads or two streams wherever the contender can use them.
CONTENDERS: dict[str, dict[str, str]] = {
    "ours": {},
    "torch eager": {},
    "torch.compile": {},
    "stock MLX": {"MLX_RL_FAST_BLAS": "0", "MLX_RL_NATIVE": "0"},
}
CASES = (("transformer", 256), ("transformer", 1024), ("base", 256), ("base", 1024), ("base", 4096))
CUDA = tuple((kind, batch) for kind in ("transformer", "base") for batch in (1024, 16384))
QUICK = (("transformer", 256), ("transformer", 1024), ("base", 256))
PLAIN = {"MLX_RL_FAST_BLAS": "0", "MLX_RL_NATIVE": "0"}  # ours without its BLAS and kernels


def measure_here(contender: str, kind: str, batch: int, seconds: float, device: str) -> float:
    """Samples per second of one contender in this process; Torch on `device`, MLX on its own default."""
    from mlx_rl.training.inputs import made_up_inputs

    seq_len = 20 if kind == "transformer" else 5
    arrays: dict[str, Any] = made_up_inputs(batch, seq_len, 18)
    if contender == "ours":
        step = _our_step(kind, arrays)
    else:
        from scripts.bench_train_rivals import plain_mlx_step, torch_step

        if contender == "stock MLX":
            step = plain_mlx_step(kind, arrays)
        else:
            step = torch_step(kind, arrays, is_compiled=contender == "torch.compile", threads=2, device=device)
    for _ in range(3):
        step()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds or done < 3:
        step()
        done += 1
    return done * batch / (time.perf_counter() - started)


def _our_step(kind: str, arrays: dict[str, Any]) -> Any:
    from mlx_rl.artifact.manifest import preset
    from mlx_rl.models.network import build
    from mlx_rl.nn.device import training_streams
    from mlx_rl.training.settings import TrainSettings
    from mlx_rl.training.step import Stepper

    network = build(preset(kind), 0)
    stepper = Stepper(network, TrainSettings(), training_streams(kind, len(arrays["window"])))
    state, number = stepper.layout.start(network.flat()), 0

    def step() -> None:
        nonlocal state, number
        number += 1
        state, _ = stepper(state, arrays, 1e-3, number)

    return step


def measure(
    contender: str, kind: str, batch: int, seconds: float, extra: dict[str, str] | None = None, device: str = "cpu"
) -> float:
    """Samples per second of one contender in a process of its own."""
    command = [sys.executable, __file__, "--worker", contender, kind, str(batch), str(seconds), device]
    environment = {**os.environ, **CONTENDERS[contender], **(extra or {})}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def run(cases: tuple[tuple[str, int], ...], rounds: int, seconds: float, device: str = "cpu") -> list[dict[str, Any]]:
    """All contenders on all cases, interleaved; median samples per second and ours over each rival."""
    from observer.kit.console import Progress

    found: dict[tuple[str, int, str], list[float]] = {}
    progress, done = Progress("bench", rounds * len(cases) * len(CONTENDERS)), 0
    for _ in range(rounds):
        for kind, batch in cases:
            for contender in CONTENDERS:
                speed = measure(contender, kind, batch, seconds, device=device)
                found.setdefault((kind, batch, contender), []).append(speed)
                done += 1
                progress.update(done, f"{kind} {batch} {contender}")
    rows: list[dict[str, Any]] = []
    for kind, batch in cases:
        speed = {c: statistics.median(found[kind, batch, c]) for c in CONTENDERS}
        ratio = {c: speed["ours"] / speed[c] for c in CONTENDERS if c != "ours"}
        rows.append({"model": kind, "batch": batch, "samples_per_s": speed, "ours_over": ratio})
    return rows


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    from observer.kit.console import table

    rivals = [c for c in CONTENDERS if c != "ours"]
    lines = [
        [f"{r['model']} {r['batch']}", *(round(v) for v in r["samples_per_s"].values())]
        + [f"{r['ours_over'][c]:.2f}x" for c in rivals]
        for r in rows
    ]
    return table(lines, ["model, batch", *(f"{c}, samples/s" for c in CONTENDERS), *(f"/ {c}" for c in rivals)])


def main() -> int:
    """Run the bench and print the table."""
    flags = argparse.ArgumentParser(prog="bench_train.py", description="Time training steps. Nothing is kept.")
    flags.add_argument("--quick", action="store_true", help="three cases instead of five")
    flags.add_argument("--cuda", action="store_true", help="large batches on a GPU, with MLX and Torch built for CUDA")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.worker:
        contender, kind, batch, seconds, device = asked.worker
        print(measure_here(contender, kind, int(batch), float(seconds), device))
        return 0
    rows = run(CUDA, 2, 2.0, "cuda") if asked.cuda else run(QUICK if asked.quick else CASES, 3, 2.0)
    print(json.dumps({"rows": rows}, indent=2) if asked.json else show(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`runs/<name>/`: what a training run leaves behind, and what it needs to go on after it was killed.

    settings.json             every setting as it was resolved; a resumed run must have the same
    metrics.jsonl             one line per epoch
    checkpoints/step-*.safetensors   the last two states of the optimiser, whole or not there
    best.safetensors          the weights of the best validation epoch

A checkpoint holds the weights and the two running means, and as metadata the integers and sums of the loop.
Nothing random is stored: everything random is drawn from (seed, epoch, step).
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from observer.kit.console import finite, say
from observer.kit.errors import UsageError

KEEP = 2


class Position(BaseModel):
    """Where a run stands, exactly: between two steps.

    `sums` are the epoch's totals so far, in the order of the metrics; `clipped` and `weighed` count weights.
    """

    model_config = ConfigDict(extra="forbid")

    epoch: int = 0  # epochs finished
    step_in_epoch: int = 0
    step: int = 0  # steps done in all
    sums: list[float] = []
    clipped: int = 0
    weighed: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    metrics_lines: int = 0


class RunFolder:
    """The files of one run.

    Args:
        path: `runs/<name>`.
        settings: the resolved settings, as plain data.
        resume: go on from the last checkpoint, if there is one.

    Raises:
        UsageError: the folder holds a run and `resume` is off, or it was made with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.best = path / "best.safetensors"
        self.metrics = path / "metrics.jsonl"
        record = path / "settings.json"
        text = json.dumps(finite(settings), indent=2, sort_keys=True) + "\n"
        if record.exists():
            self._check_same(record, json.loads(text), resume)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for scratch in [*path.glob("*.part"), *self.checkpoints.glob("*.part")]:
            scratch.unlink()
        _write(record, text.encode())

    def _check_same(self, record: Path, wanted: dict[str, Any], resume: bool) -> None:
        if not resume:
            raise UsageError(f"{self.path} already holds a run. Pass --resume to go on, or another --run-name.")
        found = json.loads(record.read_text())
        for key in sorted({*found, *wanted}):
            if found.get(key) != wanted.get(key):
                raise UsageError(
                    f"{self.path} was started with {key} = {found.get(key)!r}; this run has {wanted.get(key)!r}. "
                    "Give the same settings, or another --run-name."
                )

    def latest(self) -> tuple[dict[str, NDArray[np.float32]], Position] | None:
        """The newest checkpoint that can be read, or None; metrics written after it are dropped."""
        for path in sorted(self.checkpoints.glob("step-*.safetensors"), reverse=True):
            try:
                with safe_open(path, framework="numpy") as file:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    position = Position.model_validate_json(file.metadata()["position"])
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                say(f"warning: {path.name} cannot be read ({error}); going back to the one before")
                continue
            self._cut_metrics(position.metrics_lines)
            return tensors, position
        self._cut_metrics(0)
        return None

    def save(self, tensors: dict[str, NDArray[np.float32]], position: Position) -> None:
        """Write a checkpoint whole or not at all, and keep the last two."""
        path = self.checkpoints / f"step-{position.step:010d}.safetensors"
        _write(path, to_bytes(tensors, metadata={"position": position.model_dump_json()}))
        for old in sorted(self.checkpoints.glob("step-*.safetensors"))[:-KEEP]:
            old.unlink()

    def save_best(self, weights: dict[str, NDArray[np.float32]]) -> None:
        """Keep the weights of the best epoch so far."""
        _write(self.best, to_bytes(weights))

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(finite(line)) + "\n")

    def last_line(self) -> dict[str, Any]:
        """What the last finished epoch logged; empty before the first."""
        lines = self.metrics.read_text().splitlines() if self.metrics.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def _cut_metrics(self, n_lines: int) -> None:
        if self.metrics.exists():
            kept = self.metrics.read_text().splitlines(keepends=True)[:n_lines]
            _write(self.metrics, "".join(kept).encode())


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

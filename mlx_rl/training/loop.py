"""The one training loop.

Everything random is a function of (seed, epoch, step): the order of the samples, the dropout, the imagined
entries. So the same settings give the same weights, and a run that was killed and resumed gives the same weights
as one that was not, bit for bit on the CPU.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from mlx_rl.algos.cloning import METRICS, cloning_loss
from mlx_rl.algos.targets import Method
from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.models.network import Network, build
from mlx_rl.nn.backend import as_mx
from mlx_rl.nn.device import describe, training_streams
from mlx_rl.training.data import I64, Gather, TrainingData, check_data, epoch_order, step_ids
from mlx_rl.training.guard import check_finite, check_finite_validation
from mlx_rl.training.inputs import loss_inputs
from mlx_rl.training.optimizer import State, rate_at
from mlx_rl.training.run_folder import Position, RunFolder
from mlx_rl.training.settings import TrainSettings
from mlx_rl.training.step import Stepper
from observer.kit.console import Progress, say

STATE_NAMES = ("weights", "mean", "square")

# Runs the network on the validation markets; returns what it earned, e.g. {"net_usd": …, "oracle_share": …}.
Validate = Callable[[Network], dict[str, float]]


@dataclass(frozen=True)
class Trained:
    """What a run gives back: the best epoch's network, and what was measured on the way to it."""

    network: Network
    metrics: dict[str, Any]
    position: Position


def train(
    data: TrainingData,
    train_ids: I64,
    valid_ids: I64,
    architecture: TransformerArchitecture | BaseArchitecture,
    method: Method,
    settings: TrainSettings,
    folder: Path,
    *,
    record: dict[str, Any] | None = None,
    validate: Validate | None = None,
    resume: bool = False,
) -> Trained:
    """Train a network.

    Args:
        data: the samples; `train_ids` and `valid_ids` are the folds.
        architecture: what to train; its dropout is replaced by the settings'.
        method: how actions are weighed.
        folder: the run's folder.
        record: what else belongs into settings.json (dataset id, method settings, law); must match to resume.
        validate: earns money on the validation markets with the current network, or None.
        resume: go on from the folder's last checkpoint.

    Raises:
        UsageError: a dataset that cannot be learnt from, or a folder that belongs to another run.
        NotFinite: a number stopped being finite.
    """
    check_data(data, train_ids)
    architecture = architecture.model_copy(update={"dropout": settings.dropout})
    learnt = method.fit(data, train_ids)
    resolved = {
        "settings": settings.model_dump(),
        "architecture": architecture.model_dump(),
        "samples": {"train": len(train_ids), "valid": len(valid_ids)},
        "learnt": learnt,
        **(record or {}),
    }
    run = _Run(data, train_ids, valid_ids, architecture, method, settings, validate)
    return run.go(RunFolder(folder, resolved, resume=resume), resume)


class _Run:
    """One run in progress."""

    def __init__(
        self,
        data: TrainingData,
        train_ids: I64,
        valid_ids: I64,
        architecture: TransformerArchitecture | BaseArchitecture,
        method: Method,
        settings: TrainSettings,
        validate: Validate | None,
    ) -> None:
        self.data, self.method, self.settings, self.validate = data, method, settings, validate
        self.train_ids = train_ids
        self.valid_ids = _spread(valid_ids, settings.valid_samples)
        self.batch_size = min(settings.batch_size, len(train_ids))
        self.steps_per_epoch = len(train_ids) // self.batch_size
        self.total = settings.epochs * self.steps_per_epoch
        self.gather = Gather(data, architecture.seq_len, self.batch_size)
        self.streams = training_streams(architecture.kind, self.batch_size)
        self.network = build(architecture, settings.seed)
        self.stepper = Stepper(self.network, settings, self.streams)

    def go(self, folder: RunFolder, resume: bool) -> Trained:
        state, at = self.stepper.layout.start(self.network.flat()), Position()
        found = folder.latest() if resume else None
        if found is not None:
            tensors, at = found
            state = State(*(as_mx(tensors[name]) for name in STATE_NAMES))
            say(f"resumed at epoch {at.epoch + 1}, step {at.step} of {self.total}")
        streams = "one stream" if self.streams == 1 else f"{self.streams} streams"
        say(f"{describe()}, {streams}; {len(self.train_ids)} samples, {self.steps_per_epoch} steps per epoch")
        progress = Progress("training", self.total)
        saved = time.monotonic()
        last: dict[str, Any] = {}
        while at.epoch < self.settings.epochs and not self._is_stale(at):
            order = epoch_order(self.train_ids, self.settings.seed, at.epoch)
            for i, ids in step_ids(order, self.batch_size, at.step_in_epoch):
                state = self._step(state, at, ids)
                at.step_in_epoch = i + 1
                progress.update(at.step, f"epoch {at.epoch + 1}")
                if time.monotonic() - saved > self.settings.checkpoint_s:
                    folder.save(_tensors(state), at)
                    saved = time.monotonic()
            last = self._end_epoch(state, at, folder)
            folder.save(_tensors(state), at)
            saved = time.monotonic()
        return self._finish(state, at, folder, last or folder.last_line())

    def _step(self, state: State, at: Position, ids: I64) -> State:
        """One step; `at` moves on with it."""
        step = at.step + 1
        batch = self.gather(ids, draw=(self.settings.seed << 32) + step)
        targets = self.method.targets(batch.q)
        x = loss_inputs(batch, targets)
        rate = rate_at(step, self.total, self.settings.learning_rate, self.settings.warmup_frac)
        after, outcome = self.stepper(state, x, rate, step)
        check_finite(outcome, self.stepper, state, x, step, ids)
        at.step = step
        sums = at.sums or [0.0] * len(METRICS)
        at.sums = [total + float(part) for total, part in zip(sums, outcome.parts, strict=True)]
        at.clipped += targets.n_clipped
        at.weighed += targets.n_weights
        return after

    def _end_epoch(self, state: State, at: Position, folder: RunFolder) -> dict[str, Any]:
        """Validate, log, keep the best; `at` moves to the start of the next epoch."""
        self.network.set_flat(self.stepper.layout.split(state.weights))
        mean = {name: total / at.step_in_epoch for name, total in zip(METRICS, at.sums, strict=True)}
        line: dict[str, Any] = {"epoch": at.epoch + 1, "step": at.step, "train": mean}
        line["clipped_share"] = at.clipped / max(1, at.weighed)
        if len(self.valid_ids):
            line["valid"] = self._validation_loss(at.epoch + 1)
        score = line.get("valid", mean)["loss"]
        at.epoch, at.step_in_epoch, at.sums, at.clipped, at.weighed = at.epoch + 1, 0, [], 0, 0
        if at.best_loss is None or score < at.best_loss:
            at.best_loss, at.best_epoch = score, at.epoch
            folder.save_best(self.network.numpy())
        is_last = at.epoch == self.settings.epochs or self._is_stale(at)
        if self.validate is not None and (at.epoch % self.settings.money_every == 0 or is_last):
            line["money"] = self.validate(self.network)
        say(_epoch_line(line, self.settings.epochs))
        folder.log(line)
        at.metrics_lines += 1
        return line

    def _validation_loss(self, epoch: int) -> dict[str, float]:
        """The parts of the loss over the validation samples, without dropout, entries always imagined alike.

        Raises:
            NotFinite: a part is NaN or infinite; no epoch could be called the best by it.
        """
        totals, n = np.zeros(len(METRICS)), len(self.valid_ids)
        for start in range(0, n, self.batch_size):
            ids = self.valid_ids[start : start + self.batch_size]
            batch = self.gather(ids, draw=0)
            given = loss_inputs(batch, self.method.targets(batch.q))
            x = {name: as_mx(a) for name, a in given.items()}
            _, made = cloning_loss(self.network, x, self.settings.value_weight, self.settings.forecast_weight)
            parts = np.array(made, dtype=np.float64)
            check_finite_validation(parts, self.network, given, epoch, ids)
            totals += parts * len(ids)
        return dict(zip(METRICS, (totals / n).tolist(), strict=True))

    def _is_stale(self, at: Position) -> bool:
        patience = self.settings.patience
        return patience > 0 and len(self.valid_ids) > 0 and at.epoch - at.best_epoch >= patience

    def _finish(self, state: State, at: Position, folder: RunFolder, last: dict[str, Any]) -> Trained:
        """Put the best epoch's weights into the network."""
        self.network.set_flat({name: as_mx(value) for name, value in load_file(folder.best).items()})
        metrics = {"best_epoch": at.best_epoch, "best_loss": at.best_loss, "epochs": at.epoch, "last": last}
        return Trained(self.network, metrics, at)


def _tensors(state: State) -> dict[str, NDArray[np.float32]]:
    return {name: np.array(value) for name, value in zip(STATE_NAMES, state, strict=True)}


def _spread(ids: I64, most: int) -> I64:
    """At most `most` of the ids, evenly spread."""
    if len(ids) <= most:
        return ids
    return ids[np.linspace(0, len(ids) - 1, most).astype(np.int64)]


def _epoch_line(line: dict[str, Any], epochs: int) -> str:
    """E.g. `Epoch 10/100: Loss=0.4521, Accuracy=0.612 | validation Loss=0.4702, Accuracy=0.598 | net …`."""
    text = f"Epoch {line['epoch']}/{epochs}: Loss={line['train']['loss']:.4f}, Accuracy={line['train']['accuracy']:.3f}"
    if "valid" in line:
        text += f" | validation Loss={line['valid']['loss']:.4f}, Accuracy={line['valid']['accuracy']:.3f}"
    if "money" in line:
        text += " | " + ", ".join(f"{name}={value:.4g}" for name, value in line["money"].items())
    return text

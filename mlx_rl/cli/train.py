"""The door of training: a recording in, a model folder out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.algos.bc import BCSettings
from mlx_rl.algos.wbc import WBCSettings
from mlx_rl.datasets.splits import SplitSettings
from mlx_rl.market.law import COST_LAW, LONGEST_S, MOST_SHARES, FillAssumption, LawSettings
from mlx_rl.training.settings import TrainSettings
from observer.kit.cli import run_command
from observer.kit.console import table
from observer.kit.errors import UsageError

if TYPE_CHECKING:
    from mlx_rl.datasets.dataset import Dataset

S = TypeVar("S", bound=BaseModel)

ABOUT = "Train a policy from recorded markets. No orders are sent, and no test window is opened."
CHUNK = 100_000  # samples looked at together


class TrainFlags(BaseModel):
    """The command's own flags."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data_dir: Path = Field(
        default=Path("data"), description="the recording to learn from: a folder, or s3://BUCKET/PREFIX"
    )
    output: Path | None = Field(default=None, description="model folder to write [models/MODEL_METHOD]")
    method: Literal["bc", "wbc"] = Field(default="wbc", description="bc copies the oracle; wbc weighs what is earned")
    model: Literal["transformer", "base"] = Field(default="transformer", description="which encoder")
    preset: Literal["small", "default", "large"] = Field(default="default", description="size of the encoder")
    market: str | None = Field(default=None, description="only these symbols (BTC,ETH) or series; None: all")
    walk_forward: int = Field(
        default=1,
        ge=1,
        description="cut the test windows into so many folds and train a model before each, on all that came before",
    )
    features: Literal["state18", "edge"] = Field(default="state18", description="feature schema of a state")
    activation: Literal["relu", "gelu", "tanh"] = Field(default="relu", description="nonlinearity; relu is fastest")
    size: float = Field(
        default=50.0, gt=0, le=MOST_SHARES, description="shares per position; 50 shares win or lose 50 USD at most"
    )
    latency_s: float | None = Field(
        default=None, gt=0, le=LONGEST_S, description="seconds from decision to fill [the next tick]"
    )
    fees: str = Field(default="dated", description="'dated' for each market's own schedule, or a schedule's name")
    fills: FillAssumption = Field(default="base", description="where depth that was not recorded is assumed to lie")
    runs_dir: Path = Field(default=Path("runs"), description="where settings, metrics and checkpoints of runs lie")
    run_name: str | None = Field(default=None, description="folder of this run in --runs-dir [the output's name]")
    resume: bool = Field(default=False, description="go on from this run's last checkpoint, if it has one")


class TrainCommand(TrainSettings, BCSettings, WBCSettings, SplitSettings, TrainFlags):
    """Every flag: the command's own, and those of the parts it sets up, each declared where it belongs."""

    def part(self, kind: type[S]) -> S:
        """The settings of one part."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})

    def law(self) -> LawSettings:
        """The money law the labels are solved under."""
        return LawSettings(size_shares=self.size, latency_s=self.latency_s, fees=self.fees, fills=self.fills)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(TrainCommand, train_model, argv, prog="offline_trainer.py", about=ABOUT, show=show)


def train_model(command: TrainCommand) -> dict[str, Any]:
    """Build the dataset, train, save the model folder; once, or once for each fold of a walk-forward.

    Raises:
        UsageError: data that cannot be learnt from, a run folder that belongs to another run, or a flag of the
            method that was not chosen.
        BadArtifact: the output is something else than a model that may be replaced.
        NotFinite: a number stopped being finite.
    """
    from mlx_rl.artifact.walk_forward import check_folds_output, fold_name
    from observer.s3.address import spelled
    from observer.s3.cache import local_folder

    _refuse_flags_of(WBCSettings if command.method == "bc" else BCSettings, command)
    output = command.output or Path("models") / f"{command.model}_{command.method}"
    run = command.runs_dir / (command.run_name or output.name)
    n, place = command.walk_forward, spelled(command.data_dir)
    if n > 1:
        check_folds_output(output, n)
    command = command.model_copy(update={"data_dir": local_folder(command.data_dir)})
    if n == 1:
        return {**_train_fold(command, output, run), "data_dir": place}
    made = [_train_fold(command, output / fold_name(k), run / fold_name(k), fold=k) for k in range(1, n + 1)]
    return {"output": str(output), "data_dir": place, "walk_forward": made}


def _train_fold(command: TrainCommand, output: Path, run: Path, fold: int = 1) -> dict[str, Any]:
    import time

    from mlx_rl.algos import ALGORITHMS
    from mlx_rl.artifact.folder import check_output, save
    from mlx_rl.artifact.golden import golden_inputs
    from mlx_rl.artifact.manifest import preset
    from mlx_rl.datasets.build import build
    from mlx_rl.models.policy import MlxPolicy
    from mlx_rl.training.loop import train
    from mlx_rl.training.money import ValidationMoney
    from observer.kit.clock import iso
    from observer.kit.code_version import code_version
    from observer.store.reader import Recording

    check_output(output)
    seq_len = preset(command.model, command.preset).seq_len
    dataset = build(
        command.data_dir,
        schema_name=command.features,
        seq_len=seq_len,
        law=command.law(),
        splits=command.part(SplitSettings),
        market=command.market,
        fold=fold,
        n_folds=command.walk_forward,
    )
    architecture = preset(command.model, command.preset, n_features=len(dataset.schema), activation=command.activation)
    method_settings = command.part(BCSettings if command.method == "bc" else WBCSettings)
    record = {
        "dataset_id": dataset.dataset_id,
        "outcomes_id": dataset.outcomes_id,
        "schema": dataset.schema.hash,
        "law": command.law().model_dump(mode="json"),
        "folds": dataset.folds.model_dump(),
        "method": {"name": command.method, **method_settings.model_dump()},
    }
    started = time.monotonic()
    made = train(
        dataset,
        dataset.train,
        dataset.valid,
        architecture,
        ALGORITHMS[command.method](method_settings),
        command.part(TrainSettings),
        run,
        record=record,
        validate=ValidationMoney(dataset, Recording(command.data_dir).tape) if len(dataset.valid) else None,
        resume=command.resume,
    )
    metrics = {**made.metrics, "outcomes_id": dataset.outcomes_id}
    policy = MlxPolicy(output.name, made.network, dataset.schema, dataset.scaler)
    manifest = save(
        output,
        policy,
        golden_inputs(dataset, seq_len, command.seed),
        cost_law=COST_LAW,
        law=command.law().model_dump(mode="json"),
        dataset_id=dataset.dataset_id,
        folds=dataset.folds,
        code_version=code_version(),
        seed=command.seed,
        method=command.method,
        created=iso(time.time_ns()),
        metrics=metrics,
    )
    return {
        "output": str(output),
        "data_dir": str(command.data_dir),
        "model": command.model,
        "preset": command.preset,
        "method": command.method,
        "dataset_id": dataset.dataset_id,
        "weights_sha256": manifest.weights_sha256,
        "folds": dataset.folds.model_dump(),
        "windows": {"train": len(dataset.markets_train), "valid": len(dataset.markets_valid)},
        "samples": {"train": len(dataset.train), "valid": len(dataset.valid)},
        "left_out": dataset.left_out,
        "labels": label_shares(dataset),
        "metrics": metrics,
        "train_s": time.monotonic() - started,
    }


def _refuse_flags_of(other: type[BaseModel], command: TrainCommand) -> None:
    for name, field in other.model_fields.items():
        if getattr(command, name) != field.default:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} does nothing with --method {command.method}. Leave it out, or change the method.")


def label_shares(dataset: "Dataset") -> dict[str, dict[str, float]]:
    """How often each action is the oracle's best, by position, over the training samples; HOLD included."""
    import numpy as np

    from mlx_rl.algos.targets import best_action
    from observer.records import ACTIONS, POSITIONS

    counts = np.zeros((len(POSITIONS), len(ACTIONS)))
    for start in range(0, len(dataset.train), CHUNK):
        best = best_action(dataset.q[dataset.train[start : start + CHUNK]])
        counts += np.stack([np.bincount(column, minlength=len(ACTIONS)) for column in best.T])
    shares = counts / counts.sum(axis=1, keepdims=True)
    return {name: dict(zip(ACTIONS, row.tolist(), strict=True)) for name, row in zip(POSITIONS, shares, strict=True)}


def show(result: dict[str, Any]) -> str:
    """The result in a short table, and what to do next."""
    folds = result.get("walk_forward", [result])
    parts = [_show_one(fold) for fold in folds]
    return "\n\n".join(
        [
            *parts,
            f"Saved {result['output']}. A validation result is no verdict; next: "
            f"python evaluate_model.py --model {result['output']} --test-data {result['data_dir']}",
        ]
    )


def _show_one(result: dict[str, Any]) -> str:
    folds, metrics, last = result["folds"], result["metrics"], result["metrics"]["last"]
    labels = {
        position: ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
        for position, shares in result["labels"].items()
    }
    rows = [
        ["windows", f"{result['windows']['train']} to train, {result['windows']['valid']} to validate"],
        ["samples", f"{result['samples']['train']:,} and {result['samples']['valid']:,}"],
        ["left out", f"{len(result['left_out'])} windows"],
        *([f"oracle's best when {position}", shares] for position, shares in labels.items()),
        ["best epoch", f"{metrics['best_epoch']} of {metrics['epochs']}, loss {metrics['best_loss']:.4f}"],
        ["took", f"{result['train_s']:.0f} s"],
    ]
    if "money" in last:
        money = last["money"]
        rows.append(["validation, last epoch", f"net {money['net_usd']:.2f} USD in {money['windows']:.0f} windows"])
    fold = f", fold {folds['fold']} of {folds['n_folds']}" if folds["n_folds"] > 1 else ""
    return table(rows, [f"{result['model']} {result['preset']}{fold}", result["method"]])

"""Model folders to judge, made without the time that training takes, and what the doors say of them."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

from mlx_rl.artifact.folder import save
from mlx_rl.artifact.golden import golden_inputs
from mlx_rl.artifact.manifest import preset
from mlx_rl.cli import compare, evaluate
from mlx_rl.datasets.build import build
from mlx_rl.datasets.splits import SplitSettings
from mlx_rl.market.law import COST_LAW, LawSettings
from mlx_rl.models.network import Network
from mlx_rl.models.policy import MlxPolicy
from mlx_rl.nn.backend import mx

LAW = LawSettings(size_shares=20)


def untrained(
    root: Path, folder: Path, kind: str = "base", embargo: int = 1, fold: int = 1, n_folds: int = 1, seed: int = 0
) -> None:
    """Write a model folder as the trainer would, without training; the last half of `root`/data is unseen."""
    mx.random.seed(seed)
    shape = preset(kind, "small")
    splits = SplitSettings(valid_frac=0.1, test_frac=0.5, embargo_windows=embargo)
    data = build(
        root / "data", schema_name="state18", seq_len=shape.seq_len, law=LAW, splits=splits, fold=fold, n_folds=n_folds
    )
    policy = MlxPolicy(folder.name, Network(shape), data.schema, data.scaler)
    save(
        folder, policy, golden_inputs(data, shape.seq_len, 0), cost_law=COST_LAW, law=LAW.model_dump(mode="json"),
        dataset_id=data.dataset_id, folds=data.folds, code_version="test", seed=0, method="none",
        created="2026-01-01T00:00:00Z", metrics={},
    )  # fmt: skip


Door = Literal["evaluate", "compare"]


def ask(door: Door, place: Path, *more: str) -> dict[str, Any]:
    """What a door answers with --json about the transformer in `place`/models; compare asks about the base too."""
    transformer, base, data = (str(place / part) for part in ("models/transformer", "models/base", "data"))
    if door == "evaluate":
        main, args = evaluate.main, ["--model", transformer, "--test-data", data]
    else:
        main, args = compare.main, ["--transformer-model", transformer, "--base-model", base, "--data-dir", data]
    with redirect_stdout(io.StringIO()) as said:
        assert main([*args, "--random-traders", "2", "--json", *more]) == 0
    return json.loads(said.getvalue())


def of_transformer(door: Door, found: dict[str, Any]) -> dict[str, Any]:
    """The part of a door's answer that judges the transformer."""
    return found if door == "evaluate" else found["models"]["transformer"]

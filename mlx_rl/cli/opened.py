"""Model folders opened to be judged: what each has seen, and whether two of them may stand side by side.

A folder holds one model, or the folds of a walk-forward. Then every window is traded by the latest fold that has not
seen it, which is the model one would have had at that time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_rl.artifact.manifest import Manifest, weight_shapes
from mlx_rl.artifact.walk_forward import model_folders
from mlx_rl.datasets.splits import Folds
from mlx_rl.evaluation.runs import Candidate
from observer.kit.errors import UsageError
from observer.records import Market


@dataclass(frozen=True)
class Part:
    """One model: the whole of a model folder, or one fold of a walk-forward."""

    candidate: Candidate
    manifest: Manifest

    def has_seen(self, market: Market, dataset_id: str) -> bool:
        """Whether a window of some recording was in this model's training, or right behind it."""
        folds = self.manifest.folds
        is_same_market = self.manifest.dataset_id == dataset_id or market.venue != "synthetic"
        return folds is not None and is_same_market and market.open_ns < folds.unseen_from_ns


@dataclass(frozen=True)
class Opened:
    """What lies behind one path."""

    name: str
    parts: tuple[Part, ...]

    def latest_unseen(self, market: Market, dataset_id: str) -> int | None:
        """Which part trades a window: the latest that has not seen it, None where all have."""
        unseen = [i for i, part in enumerate(self.parts) if not part.has_seen(market, dataset_id)]
        return unseen[-1] if unseen else None


def open_models(paths: Sequence[Path]) -> list[Opened]:
    """Open model folders, golden record and all; a second one of the same name is called by its path.

    Raises:
        BadArtifact: a folder is damaged or is no model.
        UsageError: a folder is named twice, or two models were made from different folds.
    """
    from mlx_rl.artifact.folder import load

    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"{paths[0]} is named twice. Compare two different model folders.")
    out: list[Opened] = []
    for path in paths:
        loaded = [load(folder) for folder in model_folders(path)]
        name = loaded[0][1].name if len(loaded) == 1 else path.resolve().name
        if any(o.name == name for o in out):
            name = str(path)
        parts: list[Part] = []
        for policy, manifest in loaded:
            policy.name = name
            weights = sum(math.prod(shape) for shape in weight_shapes(manifest.architecture).values())
            parts.append(Part(Candidate(policy, weights), manifest))
        out.append(Opened(name, tuple(parts)))
    for other in out[1:]:
        _require_same_folds(out[0], other)
    return out


def _require_same_folds(a: Opened, b: Opened) -> None:
    """Refuse models of one recording that were cut differently: what separates them might be their windows."""
    one, two = a.parts[-1].manifest, b.parts[-1].manifest
    if one.folds is None or two.folds is None:
        return
    ours, theirs = _cut(one.folds), _cut(two.folds)
    is_one_recording = one.dataset_id == two.dataset_id
    if ours != theirs and (is_one_recording or ours["walk-forward"] != theirs["walk-forward"]):
        differing = ", ".join(f"--{key} {ours[key]:g} and {theirs[key]:g}" for key in ours if ours[key] != theirs[key])
        raise UsageError(
            f"{a.name} and {b.name} were not trained on the same folds: {differing}. What separates them might be "
            "their windows. Train both with the same flags, or judge each alone with evaluate_model.py."
        )


def _cut(folds: Folds) -> dict[str, float]:
    """The flags that say how the windows were cut."""
    cut = {name.replace("_", "-"): value for name, value in folds.settings.model_dump().items()}
    return {**cut, "walk-forward": folds.n_folds}


def trained_on(models: Sequence[Opened]) -> dict[str, list[dict[str, Any]]]:
    """What each model, or each of its folds, says of the windows it was made from, by name; for the report."""
    return {
        m.name: [part.manifest.folds.model_dump() for part in m.parts if part.manifest.folds is not None]
        for m in models
    }

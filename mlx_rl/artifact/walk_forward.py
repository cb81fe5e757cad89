"""The folder of a walk-forward: `fold_1`, `fold_2`, …, each a model folder of its own, oldest training first."""

from pathlib import Path

from mlx_rl.artifact.manifest import MANIFEST, read_manifest
from observer.kit.errors import BadArtifact


def fold_name(fold: int) -> str:
    """What the folder of fold 1, 2, … is called."""
    return f"fold_{fold}"


def check_folds_output(path: Path, n_folds: int) -> None:
    """Refuse to write `n_folds` folds where something else lies; as many earlier folds are replaced.

    Raises:
        BadArtifact: `path` is a file or holds a model, or holds other things than that many folds.
    """
    mine = {fold_name(fold) for fold in range(1, n_folds + 1)}
    if path.is_file() or (path.exists() and not {item.name for item in path.iterdir()} <= mine):
        raise BadArtifact(
            f"{path} exists and holds other things than {n_folds} folds of a walk-forward; nothing there is "
            "overwritten. Give another --output."
        )


def model_folders(path: Path) -> list[Path]:
    """The model folders behind a path: the folds of a walk-forward in order, or the path itself.

    Raises:
        BadArtifact: a fold is missing, or one belongs to another walk-forward.
    """
    if (path / MANIFEST).exists() or not (path / fold_name(1)).is_dir():
        return [path]
    first = read_manifest(path / fold_name(1)).folds
    n_folds = 1 if first is None else first.n_folds
    folders = [path / fold_name(fold) for fold in range(1, n_folds + 1)]
    for fold, folder in enumerate(folders, 1):
        if not folder.is_dir():
            raise BadArtifact(f"{folder} is missing; the walk-forward has {n_folds} folds. Train it again.")
        said = read_manifest(folder).folds
        if said is None or (said.fold, said.n_folds) != (fold, n_folds):
            raise BadArtifact(f"{folder} is not fold {fold} of {n_folds}. Train the walk-forward again.")
    return folders

"""What every loader of a model folder refuses, whatever library then runs the model. NumPy only.

Order: files present, no other container format, the manifest's own checksum, the laws, nothing else in the
folder, checksums, keys, shapes, types, finite numbers; then the recorded golden outputs against what the loaded
model computes.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact.manifest import (
    EXPORTED,
    GOLDEN,
    MANIFEST,
    TRAINED,
    WEIGHTS,
    BaseArchitecture,
    Manifest,
    TransformerArchitecture,
    read_manifest,
    weight_shapes,
)
from mlx_rl.market.law import COST_LAW, MASK_LAW
from observer.kit.errors import BadArtifact, SchemaMismatch

# Containers that can run code when they are read, or that carry no names and shapes we could check first.
REFUSED_SUFFIXES = (".pt", ".pt2", ".pth", ".pkl", ".pickle", ".joblib", ".bin", ".ckpt", ".npz", ".npy")

GOLDEN_INPUTS = ("window", "is_real", "state")
GOLDEN_OUTPUTS = ("encoded", "logits", "value", "forecast")


def sha256(path: Path) -> str:
    """Checksum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_folder(path: Path) -> Manifest:
    """Check a model folder's files before anything in them is believed, and return its manifest.

    Raises:
        BadArtifact: a missing file, a pickle or archive offered as weights, an unknown format, a changed byte, another
            version of the money or mask law, a file that is no part of a model folder.
    """
    path = Path(path)
    if path.suffix in REFUSED_SUFFIXES:
        raise BadArtifact(
            f"{path}: {path.suffix} is refused as weights; a pickle can run code and an archive carries no proof. "
            f"Give the model folder with {WEIGHTS} and {MANIFEST}."
        )
    if not path.is_dir():
        raise BadArtifact(f"{path}: no such model folder. Give the folder that holds {MANIFEST}.")
    if not (path / WEIGHTS).is_file():
        strays = sorted(p.name for p in path.iterdir() if p.suffix in REFUSED_SUFFIXES and p.name != GOLDEN)
        if strays:
            raise BadArtifact(
                f"{path}: {strays[0]} is refused as weights; only {WEIGHTS} is read. Save the model again."
            )
    manifest = read_manifest(path)
    check_laws(manifest, path)
    check_strays(manifest, path)
    for name, wanted in ((WEIGHTS, manifest.weights_sha256), (GOLDEN, manifest.golden_sha256)):
        if not (path / name).is_file():
            raise BadArtifact(f"{path}: {name} is missing. Copy the whole model folder again.")
        found = sha256(path / name)
        if found != wanted:
            raise BadArtifact(
                f"{path / name}: sha256 {found[:12]}…, the manifest says {wanted[:12]}…: a byte changed. "
                "Copy the model folder again."
            )
    return manifest


def check_laws(manifest: Manifest, where: Path) -> None:
    """Refuse a model that learnt under another money law, or under another rule of what may be done.

    Raises:
        BadArtifact: another version of either.
    """
    for law, made, ours in (("cost", manifest.cost_law, COST_LAW), ("mask", manifest.mask_law, MASK_LAW)):
        if made != ours:
            raise BadArtifact(
                f"{where / MANIFEST}: trained under {law} law {made!r}; this version has {ours!r}. "
                "Train again, or use the version that trained it."
            )


LEFT_BY_MACHINES = (".DS_Store", "__pycache__")  # by a Mac's Finder, and by Python beside an imported module


def check_strays(manifest: Manifest, folder: Path) -> None:
    """Refuse a folder that holds more than its kind of model folder does.

    Raises:
        BadArtifact: a pickle or archive beside the weights, or another file.
    """
    known = {*(TRAINED if manifest.exported_from is None else EXPORTED), *LEFT_BY_MACHINES}
    for stray in sorted(item for item in folder.iterdir() if item.name not in known):
        if stray.suffix in REFUSED_SUFFIXES:
            raise BadArtifact(f"{stray}: {stray.suffix} is refused in a model folder; a pickle runs code. Remove it.")
        raise BadArtifact(f"{stray}: not part of a model folder. Remove it, or copy the model folder again.")


def check_weights(
    weights: Mapping[str, NDArray[np.float32]],
    architecture: TransformerArchitecture | BaseArchitecture,
    where: Path,
) -> None:
    """Refuse weights that are not exactly those of the architecture.

    Raises:
        BadArtifact: a missing, extra or mis-shaped key, another type than float32, NaN or infinity.
    """
    wanted = weight_shapes(architecture)
    missing, extra = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    if missing:
        raise BadArtifact(f"{where}: weight {missing[0]} is missing ({len(missing)} in all). Save the model again.")
    if extra:
        raise BadArtifact(f"{where}: weight {extra[0]} is not part of a {architecture.kind} ({len(extra)} in all).")
    for name, shape in wanted.items():
        found = weights[name]
        if tuple(found.shape) != shape:
            raise BadArtifact(f"{where}: weight {name} has shape {tuple(found.shape)}; the architecture wants {shape}.")
        if found.dtype != np.float32:
            raise BadArtifact(f"{where}: weight {name} is {found.dtype}; the format is float32.")
        if not np.isfinite(found).all():
            raise BadArtifact(f"{where}: weight {name} holds NaN or infinity. Train again from an earlier checkpoint.")


def check_golden(
    golden: Mapping[str, NDArray[np.float32]],
    computed: Mapping[str, NDArray[np.float32]],
    tolerance: float,
    where: Path,
) -> float:
    """Compare recorded outputs with what the loaded model computes, and return the largest difference.

    Raises:
        BadArtifact: an output is missing, has another shape, or differs by more than `tolerance`.
    """
    worst = 0.0
    for name in GOLDEN_OUTPUTS:
        if name not in golden:
            raise BadArtifact(f"{where}: golden output {name} is missing. Save the model again.")
        if golden[name].shape != computed[name].shape:
            raise BadArtifact(
                f"{where}: golden {name} has shape {golden[name].shape}, computed {computed[name].shape}."
            )
        gap = float(np.max(np.abs(golden[name].astype(np.float64) - computed[name]), initial=0.0))
        if not gap <= tolerance:
            raise BadArtifact(
                f"{where}: {name} differs from the golden record by {gap:.3g}; at most {tolerance:.3g} is allowed. "
                "This machine does not compute the model that was trained; do not trade with it."
            )
        worst = max(worst, gap)
    return worst


def check_schema(manifest: Manifest, name: str, hash_: str) -> None:
    """Refuse a model whose features are not the features at hand.

    Raises:
        SchemaMismatch: another schema name or hash.
    """
    made = manifest.feature_schema
    if (made.name, made.hash) != (name, hash_):
        raise SchemaMismatch(
            f"{manifest.name} was trained on features {made.name} ({made.hash[:12]}); "
            f"this run has {name} ({hash_[:12]}). Pass --features {made.name}, or train a new model."
        )


def read_weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Read `weights.safetensors`, already checked by sha256 and not yet by `check_weights`.

    Raises:
        BadArtifact: the file is not safetensors, or holds a number type that NumPy does not have.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType] - typed without a number type

    path = Path(folder) / WEIGHTS
    try:
        return load_file(path)
    except (SafetensorError, TypeError) as error:
        raise BadArtifact(f"{path}: not float32 safetensors ({error}). Copy or save the model again.") from None


def read_golden(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Read `golden.npz` (no pickled objects), already checked by sha256."""
    with np.load(Path(folder) / GOLDEN, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}

"""Save and open a model folder: manifest, weights, golden record.

A folder is written whole beside its place and moved there, so a reader never meets half a model. Opening one
believes nothing before it is checked (`mlx_rl.artifact.checks`), and replays the golden record last.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - typed without a number type

from mlx_rl.artifact.checks import (
    GOLDEN_INPUTS,
    check_folder,
    check_golden,
    check_schema,
    check_weights,
    read_golden,
    read_weights,
    sha256,
)
from mlx_rl.artifact.golden import golden_outputs
from mlx_rl.artifact.manifest import GOLDEN, WEIGHTS, Manifest, SchemaRecord, write_manifest
from mlx_rl.datasets.splits import Folds
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema, schema_from_dict
from mlx_rl.models.network import Network
from mlx_rl.models.policy import MlxPolicy
from mlx_rl.nn.backend import as_mx
from observer.kit.errors import BadArtifact


def check_output(path: Path) -> None:
    """Refuse to write a model where something else lies; an earlier model is replaced.

    Raises:
        BadArtifact: `path` is a file, or a folder that is not a model.
    """
    if path.is_file() or (path.exists() and any(path.iterdir()) and not (path / WEIGHTS).is_file()):
        raise BadArtifact(f"{path} exists and holds no model; nothing there is overwritten. Give another --output.")


def save(
    path: str | Path,
    policy: MlxPolicy,
    golden: Mapping[str, NDArray[np.generic]],
    *,
    cost_law: str,
    law: dict[str, Any],
    dataset_id: str,
    folds: Folds | None,
    code_version: str,
    seed: int,
    method: str,
    created: str,
    metrics: dict[str, Any],
) -> Manifest:
    """Write a model folder, replacing one of the same name.

    Args:
        path: where; the folder's name becomes the model's name.
        policy: network, schema and scaler.
        golden: the inputs of `mlx_rl.artifact.golden.golden_inputs`.
        cost_law, law: the money law's version and settings the labels were made under.
        folds: which windows of that recording it was made from; None for a model that learnt nothing.
        created: ISO 8601, UTC.

    Raises:
        BadArtifact: the weights hold NaN, or `path` is a folder that is not a model.
    """
    path = Path(path)
    weights = policy.network.numpy()
    check_weights(weights, policy.architecture, path)
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.mkdir()
    try:
        save_file(weights, part / WEIGHTS)
        inputs = {name: golden[name] for name in GOLDEN_INPUTS}
        np.savez(part / GOLDEN, **inputs, **golden_outputs(policy, inputs))  # type: ignore[arg-type]
        manifest = Manifest(
            name=path.name,
            architecture=policy.architecture,
            feature_schema=SchemaRecord(**policy.schema.to_dict()),
            scaler=policy.scaler.to_dict(),
            cost_law=cost_law,
            law=law,
            dataset_id=dataset_id,
            folds=folds,
            code_version=code_version,
            seed=seed,
            method=method,
            metrics=metrics,
            created=created,
            weights_sha256=sha256(part / WEIGHTS),
            golden_sha256=sha256(part / GOLDEN),
        )
        write_manifest(part, manifest)
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def load(path: str | Path, schema: FeatureSchema | None = None) -> tuple[MlxPolicy, Manifest]:
    """Open a model folder.

    Args:
        path: the folder.
        schema: the features the caller computes; None takes the model's own.

    Raises:
        BadArtifact: the folder is damaged, incomplete, or does not compute what was recorded.
        SchemaMismatch: the model was trained on other features.
    """
    path = Path(path)
    manifest = check_folder(path)
    if schema is not None:
        check_schema(manifest, schema.name, schema.hash)
    weights = read_weights(path)
    check_weights(weights, manifest.architecture, path)
    network = Network(manifest.architecture)
    network.set_flat({name: as_mx(value) for name, value in weights.items()})
    made_for = schema_from_dict(manifest.feature_schema.model_dump(), source=str(path))
    policy = MlxPolicy(manifest.name, network, made_for, Scaler.from_dict(manifest.scaler))
    try:
        golden = read_golden(path)
    except ValueError as error:
        raise BadArtifact(f"{path / GOLDEN}: holds pickled objects or is damaged ({error}). Save it again.") from None
    missing = [name for name in GOLDEN_INPUTS if name not in golden]
    if missing:
        raise BadArtifact(f"{path / GOLDEN}: {missing[0]} is missing. Save the model again.")
    check_golden(golden, golden_outputs(policy, golden), manifest.golden_tolerance, path)
    return policy, manifest


def load_policy(path: str | Path, schema: FeatureSchema | None = None) -> MlxPolicy:
    """The policy alone; see `load`."""
    return load(path, schema)[0]

"""Open an exported folder, or say exactly why not. Needs neither Torch nor MLX.

Nothing in the folder is believed before it is checked, and no code in it is run. Order: pickles and other
containers, checksums against the manifest and the certificate, the certificate's verdict, the weights' keys,
shapes, types and finiteness, the feature schema, and last the golden record replayed in both forward passes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from export.certificate import files_of, read_certificate
from export.numpy_forward import NumpyPolicy
from export.runtimes import fast_runtime, policy_runtime
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
from mlx_rl.artifact.manifest import CERTIFICATE, GOLDEN, Manifest
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema, schema_from_dict
from observer.kit.errors import BadArtifact


def load(path: str | Path, schema: FeatureSchema | None = None) -> tuple[NumpyPolicy, Manifest]:
    """Load an exported policy.

    Args:
        path: the exported folder.
        schema: the features the caller computes; None takes the model's own.

    Raises:
        BadArtifact: the folder is damaged, incomplete, uncertified, or does not compute what was recorded.
        SchemaMismatch: the model was trained on other features.
    """
    path = Path(path)
    manifest = check_folder(path)
    check_certificate(path, manifest)
    if schema is not None:
        check_schema(manifest, schema.name, schema.hash)
    policy, golden = open_policy(path, manifest)
    given = tuple(golden[name] for name in GOLDEN_INPUTS)
    check_golden(golden, policy_runtime("numpy", policy).run(*given), manifest.golden_tolerance, path)
    live = {**golden, **fast_runtime(policy).run(*given)}
    check_golden(golden, live, manifest.golden_tolerance, path)
    return policy, manifest


def open_policy(path: Path, manifest: Manifest) -> tuple[NumpyPolicy, dict[str, Any]]:
    """The NumPy policy of a folder that `check_folder` has passed, and its golden record, not yet replayed."""
    weights = read_weights(path)
    check_weights(weights, manifest.architecture, path)
    schema = schema_from_dict(manifest.feature_schema.model_dump(mode="json"), source=str(path))
    scaler = Scaler.from_dict(manifest.scaler)
    wanted = manifest.architecture.n_features
    if not len(schema) == len(scaler.mean) == wanted:
        raise BadArtifact(
            f"{path}: the model reads {wanted} features, its schema {schema.name} has {len(schema)} and its scaler "
            f"{len(scaler.mean)}. The manifest was edited; export the model again."
        )
    return NumpyPolicy(manifest.name, manifest.architecture, weights, schema, scaler), open_golden(path, manifest)


def open_golden(path: Path, manifest: Manifest) -> dict[str, Any]:
    """The golden record, with inputs of the shapes and types the model takes."""
    try:
        golden = read_golden(path)
    except ValueError as error:
        raise BadArtifact(f"{path / GOLDEN}: holds pickled objects or is damaged ({error}). Save it again.") from None
    a = manifest.architecture
    shapes = {"window": (a.seq_len, a.n_features), "is_real": (a.seq_len,), "state": (a.n_features,)}
    for name in GOLDEN_INPUTS:
        kind = np.dtype(np.bool_ if name == "is_real" else np.float32)
        if name not in golden:
            raise BadArtifact(f"{path / GOLDEN}: {name} is missing. Save the model again.")
        found = golden[name]
        if found.shape[1:] != shapes[name] or found.dtype != kind or len(found) == 0:
            raise BadArtifact(
                f"{path / GOLDEN}: {name} is {found.dtype} {found.shape}; wanted {kind} (N, *{shapes[name]}). "
                "Save the model again."
            )
    return golden


def check_certificate(path: Path, manifest: Manifest) -> dict[str, Any]:
    """Refuse a folder whose certificate is absent, damaged, failed, or made for other files; else return it."""
    certificate = read_certificate(path)
    if certificate["weights_sha256"] != manifest.weights_sha256:
        raise BadArtifact(f"{path}: {CERTIFICATE} was made for other weights. Export the model again.")
    if certificate["passed"] is not True:
        raise BadArtifact(
            f"{path}: {CERTIFICATE} says the runtimes differ by {certificate['max_abs']}; it did not pass. "
            "Do not trade with it; export the model again and read what it reports."
        )
    certified: dict[str, str] = certificate["files"]
    for file in files_of(path):
        if file.name not in certified:
            raise BadArtifact(f"{file}: not in {CERTIFICATE}. Remove it, or export the model again.")
    for name, wanted in certified.items():
        if not (path / name).is_file():
            raise BadArtifact(f"{path}: {name} is missing, {CERTIFICATE} lists it. Copy the exported folder again.")
        if sha256(path / name) != wanted:
            raise BadArtifact(f"{path / name}: a byte changed since it was certified. Copy the exported folder again.")
    return certificate

"""An exported model folder without an export: drawn weights, and a certificate that only looks right."""

from pathlib import Path
from typing import Any

from export.certificate import make_certificate, write_certificate
from export.parity import Parity
from mlx_rl.artifact.manifest import read_manifest, write_manifest
from tests.samples.model_folder import make_model_folder


def make_exported(folder: Path, kind: str, **changes: Any) -> Path:
    """Write the folder; its certificate vouches for a comparison that nobody made."""
    make_model_folder(folder, kind, "small", **changes)
    manifest = read_manifest(folder)
    manifest = manifest.model_copy(update={"exported_from": manifest.weights_sha256})
    write_manifest(folder, manifest)
    parity = Parity(0.0, [], {"flips_outside_margin": 0})
    write_certificate(folder, make_certificate(folder, manifest, parity, {}, {}, {}, {}))
    return folder

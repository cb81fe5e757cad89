"""`certificate.json`: what was compared, how far apart it was, on which machine, and every file's checksum.

The file ends with a checksum of its own text, so a changed byte in it is noticed like one anywhere else.
This protects against accidents, not against a forger, who could write a new certificate.
"""

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from export.parity import BAR, BATCHES, MARGIN, Parity
from mlx_rl.artifact.checks import LEFT_BY_MACHINES, sha256
from mlx_rl.artifact.manifest import CERTIFICATE, Manifest
from observer.kit.console import finite
from observer.kit.errors import BadArtifact

FORMAT = "mlx-rl-certificate/1"
PACKAGES = ("mlx-rl", "numpy", "numba", "safetensors", "torch", "mlx", "onnx", "onnxruntime")


def make_certificate(
    folder: Path,
    manifest: Manifest,
    parity: Parity,
    devices: dict[str, str],
    latency_us: dict[str, dict[str, float]],
    probes: dict[str, int],
    not_compared: dict[str, str],
) -> dict[str, Any]:
    """Put a comparison into words a receiver can check, with checksums of all files in `folder`."""
    return finite(
        {
            "format": FORMAT,
            "name": manifest.name,
            "passed": parity.passed,
            "max_abs": parity.max_abs,
            "bar": {"max_abs": BAR, "margin": MARGIN, "flips_outside_margin": 0},
            "decisions": parity.decisions,
            "runtimes": devices,
            "not_compared": not_compared,
            "batches": list(BATCHES),
            "probes": probes,
            "differences": parity.rows,
            "latency": latency_us,
            "environment": environment(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "weights_sha256": manifest.weights_sha256,
            "exported_from": manifest.exported_from,
            "files": {path.name: sha256(path) for path in files_of(folder)},
        }
    )


def files_of(folder: Path) -> list[Path]:
    """Everything in an exported folder but the certificate and what machines leave in folders."""
    return sorted(p for p in folder.iterdir() if p.name not in (CERTIFICATE, *LEFT_BY_MACHINES))


def environment() -> dict[str, Any]:
    """The machine and the versions a comparison was made with."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "platform": platform.platform(),
        "processor": _processor(),
        "MLX_ENABLE_TF32": os.environ.get("MLX_ENABLE_TF32", "not set"),
    }


def write_certificate(folder: Path, certificate: dict[str, Any]) -> None:
    """Write `certificate.json` with its own checksum at the end."""
    (folder / CERTIFICATE).write_bytes(_text(certificate).encode())


def read_certificate(folder: Path) -> dict[str, Any]:
    """Read the certificate and check that it is whole; what it says is for the caller to judge.

    Raises:
        BadArtifact: absent, not JSON, another format, or changed since it was written.
    """
    path = folder / CERTIFICATE
    if not path.is_file():
        raise BadArtifact(
            f"{folder}: no {CERTIFICATE}, so nobody has shown that this model computes what was trained. "
            f"Export it: python scripts/export_mlx_to_pytorch.py --input {folder} --output {folder}_torch"
        )
    try:
        text = path.read_bytes().decode()
        certificate: Any = json.loads(text)
    except ValueError as error:
        raise BadArtifact(f"{path}: not JSON ({error}). Copy the exported folder again.") from None
    made = cast(dict[str, Any], certificate) if isinstance(certificate, dict) else {}
    if made.get("format") != FORMAT:
        raise BadArtifact(
            f"{path}: format {made.get('format')!r}; this version reads {FORMAT!r}. Export the model again."
        )
    made.pop("self_sha256", None)
    if _text(made) != text:
        raise BadArtifact(f"{path}: a byte changed since it was written. Copy the exported folder again.")
    return made


def _text(certificate: dict[str, Any]) -> str:
    body = json.dumps(certificate, indent=1)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({**certificate, "self_sha256": digest}, indent=1) + "\n"


def _processor() -> str:
    """The processor's own name; `platform.processor()` is empty on most Linux machines."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

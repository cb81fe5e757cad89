"""Carry a trained model out of MLX: write the exported folder, compare every runtime, certify, or leave nothing.

The folder is made under a temporary name next to its place and gets its own name only after the comparison
has passed, so an exported folder that exists has passed.
"""

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from export.certificate import make_certificate, write_certificate
from export.load import check_certificate, load, open_policy
from export.parity import Parity, compare, latency
from export.probes import Probes, make_probes
from export.runtimes import Runtime, fast_runtime, onnx_runtime, policy_runtime, torch_runtime
from export.twins.source import twin_source
from mlx_rl.artifact.checks import check_folder
from mlx_rl.artifact.manifest import GOLDEN, ONNX, TWIN, WEIGHTS, Manifest, write_manifest
from observer.kit.console import say
from observer.kit.errors import BadArtifact, UsageError


@dataclass(frozen=True)
class Checked:
    """A comparison of everything that can run a folder here."""

    parity: Parity
    devices: dict[str, str]  # runtime -> what it computed on
    latency_us: dict[str, dict[str, float]]
    probes: Probes
    not_compared: dict[str, str]  # runtime -> why not


def export(source: Path, output: Path, *, onnx: bool = False, data_dir: Path | None = None) -> dict[str, Any]:
    """Export the model folder `source` to the new folder `output` and return its certificate.

    Raises:
        UsageError: `output` exists, or MLX or Torch is not installed.
        BadArtifact: the source is damaged, or a runtime does not compute what was trained.
    """
    if output.exists():
        raise UsageError(f"{output} exists; an export never overwrites. Remove it, or give another --output.")
    for module, extra in (("mlx", "train"), ("torch", "export")):
        if find_spec(module) is None:
            raise UsageError(f"exporting compares with {module}, which is not here: pip install 'mlx-rl[{extra}]'.")
    manifest = check_folder(source).model_copy(update={"exported_from": check_folder(source).weights_sha256})
    partial = output.with_name(f".{output.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        for name in (WEIGHTS, GOLDEN):
            shutil.copyfile(source / name, partial / name)
        write_manifest(partial, manifest)
        (partial / TWIN).write_text(twin_source(manifest.architecture.kind))
        if onnx:
            from export.onnx import write_onnx

            write_onnx(partial / ONNX, manifest.architecture, open_policy(partial, manifest)[0].weights)
        checked = check(partial, manifest, data_dir)
        if not checked.parity.passed:
            raise BadArtifact(f"{source} was not exported: {checked.parity.complaint()}. Nothing was written.")
        certificate = _certificate(partial, manifest, checked)
        write_certificate(partial, certificate)
        try:
            _import_twin(partial).load(partial)  # what a receiver does
        except ValueError as error:
            raise BadArtifact(f"{source} was not exported: {TWIN} refuses it: {error} Nothing was written.") from error
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return certificate


def verify(folder: Path, data_dir: Path | None = None) -> dict[str, Any]:
    """Make an exported folder's certificate again here, compare, and return the new one; nothing is written.

    Raises:
        BadArtifact: the folder is refused, or a runtime on this machine is further off than the bar.
    """
    _, manifest = load(folder)
    stored = check_certificate(folder, manifest)
    checked = check(folder, manifest, data_dir)
    if not checked.parity.passed:
        raise BadArtifact(f"{folder} does not hold here: {checked.parity.complaint()}. Do not trade with it here.")
    made = _certificate(folder, manifest, checked)
    return {**made, "certified": {key: stored[key] for key in ("max_abs", "decisions", "runtimes", "created")}}


def check(folder: Path, manifest: Manifest, data_dir: Path | None = None) -> Checked:
    """Compare every runtime that this machine has, the trained model first where MLX is installed."""
    policy, golden = open_policy(folder, manifest)
    runtimes, missing = _runtimes(folder, manifest)
    runtimes += [policy_runtime("numpy", policy), fast_runtime(policy)]
    if not (folder / ONNX).is_file():
        missing["onnx"] = "not exported (--onnx)"
    elif find_spec("onnxruntime") is None:
        missing["onnx"] = "onnxruntime is not installed"
    else:
        runtimes.append(onnx_runtime(folder / ONNX))
    probes = make_probes(manifest, golden, data_dir)
    say(f"comparing {', '.join(r.name for r in runtimes)} on {len(probes)} states")
    devices = {r.name: r.device for r in runtimes}
    return Checked(compare(runtimes, probes, golden), devices, latency(runtimes, probes), probes, missing)


def _runtimes(folder: Path, manifest: Manifest) -> tuple[list[Runtime], dict[str, str]]:
    """The trained model in MLX and its Torch twin, where they can run; else the reason why not."""
    runtimes: list[Runtime] = []
    missing: dict[str, str] = {}
    if find_spec("mlx") is None:
        missing["mlx"] = "not installed; compared with the golden record it wrote"
    else:
        runtimes.append(trained(folder))
    if find_spec("torch") is None:
        missing["torch"] = "not installed"
    elif (folder / TWIN).read_text() != twin_source(manifest.architecture.kind):
        missing["torch"] = f"{TWIN} is not this version's, so it was not run"
    else:
        runtimes.append(torch_runtime(_open_twin(folder)))
    return runtimes, missing


def trained(folder: Path) -> Runtime:
    """The trained model itself, in MLX."""
    from mlx_rl.artifact.folder import load_policy
    from mlx_rl.nn.device import describe

    return policy_runtime("mlx", load_policy(folder), device=describe())


def _open_twin(folder: Path) -> Any:
    """The Torch twin, before the certificate exists and before its golden record is compared."""
    twin = _import_twin(folder)
    return twin.open_twin(twin.build, folder)


def _import_twin(folder: Path) -> Any:
    """The folder's own `twin.py` as a module: the file a receiver will run, and no bytecode left beside it."""
    path = folder / TWIN
    module = ModuleType("exported_twin")
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


def _certificate(folder: Path, manifest: Manifest, checked: Checked) -> dict[str, Any]:
    c = checked
    return make_certificate(folder, manifest, c.parity, c.devices, c.latency_us, c.probes.counts, c.not_compared)

"""An exported model decides as the trained one: MLX, Torch, NumPy and the live kernel agree to 1e-5, no flips.

Both models in all presets, and the default ones with every activation, with weights drawn away from their start
values, are exported for real on states of the bundled recording of six BTC windows; the figure is the largest
difference of any output between any two runtimes at any batch size.

The control breaks two twins in ways that are easy to miss, GELU by its tanh approximation and a mask read the
other way round; the comparison must refuse both, so the figure shown is the smaller of the two differences.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from export.load import open_policy
from export.parity import BAR, compare
from export.probes import make_probes
from export.runtimes import Runtime, policy_runtime, torch_runtime
from export.to_torch import export
from export.twins import TWINS
from mlx_rl.artifact.checks import read_golden
from mlx_rl.artifact.manifest import PRESETS, read_manifest
from observer.importers.job import bring_in
from observer.samples import sample
from scripts.proofs import Measurement
from tests.samples.model_folder import make_model_folder

RECORDING = ("polymarket_btc15m_1s", "polymarket_btc15m_6_windows")


def measure() -> Measurement:
    """Export every model and read the certificates."""
    cases = [(kind, size, "relu") for kind, sizes in PRESETS.items() for size in sizes]
    cases += [(kind, "default", activation) for kind in PRESETS for activation in ("gelu", "tanh")]
    detail: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        data = _recording(Path(place))
        for kind, size, activation in cases:
            name = f"{kind}-{size}-{activation}"
            source = make_model_folder(Path(place) / name, kind, size, activation=activation)
            certificate = export(source, Path(place) / f"{name}_torch", data_dir=data)
            detail[name] = {
                "max_abs": certificate["max_abs"],
                "states": sum(certificate["probes"].values()),
                **certificate["decisions"],
                "runtimes": list(certificate["runtimes"]),
            }
    worst = max(found["max_abs"] for found in detail.values())
    flips = sum(found["flips_outside_margin"] for found in detail.values())
    return Measurement(worst, BAR, "largest absolute difference", worst <= BAR and flips == 0, detail)


def control() -> Measurement:
    """Compare the forward pass with two broken twins."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_model_folder(Path(place) / "x", "transformer", "default", activation="gelu")
        manifest, golden = read_manifest(folder), read_golden(folder)
        policy = open_policy(folder, manifest)[0]
        probes = make_probes(manifest, golden)
        broken = {"tanh GELU": _tanh_gelu(policy.weights), "flipped mask": _flipped_mask(policy.weights)}
        ours = policy_runtime("numpy", policy)
        found = {name: compare([ours, twin], probes, golden) for name, twin in broken.items()}
    smallest = min(result.max_abs for result in found.values())
    detail = {name: {"max_abs": result.max_abs, "passed": result.passed} for name, result in found.items()}
    return Measurement(smallest, BAR, "largest absolute difference", any(r.passed for r in found.values()), detail)


def _recording(place: Path) -> Path:
    form, name = RECORDING
    bring_in(form, sample(name), place / "data")
    return place / "data"


def _twin(weights: dict[str, Any]) -> Any:
    import torch

    from mlx_rl.artifact.manifest import preset

    twin = TWINS["transformer"](preset("transformer", activation="gelu").model_dump())
    twin.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return twin


def _tanh_gelu(weights: dict[str, Any]) -> Runtime:
    twin = _twin(weights)
    for part in twin.modules():
        if hasattr(part, "approximate"):
            part.approximate = "tanh"
    return torch_runtime(twin)


def _flipped_mask(weights: dict[str, Any]) -> Runtime:
    twin = _twin(weights)
    for layer in twin.encoder.layers:
        plain = layer.forward
        layer.forward = lambda x, is_real, n_asked, plain=plain: plain(x, ~is_real, n_asked)
    return torch_runtime(twin)

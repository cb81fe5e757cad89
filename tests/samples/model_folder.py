"""A made-up model folder as training would save it, without training: drawn weights, made-up recorded states."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from export.numpy_forward import NumpyPolicy
from export.runtimes import policy_runtime
from mlx_rl.artifact.checks import sha256
from mlx_rl.artifact.manifest import (
    GOLDEN,
    WEIGHTS,
    BaseArchitecture,
    Manifest,
    SchemaRecord,
    TransformerArchitecture,
    preset,
    write_manifest,
)
from mlx_rl.features.kernel import batch_features
from mlx_rl.features.padding import padded_window
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import schema_for
from mlx_rl.market.binary import position_entries
from mlx_rl.market.law import COST_LAW, LawSettings
from tests.samples.tapes import make_tape
from tests.samples.weights import make_weights

N_GOLDEN = 24


def make_policy(kind: str = "transformer", size: str = "default", **changes: Any) -> NumpyPolicy:
    """A NumPy policy with drawn weights, on state18, with a scaler fitted to made-up tapes."""
    architecture: TransformerArchitecture | BaseArchitecture = preset(kind, size, **changes)
    schema = schema_for("state18")
    states = batch_features(schema, [make_tape()])[0]
    scaler = Scaler.fit(states, np.ones(len(states), np.bool_))
    return NumpyPolicy(f"{kind}_{size}", architecture, make_weights(architecture), schema, scaler)


def make_golden(policy: NumpyPolicy, n: int = N_GOLDEN) -> dict[str, np.ndarray]:
    """States of a made-up tape in turning positions, from the first tick on, and what the policy says of them."""
    history = policy.scaler.apply(batch_features(policy.schema, [make_tape(seed=1)])[0])
    ends = np.concatenate([np.arange(1, n // 2 + 1), np.linspace(n, len(history), n - n // 2).astype(int)])
    window, is_real = (
        np.stack(part) for part in zip(*(padded_window(history[:t], policy.seq_len) for t in ends), strict=True)
    )
    state = window[:, -1].copy()
    state[:, 12:15] = position_entries(np.arange(n) % 3, np.linspace(-1, 1, n), 1.0)
    return {"window": window, "is_real": is_real, "state": state, **_outputs(policy, window, is_real, state)}


def make_model_folder(folder: Path, kind: str = "transformer", size: str = "small", **changes: Any) -> Path:
    """Write a model folder and return it."""
    policy = make_policy(kind, size, **changes)
    folder.mkdir(parents=True)
    save_file(policy.weights, folder / WEIGHTS)
    np.savez(folder / GOLDEN, **make_golden(policy))  # type: ignore[arg-type]
    write_manifest(
        folder,
        Manifest(
            name=policy.name,
            architecture=policy.architecture,
            feature_schema=SchemaRecord(**policy.schema.to_dict()),
            scaler=policy.scaler.to_dict(),
            cost_law=COST_LAW,
            law=LawSettings().model_dump(mode="json"),
            dataset_id="0" * 64,
            code_version="test",
            seed=0,
            method="drawn",
            created="2026-01-01T00:00:00Z",
            weights_sha256=sha256(folder / WEIGHTS),
            golden_sha256=sha256(folder / GOLDEN),
        ),
    )
    return folder


def _outputs(policy: NumpyPolicy, *inputs: Any) -> dict[str, np.ndarray]:
    made = policy_runtime("numpy", policy).run(*inputs)
    return {key: made[key] for key in ("encoded", "logits", "value", "forecast")}

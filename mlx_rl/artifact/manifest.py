"""What a model folder says about itself: format, architecture, features, laws, provenance, checksums.

The file ends with a checksum of its own text, so an edited scaler or fold is noticed like a changed weight.
This protects against accidents, not against a forger, who could seal it anew.

No MLX and no Torch here: the exporter, the live loader and the trainer all read this one declaration. Weights
are float32 under flat names; a linear layer's weight is laid out (out, in).

Letters: F features, L window length, D model width, Z width of the encoding, H hidden width.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlx_rl.datasets.splits import Folds
from mlx_rl.market.law import MASK_LAW
from observer.kit.errors import BadArtifact

FORMAT = "mlx-rl-artifact/1"
MANIFEST, WEIGHTS, GOLDEN = "manifest.json", "weights.safetensors", "golden.npz"
TWIN, ONNX, CERTIFICATE = "twin.py", "model.onnx", "certificate.json"
TRAINED = {MANIFEST, WEIGHTS, GOLDEN}  # what lies in a folder as training saves it
EXPORTED = TRAINED | {TWIN, ONNX, CERTIFICATE}
SEAL = "self_sha256"  # the key of the manifest's checksum of itself
N_ACTIONS = 3

Activation = Literal["relu", "gelu", "tanh"]


class TransformerArchitecture(BaseModel):
    """Self-attention over the last `seq_len` states; the last state's token is the encoding."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["transformer"] = "transformer"
    n_features: int = Field(default=18, ge=1, description="numbers in one state")
    seq_len: int = Field(default=20, ge=1, description="states in one window")
    d_model: int = Field(default=64, ge=2, multiple_of=2, description="width of a token")
    n_heads: int = Field(default=4, ge=1, description="attention heads; divides d_model")
    n_layers: int = Field(default=2, ge=1, description="encoder layers")
    d_ff: int = Field(default=256, ge=1, description="hidden width of the feed-forward part")
    temporal_dim: int = Field(default=32, ge=1, description="width of the encoding")
    activation: Activation = Field(default="relu", description="nonlinearity; gelu is the exact (erf) one")
    head_dim: int = Field(default=64, ge=1, description="hidden width of the policy head")
    value_dim: int = Field(default=96, ge=1, description="hidden width of the value head")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of activations dropped in training only")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TransformerArchitecture":
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        return self


class BaseArchitecture(BaseModel):
    """The last five states side by side through a two-layer network."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["base"] = "base"
    n_features: int = Field(default=18, ge=1, description="numbers in one state")
    seq_len: int = Field(default=5, ge=1, description="states in one window")
    hidden_dim: int = Field(default=64, ge=1, description="hidden width of the encoder")
    temporal_dim: int = Field(default=32, ge=1, description="width of the encoding")
    activation: Activation = Field(default="relu", description="nonlinearity; gelu is the exact (erf) one")
    head_dim: int = Field(default=64, ge=1, description="hidden width of the policy head")
    value_dim: int = Field(default=96, ge=1, description="hidden width of the value head")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of activations dropped in training only")


Architecture = Annotated[TransformerArchitecture | BaseArchitecture, Field(discriminator="kind")]

# (kind, preset) -> what differs from the class defaults.
PRESETS: dict[str, dict[str, dict[str, int]]] = {
    "transformer": {
        "small": {"seq_len": 10, "n_heads": 2, "n_layers": 1, "d_model": 32, "d_ff": 128, "temporal_dim": 16},
        "default": {"seq_len": 20, "n_heads": 4, "n_layers": 2, "d_model": 64, "d_ff": 256, "temporal_dim": 32},
        "large": {"seq_len": 40, "n_heads": 8, "n_layers": 3, "d_model": 128, "d_ff": 512, "temporal_dim": 64},
    },
    "base": {
        "small": {"hidden_dim": 32, "temporal_dim": 16},
        "default": {"hidden_dim": 64, "temporal_dim": 32},
        "large": {"hidden_dim": 128, "temporal_dim": 64},
    },
}


def preset(kind: str, name: str = "default", **changes: Any) -> TransformerArchitecture | BaseArchitecture:
    """Return the architecture of a preset, with `changes` (n_features, dropout, …) on top."""
    chosen: dict[str, Any] = {**PRESETS[kind][name], **changes}
    return TransformerArchitecture(**chosen) if kind == "transformer" else BaseArchitecture(**chosen)


def weight_shapes(architecture: TransformerArchitecture | BaseArchitecture) -> dict[str, tuple[int, ...]]:
    """Every weight a model of this architecture has, name -> shape, and no other."""
    a = architecture
    shapes = _transformer(a) if isinstance(a, TransformerArchitecture) else _base(a)
    n_in = a.n_features + a.temporal_dim
    shapes |= _head("policy", n_in, a.head_dim, N_ACTIONS)
    shapes |= _head("value", n_in, a.value_dim, 1)
    return shapes | _linear("forecast.out", n_in, 1)


def _transformer(a: TransformerArchitecture) -> dict[str, tuple[int, ...]]:
    d = a.d_model
    shapes = _linear("encoder.input", a.n_features, d)
    for i in range(a.n_layers):
        layer = f"encoder.layers.{i}"
        shapes |= _norm(f"{layer}.ln1", d)
        shapes |= {f"{layer}.{part}.weight": (d, d) for part in ("query", "key", "value")}
        shapes |= _linear(f"{layer}.out", d, d) | _norm(f"{layer}.ln2", d)
        shapes |= _linear(f"{layer}.ff1", d, a.d_ff) | _linear(f"{layer}.ff2", a.d_ff, d)
    return shapes | _norm("encoder.ln_final", d) | _linear("encoder.output", d, a.temporal_dim)


def _base(a: BaseArchitecture) -> dict[str, tuple[int, ...]]:
    shapes = _linear("encoder.fc1", a.seq_len * a.n_features, a.hidden_dim) | _norm("encoder.ln1", a.hidden_dim)
    return shapes | _linear("encoder.fc2", a.hidden_dim, a.temporal_dim) | _norm("encoder.ln2", a.temporal_dim)


def _head(name: str, n_in: int, width: int, n_out: int) -> dict[str, tuple[int, ...]]:
    shapes = _linear(f"{name}.fc1", n_in, width) | _norm(f"{name}.ln1", width)
    return (
        shapes
        | _linear(f"{name}.fc2", width, width)
        | _norm(f"{name}.ln2", width)
        | _linear(f"{name}.out", width, n_out)
    )


def _linear(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


class SchemaRecord(BaseModel):
    """The feature schema a model was trained with, as it was then."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    params: dict[str, Any]
    columns: tuple[str, ...]
    hash: str


class Manifest(BaseModel):
    """`manifest.json` of a model folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["mlx-rl-artifact/1"] = FORMAT
    name: str
    architecture: Architecture
    feature_schema: SchemaRecord
    scaler: dict[str, Any] = Field(description="what `Scaler.from_dict` reads")
    mask_law: str = MASK_LAW
    cost_law: str = Field(description="version of the money law the labels were made under")
    law: dict[str, Any] = Field(description="LawSettings of training: size in shares, latency in seconds, fees, fills")
    dataset_id: str
    folds: Folds | None = Field(default=None, description="which of its windows; None where nothing was learnt")
    code_version: str
    seed: int
    method: str
    metrics: dict[str, Any] = {}
    created: str = Field(description="ISO 8601, UTC")
    weights_sha256: str
    golden_sha256: str
    golden_tolerance: float = Field(default=1e-5, gt=0, description="largest absolute difference a loader may show")
    exported_from: str | None = Field(default=None, description="weights_sha256 of the model this one was carried from")


def read_manifest(folder: Path) -> Manifest:
    """Read and check a model folder's manifest.

    Raises:
        BadArtifact: no manifest, not JSON, another format, changed since it was written, or a field missing,
            unknown or impossible.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise BadArtifact(f"{folder}: no {MANIFEST}, so this is not a model folder. Give the folder a trainer saved.")
    content = path.read_bytes()
    try:
        raw: Any = json.loads(content.decode())
    except ValueError as error:
        raise BadArtifact(f"{path}: not JSON ({error}). The file is damaged; copy the model folder again.") from None
    fields = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    found = fields.get("format")
    if found != FORMAT:
        raise BadArtifact(
            f"{path}: format {found!r}; this version reads {FORMAT!r}. Train again, or use the version that wrote it."
        )
    if SEAL not in fields:
        raise BadArtifact(f"{path}: no {SEAL}, so a change in it would go unnoticed. Train or export the model again.")
    del fields[SEAL]
    if seal(fields) != content:
        raise BadArtifact(f"{path}: a byte changed since it was written. Copy the model folder again, or train again.")
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadArtifact(f"{path}: {what}. The manifest is from another version; train or export again.") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into `folder`."""
    (Path(folder) / MANIFEST).write_bytes(seal(manifest.model_dump(mode="json")))


def seal(fields: dict[str, Any]) -> bytes:
    """The manifest's bytes: its fields, and at the end the checksum of their text."""
    digest = hashlib.sha256(json.dumps(fields, indent=2).encode()).hexdigest()
    return (json.dumps({**fields, SEAL: digest}, indent=2) + "\n").encode()

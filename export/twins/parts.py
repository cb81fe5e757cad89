"""What both Torch twins share: the block, the heads, and reading a folder.

Together with the encoder's file this becomes `twin.py` of an exported folder, so nothing here may import
anything but the standard library, numpy, torch and safetensors. The names of the weights are the trained model's.

Shapes: B batch, L window length, F features, Z width of the encoding, A = 3 actions.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

MANIFEST_FORMAT, CERTIFICATE_FORMAT = "mlx-rl-artifact/1", "mlx-rl-certificate/1"
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}  # GELU: the exact one


class Block(nn.Module):
    """Linear, LayerNorm, activation, twice; then, where `n_out` is given, one more linear layer."""

    def __init__(self, n_in: int, width: int, n_code: int, activation: str, n_out: int | None = None) -> None:
        super().__init__()
        self.fc1, self.ln1 = nn.Linear(n_in, width), nn.LayerNorm(width, eps=1e-5)
        self.fc2, self.ln2 = nn.Linear(width, n_code), nn.LayerNorm(n_code, eps=1e-5)
        self.bend = ACTIVATIONS[activation]()
        self.out = nn.Identity() if n_out is None else nn.Linear(n_code, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.bend(self.ln2(self.fc2(self.bend(self.ln1(self.fc1(x)))))))


class Forecast(nn.Module):
    """One linear layer: (B, n_in) -> (B, 1)."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.out = nn.Linear(n_in, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


class Twin(nn.Module):
    """A trained policy: the encoder sees the window, the heads see the current state and the encoding.

    Features are scaled before they come here: (x - mean) / scale with the manifest's `scaler`.
    """

    def __init__(self, encoder: nn.Module, architecture: dict[str, Any]) -> None:
        super().__init__()
        a = architecture
        n_in = a["n_features"] + a["temporal_dim"]
        self.encoder = encoder
        self.policy = Block(n_in, a["head_dim"], a["head_dim"], a["activation"], n_out=3)
        self.value = Block(n_in, a["value_dim"], a["value_dim"], a["activation"], n_out=1)
        self.forecast = Forecast(n_in)

    def encode(self, window: Tensor, is_real: Tensor) -> Tensor:
        """(B, L, F) scaled states with position entries zero, oldest first; (B, L), True = real -> (B, Z)."""
        return self.encoder(window, is_real)[0]

    def attention(self, window: Tensor, is_real: Tensor) -> Tensor:
        """How the newest state looks at the window, oldest slot first: (B, layers, H, L)."""
        return self.encoder(window, is_real)[1]

    def heads(self, state: Tensor, encoded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, F) scaled state with position entries, (B, Z) -> logits (B, A), value (B,), forecast (B,).

        Logits are for HOLD, BUY, SELL; choose the largest among those the account allows. The value is in USD
        per share of position size; the forecast is added to the log-odds of the market's own price of Up.
        """
        seen = torch.cat([state, encoded], dim=-1)
        return self.policy(seen), self.value(seen)[:, 0], self.forecast(seen)[:, 0]

    def forward(self, window: Tensor, is_real: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return encoded (B, Z), logits (B, A), value (B,), forecast (B,)."""
        encoded = self.encode(window, is_real)
        return encoded, *self.heads(state, encoded)


def load_twin(build: Callable[[dict[str, Any]], Twin], folder: str | Path) -> Twin:
    """Open an exported folder after checking all of it, and replay its golden record; no pickle is ever read.

    Raises:
        ValueError: the folder is damaged, incomplete, uncertified, or does not compute here what was recorded.
    """
    folder = Path(folder)
    manifest = read_sealed(folder / "manifest.json", MANIFEST_FORMAT, indent=2)
    check_certified(folder, manifest)
    twin = open_twin(build, folder)
    replay(twin, folder, manifest["golden_tolerance"])
    return twin


def open_twin(build: Callable[[dict[str, Any]], Twin], folder: Path) -> Twin:
    """Build the architecture that the manifest names, with its weights, not yet certified nor replayed.

    Raises:
        ValueError: a changed byte, weights of another architecture, another number type, NaN or infinity.
    """
    manifest = read_sealed(folder / "manifest.json", MANIFEST_FORMAT, indent=2)
    check_hash(folder / "weights.safetensors", manifest["weights_sha256"])
    check_hash(folder / "golden.npz", manifest["golden_sha256"])
    weights = load_file(folder / "weights.safetensors")
    for name, tensor in weights.items():
        if tensor.dtype != torch.float32:
            raise ValueError(f"{folder}: weight {name} is {tensor.dtype}; the format is float32. Export it again.")
        if not tensor.isfinite().all():
            raise ValueError(f"{folder}: weight {name} holds NaN or infinity. Train again, then export.")
    twin = build(manifest["architecture"])
    try:
        twin.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{folder}: not the weights of its architecture ({error}). Export it again.") from None
    return twin


def check_certified(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a folder whose certificate is absent, damaged, failed, or made for other files than lie here."""
    certificate = read_sealed(folder / "certificate.json", CERTIFICATE_FORMAT, indent=1)
    if certificate["passed"] is not True:
        raise ValueError(f"{folder}: certificate.json says it did not pass. Do not use it; export the model again.")
    if certificate["weights_sha256"] != manifest["weights_sha256"]:
        raise ValueError(f"{folder}: certificate.json was made for other weights. Export the model again.")
    certified = certificate["files"]
    for path in sorted(folder.iterdir()):
        if path.name not in (*certified, "certificate.json", "__pycache__", ".DS_Store"):
            raise ValueError(f"{path}: not in certificate.json. Remove it, or export the model again.")
    for name, wanted in certified.items():
        check_hash(folder / name, wanted)


def read_sealed(path: Path, form: str, indent: int) -> dict[str, Any]:
    """Read a JSON file that ends with a checksum of its own text, and check that it is whole."""
    if not path.is_file():
        raise ValueError(f"{path} is missing. Copy the exported folder again, or export the model.")
    content = path.read_bytes()
    try:
        found: Any = json.loads(content.decode())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}). Copy the exported folder again.") from None
    fields: dict[str, Any] = found if isinstance(found, dict) else {}
    if fields.get("format") != form:
        raise ValueError(f"{path}: format {fields.get('format')!r}; this file reads {form!r}. Export the model again.")
    fields.pop("self_sha256", None)
    digest = hashlib.sha256(json.dumps(fields, indent=indent).encode()).hexdigest()
    if content.decode() != json.dumps({**fields, "self_sha256": digest}, indent=indent) + "\n":
        raise ValueError(f"{path}: a byte changed since it was written. Copy the exported folder again.")
    return fields


def check_hash(path: Path, wanted: str) -> None:
    """Refuse a file that is missing or whose SHA-256 is another."""
    if not path.is_file():
        raise ValueError(f"{path} is missing. Copy the exported folder again.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        raise ValueError(f"{path}: sha256 {found[:12]}…, {wanted[:12]}… was recorded. Copy the exported folder again.")


def replay(twin: Twin, folder: Path, tolerance: float) -> None:
    """Refuse a twin that does not compute the golden record of its folder on this machine."""
    with np.load(folder / "golden.npz", allow_pickle=False) as golden, torch.no_grad():
        made = twin(*(torch.from_numpy(golden[name]) for name in ("window", "is_real", "state")))
        for name, output in zip(("encoded", "logits", "value", "forecast"), made, strict=True):
            wanted = torch.from_numpy(golden[name])
            gap = float((output - wanted).abs().max()) if output.shape == wanted.shape else float("inf")
            if not gap <= tolerance:
                raise ValueError(
                    f"{folder}: {name} differs from the golden record by {gap:.3g}; at most {tolerance:.3g} is "
                    "allowed. This machine does not compute the model that was trained; do not use it here."
                )

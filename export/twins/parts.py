"""What both Torch twins share: the block, the heads, and reading a folder.

Together with the encoder's file this becomes `twin.py` of an exported folder, so nothing here may import
anything but the standard library, torch and safetensors. The names of the weights are the trained model's.

Shapes: B batch, L window length, F features, Z width of the encoding, A = 3 actions.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

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
    """Build the architecture that an exported folder names and put its weights in; no pickle is ever read."""
    folder = Path(folder)
    twin = build(json.loads((folder / "manifest.json").read_text())["architecture"])
    twin.load_state_dict(load_file(folder / "weights.safetensors"), strict=True)
    return twin

"""The base model's Torch twin: the last L states side by side through a two-layer network.

Shapes: B batch, L window length, F features, Z width of the encoding.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.twins.parts import ACTIVATIONS, Twin, load_twin


class Encoder(nn.Module):
    """(B, L, F) states and (B, L) which are real -> (B, Z), and an attention of no layers (B, 0, 0, L)."""

    def __init__(self, a: dict[str, Any]) -> None:
        super().__init__()
        width, n_code = a["hidden_dim"], a["temporal_dim"]
        self.fc1, self.ln1 = nn.Linear(a["seq_len"] * a["n_features"], width), nn.LayerNorm(width, eps=1e-5)
        self.fc2, self.ln2 = nn.Linear(width, n_code), nn.LayerNorm(n_code, eps=1e-5)
        self.bend = ACTIVATIONS[a["activation"]]()

    def forward(self, window: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
        flat = torch.where(is_real[..., None], window, 0.0).flatten(1)
        hidden = self.bend(self.ln1(self.fc1(flat)))
        return self.bend(self.ln2(self.fc2(hidden))), window.new_empty(window.shape[0], 0, 0, window.shape[1])


def build(architecture: dict[str, Any]) -> Twin:
    """A twin of this architecture, with Torch's random weights."""
    return Twin(Encoder(architecture), architecture).eval()


def load(folder: str | Path) -> Twin:
    """The trained twin of an exported folder, on the CPU, checked and ready to run.

    Raises:
        ValueError: the folder is damaged, incomplete, uncertified, or does not compute here what was recorded.
    """
    return load_twin(build, folder)

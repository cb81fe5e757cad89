"""The transformer's Torch twin: a Pre-LN encoder over the last L states; the newest state's token is read.

The mask is ours: True means the slot holds a state. Scores of other slots become -1e9, which is finite.

Shapes: B batch, L window length, F features, D token width, H heads, Z width of the encoding.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.twins.parts import ACTIVATIONS, Twin, load_twin


class Layer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)), for the last `n_asked` tokens."""

    def __init__(self, a: dict[str, Any]) -> None:
        super().__init__()
        d, self.n_heads = a["d_model"], a["n_heads"]
        self.ln1, self.ln2 = nn.LayerNorm(d, eps=1e-5), nn.LayerNorm(d, eps=1e-5)
        self.query, self.key, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))
        self.out = nn.Linear(d, d)
        self.ff1, self.ff2 = nn.Linear(d, a["d_ff"]), nn.Linear(a["d_ff"], d)
        self.bend = ACTIVATIONS[a["activation"]]()

    def forward(self, x: Tensor, is_real: Tensor, n_asked: int) -> tuple[Tensor, Tensor]:
        """(B, L, D) tokens -> (B, n_asked, D), and the newest token's attention (B, H, L)."""
        normed = self.ln1(x)
        query = self._split(self.query(normed[:, -n_asked:]))
        key, value = self._split(self.key(normed)), self._split(self.value(normed))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        attention = scores.masked_fill(~is_real[:, None, None, :], -1e9).softmax(dim=-1)
        mixed = (attention @ value).transpose(1, 2).flatten(2)
        x = x[:, -n_asked:] + self.out(mixed)
        return x + self.ff2(self.bend(self.ff1(self.ln2(x)))), attention[:, :, -1]

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class Encoder(nn.Module):
    """(B, L, F) states and (B, L) which are real -> (B, Z), and attention (B, layers, H, L)."""

    def __init__(self, a: dict[str, Any]) -> None:
        super().__init__()
        self.seq_len = a["seq_len"]
        self.input = nn.Linear(a["n_features"], a["d_model"])
        self.layers = nn.ModuleList(Layer(a) for _ in range(a["n_layers"]))
        self.ln_final = nn.LayerNorm(a["d_model"], eps=1e-5)
        self.output = nn.Linear(a["d_model"], a["temporal_dim"])
        self.register_buffer("places", place_table(a["seq_len"], a["d_model"]), persistent=False)

    def forward(self, window: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
        x = self.input(torch.where(is_real[..., None], window, 0.0)) + self.places
        seen = []
        for i, layer in enumerate(self.layers):
            is_last = i == len(self.layers) - 1  # only the newest token is read, so the last layer makes no other
            x, attention = layer(x, is_real, n_asked=1 if is_last else self.seq_len)
            seen.append(attention)
        return self.output(self.ln_final(x[:, -1])), torch.stack(seen, dim=1)


def place_table(seq_len: int, d_model: int) -> Tensor:
    """Sinusoids (L, D) that tell a slot's place: sine in even columns, cosine in odd ones, oldest slot first."""
    rate = 10_000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = torch.arange(seq_len, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


def build(architecture: dict[str, Any]) -> Twin:
    """A twin of this architecture, with Torch's random weights."""
    return Twin(Encoder(architecture), architecture).eval()


def load(folder: str | Path) -> Twin:
    """The trained twin of an exported folder, on the CPU, checked and ready to run.

    Raises:
        ValueError: the folder is damaged, incomplete, uncertified, or does not compute here what was recorded.
    """
    return load_twin(build, folder)

"""The same models in plain PyTorch and plain MLX, as a careful user would write them by hand.

Every token of the encoder is computed, attention is the library's fused one, AdamW is the library's. The loss is the
trainer's: cross-entropy by weights, squared value error, cross-entropy of the forecast; one position per sample.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], None]

DIMS = {"transformer": (20, 18, 64, 4, 2, 256, 32), "base": (5, 18, 64, 0, 0, 0, 32)}  # L, F, D, heads, layers, FF, Z


def torch_step(kind: str, arrays: dict[str, Any], *, is_compiled: bool, threads: int, device: str) -> Step:
    """One training step in PyTorch, eager or through torch.compile, on "cpu" or "cuda"."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    _, f, d, heads, layers, ff, z = DIMS[kind]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d)
            self.ff1, self.ff2 = nn.Linear(d, ff), nn.Linear(ff, d)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            b, n, _ = x.shape
            q, k, v = self.qkv(self.ln1(x)).view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, n, d))
            return x + self.ff2(torch.relu(self.ff1(self.ln2(x))))

    def two_layers(n_in: int, width: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(n_in, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Linear(width, n_out),
            nn.LayerNorm(n_out),
            nn.ReLU(),
        )

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            n = DIMS[kind][0]
            if layers:
                self.inp, self.norm, self.outp = nn.Linear(f, d), nn.LayerNorm(d), nn.Linear(d, z)
                self.place = nn.Parameter(torch.zeros(n, d), requires_grad=False)
                self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            else:
                self.encoder = two_layers(n * f, d, z)
            self.policy = nn.Sequential(two_layers(f + z, 64, 64), nn.Linear(64, 3))
            self.value = nn.Sequential(two_layers(f + z, 96, 96), nn.Linear(96, 1))
            self.forecast = nn.Linear(f + z, 1)

        def forward(self, window: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
            if layers:
                e = self.outp(self.norm(self.blocks(self.inp(window) + self.place))[:, -1])
            else:
                e = self.encoder(window.flatten(1))
            u = torch.cat([state, e], dim=-1)
            return self.policy(u), self.value(u)[:, 0], self.forecast(u)[:, 0]

    torch.manual_seed(0)
    model = Model().to(device)
    forward = torch.compile(model) if is_compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)

    def step() -> None:
        x = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
        logits, value, forecast = forward(x["window"], x["states"][:, 0])
        imitation = -(x["weight"][:, 0] * torch.log_softmax(logits, -1)).sum(-1).mean()
        error = torch.square(value - x["value"][:, 0]).mean()
        off = nn.functional.binary_cross_entropy_with_logits(x["odds"] + forecast, x["payoff"])
        loss = imitation + 0.1 * error + 0.1 * off
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()

    return step


def plain_mlx_step(kind: str, arrays: dict[str, Any]) -> Step:
    """One training step in MLX with its stock layers and optimiser, evaluated eagerly."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    _, f, d, heads, layers, ff, z = DIMS[kind]

    def two_layers(n_in: int, width: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(n_in, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Linear(width, n_out),
            nn.LayerNorm(n_out),
            nn.ReLU(),
        )

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if layers:
                self.inp, self.outp = nn.Linear(f, d), nn.Linear(d, z)
                self.blocks = nn.TransformerEncoder(layers, d, heads, ff, activation=nn.relu, norm_first=True)
            else:
                self.encoder = two_layers(DIMS[kind][0] * f, d, z)
            self.policy = nn.Sequential(two_layers(f + z, 64, 64), nn.Linear(64, 3))
            self.value = nn.Sequential(two_layers(f + z, 96, 96), nn.Linear(96, 1))
            self.forecast = nn.Linear(f + z, 1)

        def __call__(self, window: mx.array, state: mx.array) -> tuple[mx.array, mx.array, mx.array]:
            if layers:
                e = self.outp(self.blocks(self.inp(window), None)[:, -1])
            else:
                e = self.encoder(window.reshape(len(window), -1))
            u = mx.concatenate([state, e], axis=-1)
            return self.policy(u), self.value(u)[:, 0], self.forecast(u)[:, 0]

    mx.random.seed(0)
    model = Model()
    optimizer = optim.AdamW(learning_rate=1e-3, weight_decay=0.01)

    def loss(x: dict[str, mx.array]) -> mx.array:
        logits, value, forecast = model(x["window"], x["states"][:, 0])
        log_pi = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        imitation = -(x["weight"][:, 0] * log_pi).sum(-1).mean()
        error = mx.square(value - x["value"][:, 0]).mean()
        off = nn.losses.binary_cross_entropy(x["odds"] + forecast, x["payoff"], with_logits=True)
        return imitation + 0.1 * error + 0.1 * off

    value_and_grad = nn.value_and_grad(model, loss)

    def step() -> None:
        found, gradient = value_and_grad({name: mx.array(np.asarray(a)) for name, a in arrays.items()})
        gradient, _ = optim.clip_grad_norm(gradient, 1.0)
        optimizer.update(model, gradient)
        found.item()
        mx.eval(model.parameters(), optimizer.state)

    return step

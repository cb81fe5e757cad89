"""The model as one object to hold: make it, load it, ask it, look at its attention, save it.

    strategy = TransformerRLStrategy()
    strategy.load("models/transformer_rl_v1")
    action = strategy.act(state)

`state` is what `FeatureKernel.push` returns: unscaled, position entries zero. The strategy scales it with the
scaler it was trained with and keeps its own window, so call `start` at the beginning of each market. Trading
goes through `live`, which loads the exported model; this class is for notebooks and experiments.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact import folder
from mlx_rl.artifact.manifest import BaseArchitecture, Manifest, TransformerArchitecture
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import POSITION_COLUMNS, FeatureSchema, schema_for
from mlx_rl.market.binary import action_mask, position_entries
from mlx_rl.market.law import COST_LAW, LawSettings
from mlx_rl.models.network import build
from mlx_rl.models.policy import MlxPolicy
from mlx_rl.policy import choose
from observer.kit.errors import UsageError
from observer.records import FLAT, POSITIONS

F32 = NDArray[np.float32]


class RLStrategy:
    """The base model: five states side by side.

    Args:
        temporal_dim: width of the encoding.
        hidden_dim: hidden width of the encoder.
        schema: the features; None takes `state18`.
        seed: the first weights.
    """

    def __init__(
        self, temporal_dim: int = 32, *, hidden_dim: int = 64, schema: FeatureSchema | None = None, seed: int = 0
    ) -> None:
        schema = schema or schema_for("state18")
        self._new(BaseArchitecture(n_features=len(schema), hidden_dim=hidden_dim, temporal_dim=temporal_dim),
                  schema, seed)  # fmt: skip

    def _new(self, architecture: TransformerArchitecture | BaseArchitecture, schema: FeatureSchema, seed: int) -> None:
        name = f"{architecture.kind}_untrained"
        self._hold(MlxPolicy(name, build(architecture, seed), schema, Scaler.identity(len(schema))), None)
        self._seed = seed

    def _hold(self, policy: MlxPolicy, manifest: Manifest | None) -> None:
        self.policy, self.manifest = policy, manifest
        self.start()

    def load(self, path: str | Path) -> None:
        """Take the model of a folder instead of this one; its shapes win over the constructor's.

        Raises:
            BadArtifact: the folder is damaged or incomplete.
            UsageError: the folder holds the other kind of model.
        """
        policy, manifest = folder.load(path)
        wanted = self.policy.architecture.kind
        if manifest.architecture.kind != wanted:
            raise UsageError(
                f"{path} holds a {manifest.architecture.kind} model; {type(self).__name__} holds {wanted} models. "
                "Use RLStrategy for base and TransformerRLStrategy for transformer."
            )
        self._hold(policy, manifest)

    def save(self, path: str | Path) -> None:
        """Write a model folder. An untrained model says so in its manifest."""
        made = self.manifest
        known: dict[str, Any] = {
            "cost_law": COST_LAW,
            "law": LawSettings().model_dump(mode="json"),
            "dataset_id": "",
            "folds": None,
            "code_version": "",
            "seed": self._seed,
            "method": "untrained",
            "created": "1970-01-01T00:00:00.000Z",
            "metrics": {},
        }
        if made is not None:
            known = {name: getattr(made, name) for name in known}
        folder.save(path, self.policy, self._golden(), **known)

    def start(self) -> None:
        """Forget the window: a new market begins."""
        length, width = self.policy.seq_len, len(self.policy.schema)
        self._window = np.zeros((length, width), np.float32)
        self._n_seen = 0

    def act(self, state: F32, position: int = FLAT, position_pnl: float = 0.0, *, is_pending: bool = False) -> int:
        """Take in one tick and decide: HOLD 0, BUY 1 or SELL 2.

        Args:
            state: (F,) unscaled state of this tick.
            position: FLAT, UP or DOWN.
            position_pnl: profit of the position at liquidation, as a fraction of its highest payout.
            is_pending: an order is in flight, so only HOLD is possible.

        Raises:
            UsageError: a state of another shape, or a number that is not finite; the window is left as it was.
        """
        if not math.isfinite(position_pnl):
            raise UsageError(f"position_pnl is {position_pnl} at tick {self._n_seen + 1}; it must be finite.")
        self._push(state)
        window, is_real = self._seen()
        now = self._window[-1:].copy()
        now[:, POSITION_COLUMNS] = position_entries(np.array([position]), np.array([position_pnl]), size_shares=1.0)
        logits, _, _ = self.policy.heads(now, self.policy.encode(window, is_real))
        return int(choose(logits, action_mask(np.array([position]), is_pending))[0])

    def _push(self, state: F32) -> None:
        if np.shape(state) != self._window.shape[1:]:
            raise UsageError(
                f"a state of {self.policy.schema.name} has shape {self._window.shape[1:]}; got {np.shape(state)}."
            )
        state = np.asarray(state, np.float32)
        self._check_finite(state, self._n_seen + 1)
        self._window[:-1] = self._window[1:]
        self._window[-1] = self.policy.scaler.apply(state)
        self._window[-1, POSITION_COLUMNS] = 0.0
        self._n_seen += 1

    def _check_finite(self, state: F32, tick: int) -> None:
        """NaN would be a decision made of nothing, for as long as it stays in the window."""
        if np.isfinite(state).all():
            return
        i = int(np.flatnonzero(~np.isfinite(state))[0])
        schema = self.policy.schema
        raise UsageError(
            f"entry {i} ({schema.columns[i]}) of the state is {state[i]} at tick {tick} of the window; a state of "
            f"{schema.name} is finite. `FeatureKernel.push` writes this entry where data are missing: "
            f"{schema.table[i].missing}."
        )

    def _seen(self) -> tuple[F32, NDArray[np.bool_]]:
        """The window so far, (1, L, F), and which slots are real, (1, L)."""
        length = len(self._window)
        return self._window[None], (np.arange(length) >= length - self._n_seen)[None]

    def _golden(self) -> dict[str, NDArray[np.generic]]:
        """Inputs to prove a saved copy with, drawn at random: this class knows no recording."""
        length, width = self._window.shape
        draw = np.random.default_rng(0)
        window = draw.normal(size=(24, length, width)).astype(np.float32)
        is_real = np.arange(length)[None] >= (np.arange(24) % length)[:, None]
        window[~is_real] = 0.0
        window[:, :, POSITION_COLUMNS] = 0.0
        state = window[:, -1].copy()
        held = np.arange(24) % len(POSITIONS)
        state[:, POSITION_COLUMNS] = position_entries(held, np.linspace(-1, 1, 24), size_shares=1.0)
        return {"window": window, "is_real": is_real, "state": state}


class TransformerRLStrategy(RLStrategy):
    """The transformer: self-attention over the last `seq_len` states.

    Args:
        seq_len: states in the window; 20 are 10 seconds at 0.5 s ticks.
        n_heads: attention heads.
        n_layers: encoder layers.
        d_model: width of a token; the feed-forward part is four times as wide.
        temporal_dim: width of the encoding.
        schema: the features; None takes `state18`.
        seed: the first weights.
    """

    def __init__(
        self,
        seq_len: int = 20,
        n_heads: int = 4,
        n_layers: int = 2,
        d_model: int = 64,
        temporal_dim: int = 32,
        *,
        schema: FeatureSchema | None = None,
        seed: int = 0,
    ) -> None:
        schema = schema or schema_for("state18")
        architecture = TransformerArchitecture(
            n_features=len(schema),
            seq_len=seq_len,
            n_heads=n_heads,
            n_layers=n_layers,
            d_model=d_model,
            d_ff=4 * d_model,
            temporal_dim=temporal_dim,
        )
        self._new(architecture, schema, seed)

    def attention(self, states: F32 | None = None) -> F32:
        """How the newest state spreads its attention, (layers, H, L), oldest slot first.

        Args:
            states: (≤ L, F) unscaled states, oldest first; None takes the window seen so far by `act`.

        Raises:
            UsageError: no state to look at, more than the window holds, or a number that is not finite.
        """
        if states is None:
            window, is_real = self._seen()
        else:
            length = len(self._window)
            if not 1 <= len(states) <= length:
                raise UsageError(f"attention wants 1 to {length} states, oldest first; got {len(states)}.")
            looker = np.zeros_like(self._window)
            states = np.asarray(states, np.float32)
            for i, state in enumerate(states):
                self._check_finite(state, i + 1)
            looker[length - len(states) :] = self.policy.scaler.apply(states)
            looker[:, POSITION_COLUMNS] = 0.0
            window, is_real = looker[None], (np.arange(length) >= length - len(states))[None]
        if not is_real.any():
            raise UsageError("no state has been seen yet; call act first, or give states.")
        assert self.policy.attention is not None  # `load` lets nothing but a transformer in
        return self.policy.attention(window, is_real)[0]

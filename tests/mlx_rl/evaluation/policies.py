"""Small policies and markets whose right judgement is known beforehand."""

from collections.abc import Callable

import numpy as np

from mlx_rl.evaluation.exam import Batch, Exam, exam_of_tapes
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import schema_for
from mlx_rl.market.law import LawSettings
from observer.kit.rng import stream
from observer.records import UP_ASK, UP_BID
from observer.venues.synthetic import SYNTHETIC

F32 = np.ndarray


class Scripted:
    """A policy made of two functions on unscaled states; its encoding is the last state of the window."""

    seq_len = 5

    def __init__(
        self,
        name: str,
        logits: Callable[[F32, F32], F32],
        forecast: Callable[[F32], F32] = lambda state: np.zeros(len(state)),
    ) -> None:
        self.name, self._logits, self._forecast = name, logits, forecast
        self.schema = schema_for("state18", reference="own_mid")
        self.scaler = Scaler(np.zeros(18, np.float32), np.ones(18, np.float32))
        self.temporal_dim = 18

    def encode(self, window: F32, is_real: np.ndarray) -> F32:
        assert is_real[:, -1].all()
        return np.where(is_real[..., None], window, 0)[:, -1]

    def heads(self, state: F32, encoded: F32) -> tuple[F32, F32, F32]:
        out = self._logits(state, encoded).astype(np.float32)
        return out, np.zeros(len(state), np.float32), self._forecast(state).astype(np.float32)


def holder(name: str = "holder") -> Scripted:
    """Never trades."""
    return Scripted(name, lambda state, z: np.tile([1.0, 0.0, 0.0], (len(state), 1)))


def coin(name: str, chance: float, seed: int) -> Scripted:
    """Trades at random."""
    rng = np.random.default_rng(seed)

    def logits(state: F32, z: F32) -> F32:
        wants = rng.random(len(state)) < chance
        return np.stack([~wants, wants & (rng.random(len(state)) < 0.5), wants], 1) * np.array([1.0, 3.0, 2.0])

    return Scripted(name, logits)


def synthetic_exam(name: str = "null", windows: int = 12, ticks: int = 60, seed: int = 0, **settings: object) -> Exam:
    """Windows of a synthetic market, settled by its own draw, judged with 50 shares."""
    market = SYNTHETIC[name]
    made = market.settings(windows=windows, ticks_per_window=ticks, seed=seed, **settings)
    pairs = list(market.generate(made))
    return exam_of_tapes([t for t, _ in pairs], [p for _, p in pairs], LawSettings(fees="dated"))


def future_states(ahead: int) -> Callable[[], Callable[[Batch], list[F32]]]:
    """Feature functions that leak: entry 0 is the mid's move over the next `ahead` ticks, in cents."""

    def states(batch: Batch) -> list[F32]:
        out = []
        for tape in batch.tapes:
            mid = (tape.rows[:, UP_BID] + tape.rows[:, UP_ASK]) / 2
            later = mid[np.minimum(np.arange(len(mid)) + ahead, len(mid) - 1)]
            x = np.zeros((len(mid), 18), np.float32)
            x[:, 0] = 100 * (later - mid)
            out.append(x)
        return out

    return lambda: states


def follower(name: str = "leak", threshold: float = 2.0) -> Scripted:
    """Opens on the side where entry 0 points by more than the threshold, closes once it no longer points there."""

    def logits(state: F32, z: F32) -> F32:
        hurdle = np.where(state[:, 12] > 0, 0.0, threshold)
        return np.stack([np.zeros(len(state)), state[:, 0] - hurdle, -state[:, 0] - hurdle], 1)

    return Scripted(name, logits)


def rng_of(*names: str | int) -> np.random.Generator:
    """A named stream for tests."""
    return stream(0, *names)

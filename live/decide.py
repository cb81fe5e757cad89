"""Arms: whatever decides, behind one door, one market window at a time.

A `PolicyArm` turns each tick into features, scales them, keeps the window, and asks a trained policy; a `RuleArm`
asks a rule strategy. An arm is asked at every tick exactly once, whether it trades or not, so what it knows never
depends on who traded. What an arm knows of the underlying runs on from one window of a series to the next.

Shapes: L window length, F features, A = 3 actions.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.kernel import FeatureKernel
from mlx_rl.features.schema import POSITION_COLUMNS
from mlx_rl.policy import Policy, choose
from mlx_rl.strategies.contract import Strategy
from observer.records import Market

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Decided(NamedTuple):
    """One arm's answer at one tick, and what it was based on."""

    action: int  # HOLD, BUY or SELL
    logits: tuple[float, ...] = ()  # before the mask; empty for a rule
    value: float | None = None  # USD per share of position size
    forecast: float | None = None  # correction to the market's log-odds of Up
    features: str = ""  # hash of the unscaled state before the position was written in
    note: str = ""  # why a rule held, where it had to

    def as_record(self) -> dict[str, Any]:
        """The answer as plain data for the journal, without what is empty."""
        made: dict[str, Any] = {"action": self.action}
        if self.logits:
            made |= {"logits": list(self.logits), "value": self.value, "forecast": self.forecast}
            made["features"] = self.features
        return made | ({"note": self.note} if self.note else {})


class Arm(Protocol):
    """Decides for the windows of one series, one after the other."""

    def start(self, market: Market) -> None:
        """Begin a window."""
        ...

    def decide(self, recv_ns: int, row: NDArray[np.float64], position: int, entries: F32, mask: Mask) -> Decided:
        """Decide at one tick.

        Args:
            recv_ns: our clock at the tick.
            row: (C,) the tick.
            position: FLAT, UP or DOWN.
            entries: (3,) the state's position entries.
            mask: (A,) allowed actions.
        """
        ...


ArmMaker = Callable[[], Arm]


class RuleArm:
    """A rule strategy as an arm."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def start(self, market: Market) -> None:
        """Begin a window."""
        self.strategy.start(market)

    def decide(self, recv_ns: int, row: NDArray[np.float64], position: int, entries: F32, mask: Mask) -> Decided:
        """Ask the rule."""
        action = self.strategy.act(recv_ns, row, None, position, mask)
        return Decided(int(action), note=self.strategy.note)


class PolicyArm:
    """A trained policy as an arm.

    The window holds market states only, its position entries zero; the current state alone carries the position.
    Before the window is full its oldest slots are zeros and not real, exactly as in training.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.kernel = FeatureKernel(policy.schema)
        self._positions = slice(POSITION_COLUMNS[0], POSITION_COLUMNS[-1] + 1)
        self._window = np.zeros((policy.seq_len, len(policy.schema)), np.float32)
        self._is_real = np.zeros(policy.seq_len, np.bool_)
        self._decide = getattr(policy, "decide", None) or self._decide_by_batch

    def start(self, market: Market) -> None:
        """Begin a window: an empty one; the underlying's history stays."""
        self.kernel.start(market)
        self._window[:] = 0
        self._is_real[:] = False

    def decide(self, recv_ns: int, row: NDArray[np.float64], position: int, entries: F32, mask: Mask) -> Decided:
        """Push the tick, then ask the policy."""
        features = self.kernel.push(recv_ns, row)
        self._window[:-1] = self._window[1:]
        self._is_real[:-1] = self._is_real[1:]
        self.policy.scaler.apply(features, out=self._window[-1])
        self._is_real[-1] = True
        state = self._window[-1].copy()
        state[self._positions] = entries
        action, logits, value, forecast = self._decide(self._window, self._is_real, state, mask)
        return Decided(int(action), tuple(logits), float(value), float(forecast), fingerprint(features))

    def _decide_by_batch(
        self, window: F32, is_real: Mask, state: F32, mask: Mask
    ) -> tuple[int, tuple[float, ...], float, float]:
        """The slower way for a policy that has no `decide`: a batch of one."""
        encoded = self.policy.encode(window[None], is_real[None])
        logits, value, forecast = self.policy.heads(state[None], encoded)
        return int(choose(logits[0], mask)), tuple(logits[0].tolist()), float(value[0]), float(forecast[0])


def fingerprint(values: NDArray[Any]) -> str:
    """Eight bytes of hash over an array's bits, hexadecimal."""
    return hashlib.blake2b(values.tobytes(), digest_size=8).hexdigest()

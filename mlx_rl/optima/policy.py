"""A causal optimum as something that acts: on a whole tape at once, or tick by tick like a rule strategy.

It is the plan of `mlx_rl.optima.chain` and a reader that finds the signal in the last few ticks. It knows the
settings the market was made with, and nothing of the path but what was shown up to the tick it decides at.

Shapes: T ticks, C tick columns, P = 3 positions.
"""

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlx_rl.optima.chain import Plan
from observer.kit.errors import UsageError
from observer.records import HOLD, Market, Tape
from observer.venues.synthetic.common import SyntheticSettings

ReadSignal = Callable[[Market, NDArray[np.float64]], NDArray[np.int64]]


class CausalOptimum:
    """The best policy that sees only the past of one synthetic market.

    Args:
        settings: what the market was made with.
        plan: the best actions, for decisions in a row ending one tick before the last.
        read_signal: (market, (n, C) rows) -> (n,) signal at each row; rows before the first count as uneventful.
        memory_ticks: how many of the latest rows the signal of a tick depends on.
    """

    name = "causal_optimum"

    def __init__(self, settings: SyntheticSettings, plan: Plan, read_signal: ReadSignal, memory_ticks: int) -> None:
        self.settings, self.plan, self.read_signal, self.memory_ticks = settings, plan, read_signal, memory_ticks
        self.note = ""

    @property
    def usd_per_share(self) -> float:
        """Expected profit of one window from a flat start, USD per share of size."""
        return self.plan.usd_per_share

    def actions(self, tape: Tape) -> NDArray[np.int8]:
        """(T, P) the best action at each tick in each position."""
        if len(tape) != self.settings.ticks_per_window:
            raise UsageError(
                f"{tape.market.market_id} has {len(tape)} ticks; this optimum was solved for "
                f"{self.settings.ticks_per_window}. Solve it with the settings the market was made with."
            )
        signal = self.read_signal(tape.market, tape.rows)
        return self.plan.actions[self._decisions_left(np.arange(len(tape))), :, signal]

    def start(self, market: Market) -> None:
        """Begin a window: forget the last one."""
        self.market = market
        self.recent: deque[NDArray[np.float64]] = deque(maxlen=self.memory_ticks)
        self.tick = -1

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Decide at the next tick of the window; the same action as `actions` has there, or HOLD if masked."""
        self.recent.append(row)
        self.tick += 1
        signal = int(self.read_signal(self.market, np.array(self.recent))[-1])
        action = int(self.plan.actions[int(self._decisions_left(np.array(self.tick))), position, signal])
        return action if mask[action] else HOLD

    def _decisions_left(self, tick: NDArray[np.int64]) -> NDArray[np.int64]:
        """An order decided at the last tick is never filled; before the plan begins the best is HOLD at any horizon."""
        return np.clip(self.settings.ticks_per_window - 1 - tick, 0, len(self.plan.actions) - 1)


def require_free(settings: SyntheticSettings, kind: str) -> None:
    """Refuse a market whose cost per share depends on the price: its optimum has no such short form."""
    if settings.fees != "free":
        raise UsageError(
            f"the optimum of {kind!r} is stated for fees 'free' and a constant half spread; found fees "
            f"{settings.fees!r}. Widen half_spread instead, or measure against mlx_rl.market.oracle."
        )

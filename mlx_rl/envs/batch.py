"""Many market windows in lock step: the account of `mlx_rl.market.portfolio`, compiled, over W windows at once.

Window w stands at its own tick t. `step` takes one action per window at tick t, moves on to t + 1, and lets due
orders execute there; behind its last tick a window settles and is done, and its actions are ignored from then on.

Shapes: W windows, N ticks of all windows together.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from mlx_rl.market.binary import NO_ORDER, action_mask, order_of, position_entries
from mlx_rl.market.fills import Fills
from observer.kit.errors import BadRecording, UsageError
from observer.records import ACTIONS, DOWN, FLAT, POSITIONS, UP

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

# Columns of the money table (W, 12).
_CASH, _ENTRY, _DUST_UP, _DUST_DOWN, _CLOSE_UP_USD, _CLOSE_DOWN_USD = range(6)
_GROSS, _SPREAD, _FEES, _SLIPPAGE, _TURNOVER, _TRADES = range(6, 12)


class BatchAccounts:
    """The accounts of many windows.

    Args:
        fills: each window's orders.
        payoffs: each window's USD per Up share.

    Attributes:
        tick: (W,) the tick each window stands at; its number of ticks once done.
        position: (W,) FLAT, UP or DOWN.
        is_pending: (W,) True where an order is in flight.
        done: (W,) True where the window has settled.
    """

    def __init__(self, fills: Sequence[Fills], payoffs: Sequence[float]) -> None:
        if len(fills) != len(payoffs) or not fills:
            raise UsageError(f"{len(fills)} windows and {len(payoffs)} payoffs; wanted one payoff for each window.")
        self._payoff = np.asarray(payoffs, dtype=np.float64)
        if not ((self._payoff >= 0) & (self._payoff <= 1)).all():
            raise BadRecording("a payoff outside [0, 1] USD per Up share. Read payoffs with read_payoffs.")
        self.size_shares = np.array([f.size_shares for f in fills])
        lengths = np.array([len(f) for f in fills], dtype=np.int64)
        self._start = np.concatenate([[0], np.cumsum(lengths)])
        self._parts = np.stack(
            [
                np.concatenate([getattr(f, name) for f in fills])
                for name in ("cash", "fee_usd", "spread_usd", "slippage_usd", "dust_shares")
            ],
            axis=2,
        )  # (N, 4, 5)
        self._execute_at = np.concatenate([f.execute_at for f in fills])
        w = len(fills)
        self.tick = np.zeros(w, dtype=np.int64)
        self.position = np.full(w, FLAT, dtype=np.int64)
        self.done = np.zeros(w, dtype=np.bool_)
        self._pending = np.full(w, NO_ORDER, dtype=np.int64)
        self._due = np.zeros(w, dtype=np.int64)
        self._held = np.zeros(w, dtype=np.bool_)
        self._money = np.zeros((w, 12))
        self._run(np.full(w, NO_ORDER, dtype=np.int64), is_first=True)

    @property
    def is_pending(self) -> NDArray[np.bool_]:
        """(W,) True where an order is in flight."""
        return self._pending != NO_ORDER

    def mask(self) -> NDArray[np.bool_]:
        """Which actions are allowed, (W, 3); only HOLD in flight and when done."""
        return action_mask(self.position, self.is_pending | self.done)

    def pnl_usd(self) -> F64:
        """Liquidation value less cost of each window's position, (W,); 0 where flat."""
        close = np.where(self.position == UP, self._money[:, _CLOSE_UP_USD], self._money[:, _CLOSE_DOWN_USD])
        return np.where(self.position == FLAT, 0.0, close + self._money[:, _ENTRY])

    def equity_usd(self) -> F64:
        """Cash plus what closing the position would bring, (W,)."""
        return self._money[:, _CASH] + self.pnl_usd() - self._money[:, _ENTRY]

    def entries(self) -> NDArray[np.float32]:
        """The three state entries of each window's position, (W, 3) float32."""
        return position_entries(self.position, self.pnl_usd() / self.size_shares, 1.0)

    def step(self, actions: ArrayLike) -> None:
        """Act in every window that is not done, (W,), and move on one tick.

        Raises:
            UsageError: an action that the mask forbids in a window that is not done; nothing has moved.
        """
        chosen = np.asarray(actions, dtype=np.int64)
        if chosen.shape != self.tick.shape or ((chosen < 0) | (chosen >= len(ACTIONS))).any():
            raise UsageError(f"actions of shape {chosen.shape}; wanted {self.tick.shape} of 0, 1 or 2.")
        is_bad = ~self.mask()[np.arange(len(chosen)), chosen] & ~self.done
        if is_bad.any():
            w = int(np.flatnonzero(is_bad)[0])
            raise UsageError(
                f"window {w}, tick {self.tick[w]}: {ACTIONS[chosen[w]]} is not allowed while "
                f"{POSITIONS[self.position[w]]}{' with an order in flight' if self.is_pending[w] else ''}. "
                "Choose within mask()."
            )
        self._run(order_of(self.position, chosen), is_first=False)

    def ledger(self) -> dict[str, NDArray[np.generic]]:
        """Each window's way from gross to net so far, arrays (W,): net = gross − spread − fees − slippage.

        Keys: gross, spread, fees, slippage, net (USD), trades (orders filled), turnover_usd (USD that changed hands
        in fills), held_to_settlement (bool).
        """
        money = self._money.T
        gross, spread, fees, slippage = money[_GROSS], money[_SPREAD], money[_FEES], money[_SLIPPAGE]
        return {
            "gross": gross.copy(),
            "spread": spread.copy(),
            "fees": fees.copy(),
            "slippage": slippage.copy(),
            "net": gross - spread - fees - slippage,
            "trades": money[_TRADES].astype(np.int64),
            "turnover_usd": money[_TURNOVER].copy(),
            "held_to_settlement": self._held.copy(),
        }

    def _run(self, orders: I64, is_first: bool) -> None:
        _advance(
            orders, is_first, self._start, self._parts, self._execute_at, self._payoff, self.size_shares,
            self.tick, self.position, self.done, self._pending, self._due, self._held, self._money,
        )  # fmt: skip


@njit(cache=True)
def _advance(
    orders: I64, is_first: bool, start: I64, parts: F64, execute_at: I64, payoff: F64, size: F64,
    tick: I64, position: I64, done: NDArray[np.bool_], pending: I64, due: I64, held: NDArray[np.bool_], money: F64,
) -> None:  # fmt: skip
    """Send `orders` (W,), move every window on by one tick (none on the first call) and fill or settle there."""
    for w in range(len(orders)):
        if done[w]:
            continue
        if orders[w] >= 0:
            pending[w] = orders[w]
            due[w] = execute_at[start[w] + tick[w]]
        if not is_first:
            tick[w] += 1
        row = money[w]
        if tick[w] >= start[w + 1] - start[w]:
            paid = row[_DUST_UP] * payoff[w] + row[_DUST_DOWN] * (1.0 - payoff[w])
            if position[w] != FLAT:
                paid += size[w] * (payoff[w] if position[w] == UP else 1.0 - payoff[w])
                held[w] = True
            row[_CASH] += paid
            row[_GROSS] += paid
            row[_ENTRY] = row[_DUST_UP] = row[_DUST_DOWN] = 0.0
            position[w], pending[w], done[w] = FLAT, -1, True
            continue
        now = parts[start[w] + tick[w]]  # (4, 5): cash, fee, spread, slippage, dust of each order
        if not np.isnan(now[1, 0]):
            row[_CLOSE_UP_USD] = now[1, 0]
        if not np.isnan(now[3, 0]):
            row[_CLOSE_DOWN_USD] = now[3, 0]
        if pending[w] < 0 or due[w] != tick[w]:
            continue
        order = pending[w]
        pending[w] = -1
        cash, fee, spread, slippage, dust = now[order]
        if np.isnan(cash):
            continue
        is_open = order % 2 == 0
        position[w] = (UP if order == 0 else DOWN) if is_open else FLAT
        row[_ENTRY] = cash if is_open else 0.0
        row[_CASH] += cash
        if is_open:
            row[_DUST_UP if order == 0 else _DUST_DOWN] += dust
        row[_GROSS] += cash + spread + slippage + fee
        row[_SPREAD] += spread
        row[_SLIPPAGE] += slippage
        row[_FEES] += fee
        row[_TRADES] += 1
        row[_TURNOVER] += abs(cash)

"""One market window's account, driven by events: an order in flight, a position, and where the money went.

The paper broker feeds it ticks as they come; the batch environment does the same sums over many windows at once
and must agree to the bit. Per tick: `on_tick` (a due order fills, whole or not at all), then `decide`. At the end
`settle`.

Conservation, at every moment: cash = gross − spread − slippage − fees, and equity = cash + what closing the
position would bring after its fee. Dust (lot residues of grossed-up buys) is worth nothing until it settles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_rl.market.binary import (
    CLOSE_DOWN,
    CLOSE_UP,
    NO_ORDER,
    OPEN_UP,
    ORDERS,
    action_mask,
    order_of,
    position_entries,
)
from mlx_rl.market.fills import TickFills, latency_ns
from mlx_rl.market.law import LawSettings
from observer.kit.errors import BadRecording, UsageError
from observer.records import ACTIONS, DOWN, FLAT, POSITIONS, UP

_POSITION_AFTER_ORDER = (UP, FLAT, DOWN, FLAT)


@dataclass(slots=True)
class Waterfall:
    """From gross to net, in USD: net = gross − spread − fees − slippage.

    Attributes:
        gross: what the fills and the settlement would have brought at the token's mid, without any cost.
        spread: mid to touch. slippage: touch to average price. fees: the venue's.
        trades: orders filled.
        turnover_usd: USD that changed hands in fills.
        held_to_settlement: True where the window ended with a position.
    """

    gross: float = 0.0
    spread: float = 0.0
    fees: float = 0.0
    slippage: float = 0.0
    trades: int = 0
    turnover_usd: float = 0.0
    held_to_settlement: bool = False

    @property
    def net(self) -> float:
        """What is left."""
        return self.gross - self.spread - self.fees - self.slippage


@dataclass(frozen=True, slots=True)
class Filled:
    """An order that reached its tick.

    Attributes:
        order: which of `binary.ORDERS`.
        is_filled: False where the depth was not there; then nothing has changed.
        cash_usd: the flow, buys negative; 0 where not filled.
    """

    order: int
    is_filled: bool
    cash_usd: float


class Account:
    """The money of one market window.

    Args:
        law: size, latency and fill assumption.
        position: a position held from the start, to ask what it would have been worth.
        entry_usd: the cash flow that opened it (negative); not part of this account's cash.

    Attributes:
        cash_usd: net USD since the start.
        position: FLAT, UP or DOWN.
        pending: the order in flight, or NO_ORDER.
        dust_up, dust_down: shares of lot residue that will settle.
    """

    def __init__(self, law: LawSettings, position: int = FLAT, entry_usd: float = 0.0) -> None:
        self.law = law
        self.position, self.entry_usd = position, entry_usd
        self.cash_usd = self.dust_up = self.dust_down = 0.0
        self.pending = NO_ORDER
        self.is_settled = False
        self.waterfall = Waterfall()
        self._latency_ns = latency_ns(law)
        self._now_ns: int | None = None
        self._decided_ns = 0
        self._ticks_to_wait = 0  # ticks still to let pass once the latency is over
        self._close_usd = [0.0, 0.0]  # what closing Up and Down brought at the last tick where it could be filled

    def on_tick(self, recv_ns: int, fills: TickFills) -> Filled | None:
        """Take in one tick; an order in flight that is due executes at it.

        Returns:
            What became of the order, or None where none was due.

        Raises:
            BadRecording: the clock did not move forward, or the window has settled.
        """
        if self.is_settled or (self._now_ns is not None and recv_ns <= self._now_ns):
            raise BadRecording(
                f"tick at {recv_ns} ns after {'settlement' if self.is_settled else f'one at {self._now_ns} ns'}; ticks "
                "come strictly in time and before settlement. Verify the recording or the clock."
            )
        self._now_ns = recv_ns
        for slot, order in enumerate((CLOSE_UP, CLOSE_DOWN)):
            if not np.isnan(fills.cash[order]):
                self._close_usd[slot] = float(fills.cash[order])
        if self.pending == NO_ORDER or recv_ns < self._decided_ns + self._latency_ns:
            return None
        if self._ticks_to_wait > 0:
            self._ticks_to_wait -= 1
            return None
        return self._execute(fills)

    def mask(self) -> NDArray[np.bool_]:
        """Which actions are allowed now, (3,)."""
        return action_mask(self.position, self.pending != NO_ORDER)

    def entries(self) -> NDArray[np.float32]:
        """The three state entries of the position held, (3,) float32."""
        return position_entries(self.position, self.pnl_usd(), self.law.size_shares)

    def decide(self, action: int) -> int:
        """Act on the latest tick: send the action's order, to execute after the latency.

        Returns:
            The order now in flight, or NO_ORDER for HOLD.

        Raises:
            UsageError: the mask forbids the action, or there has been no tick yet.
        """
        if self._now_ns is None or self.is_settled:
            raise UsageError("a decision needs a tick to decide on, before settlement. Call on_tick first.")
        if not self.mask()[action]:
            flight = "no order" if self.pending == NO_ORDER else ORDERS[self.pending]
            raise UsageError(
                f"{ACTIONS[action]} is not allowed while {POSITIONS[self.position]} with {flight} in flight. "
                "Choose within mask()."
            )
        order = int(order_of(self.position, action))
        if order != NO_ORDER:
            self.pending, self._decided_ns = order, self._now_ns
            self._ticks_to_wait = int(self.law.fills == "pessimistic")
        return order

    def liquidation_usd(self) -> float:
        """What closing the position would bring, fee paid, at the last tick where it could be filled."""
        return 0.0 if self.position == FLAT else self._close_usd[self.position - UP]

    def pnl_usd(self) -> float:
        """Liquidation value less what the position cost; 0 where flat."""
        return 0.0 if self.position == FLAT else self.liquidation_usd() + self.entry_usd

    def equity_usd(self) -> float:
        """Cash plus liquidation value."""
        return self.cash_usd + self.liquidation_usd()

    def settle(self, payoff_up: float) -> float:
        """End the window: the position and the dust pay out, an order in flight lapses.

        Args:
            payoff_up: USD per Up share; Down pays the rest.

        Returns:
            The window's net USD.
        """
        if self.is_settled or not 0.0 <= payoff_up <= 1.0:
            raise BadRecording(f"settlement at {payoff_up} USD per Up share, settled before: {self.is_settled}.")
        payoff_down = 1.0 - payoff_up
        paid = self.dust_up * payoff_up + self.dust_down * payoff_down
        if self.position != FLAT:
            paid += self.law.size_shares * (payoff_up if self.position == UP else payoff_down)
            self.waterfall.held_to_settlement = True
        self.cash_usd += paid
        self.waterfall.gross += paid
        self.position, self.pending, self.entry_usd, self.is_settled = FLAT, NO_ORDER, 0.0, True
        self.dust_up = self.dust_down = 0.0
        return self.cash_usd

    def _execute(self, fills: TickFills) -> Filled:
        order, self.pending = self.pending, NO_ORDER
        cash = float(fills.cash[order])
        if np.isnan(cash):
            return Filled(order, False, 0.0)
        fee, spread, slippage = (float(x[order]) for x in (fills.fee_usd, fills.spread_usd, fills.slippage_usd))
        is_open = order % 2 == 0
        self.position = _POSITION_AFTER_ORDER[order]
        self.entry_usd = cash if is_open else 0.0
        self.cash_usd += cash
        if is_open and order == OPEN_UP:
            self.dust_up += float(fills.dust_shares[order])
        elif is_open:
            self.dust_down += float(fills.dust_shares[order])
        water = self.waterfall
        water.gross += cash + spread + slippage + fee
        water.spread += spread
        water.slippage += slippage
        water.fees += fee
        water.trades += 1
        water.turnover_usd += abs(cash)
        return Filled(order, True, cash)

"""The gate: every order passes it before it leaves, and a refusal has a name.

States: ACTIVE lets every order within the limits through; REDUCING only orders that close a position; HALTED
none. They only ever go down during a session. A loss beyond the limit is REDUCING; a trading arm that cannot
decide is HALTED, because nobody knows then what closing would be based on.
"""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.market.binary import CLOSE_DOWN, CLOSE_UP


class RiskState(StrEnum):
    """How much the gate lets through."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Refusal(StrEnum):
    """Why an order was not sent."""

    HALTED = "halted"
    REDUCING = "reducing: only closing orders"
    CLOSED = "the window is closed"
    POSITION = "position limit"
    EXPOSURE = "exposure limit"
    ORDERS = "order limit of the window"


class Limits(BaseModel):
    """What paper trading may do at most; a limit left out does not bind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_position_shares: float | None = Field(default=None, gt=0, description="largest position in one window, shares")
    max_exposure_usd: float | None = Field(
        default=None,
        gt=0,
        description="most that all open positions together may cost, USD; an order counts 1 USD a share",
    )
    max_orders: int | None = Field(
        default=None, ge=1, description="most orders in one window; closing orders always pass"
    )
    max_loss_usd: float | None = Field(
        default=None, gt=0, description="session loss at which only closing orders pass, USD"
    )


@dataclass(frozen=True, slots=True)
class Book:
    """What the gate needs to know at the moment of an order."""

    size_shares: float  # of the order
    is_closed: bool  # the window's close has been reached
    orders: int  # sent in this window so far
    exposure_usd: float  # what the open positions of all windows have cost
    session_usd: float  # the session's cash plus what closing everything would bring


class Gate:
    """One gate for all arms and windows of a session."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.state = RiskState.ACTIVE
        self.reason = ""

    def check(self, order: int, book: Book) -> Refusal | None:
        """Return why the order (an index of `binary.ORDERS`) may not be sent, or None where it may."""
        at_most = self.limits
        if at_most.max_loss_usd is not None and book.session_usd <= -at_most.max_loss_usd:
            self._go(RiskState.REDUCING, f"session loss {-book.session_usd:.2f} USD")
        if self.state == RiskState.HALTED:
            return Refusal.HALTED
        if book.is_closed:
            return Refusal.CLOSED
        if order in (CLOSE_UP, CLOSE_DOWN):
            return None
        if self.state == RiskState.REDUCING:
            return Refusal.REDUCING
        if at_most.max_position_shares is not None and book.size_shares > at_most.max_position_shares:
            return Refusal.POSITION
        if at_most.max_exposure_usd is not None and book.exposure_usd + book.size_shares > at_most.max_exposure_usd:
            return Refusal.EXPOSURE
        if at_most.max_orders is not None and book.orders >= at_most.max_orders:
            return Refusal.ORDERS
        return None

    def halt(self, reason: str) -> None:
        """Let nothing through from now on."""
        self._go(RiskState.HALTED, reason)

    def _go(self, state: RiskState, reason: str) -> None:
        order = list(RiskState)
        if order.index(state) > order.index(self.state):
            self.state, self.reason = state, reason

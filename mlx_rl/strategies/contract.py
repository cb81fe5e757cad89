"""What every rule strategy is: one market at a time, one tick at a time, HOLD when it does not know.

A strategy has a direction to offer (Up, Down or none) and never more: the account's mask says whether BUY or
SELL now opens, closes, or is not to be had. Each strategy keeps its window's memory to itself and loses it at
`start`, so one object per market series is enough and windows cannot speak to each other.

A rule that needs nothing but Up's price is written as a `PriceRule`, its direction alone; `build` makes a strategy
of it.

Prices are USD per share, which for a binary market is a probability.
"""

import math
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlx_rl.strategies import STRATEGIES
from observer.kit.clock import NS_PER_S
from observer.records import BUY, HOLD, SELL, UP_ASK, UP_BID, Market

QuietSeconds = Annotated[
    float,
    Field(ge=0, description="seconds before the close in which the rule only holds; what is open goes to settlement"),
]
DEFAULT_QUIET_S = 120.0


class Strategy(Protocol):
    """A rule that decides at every tick of one market window.

    Attributes:
        name: its name in `STRATEGIES`.
        Settings: the pydantic class of its settings; the class itself is built as `Cls(Cls.Settings(...))`.
        note: why the last action was HOLD for want of something, else empty.
    """

    name: str
    Settings: type[BaseModel]
    note: str

    def start(self, market: Market) -> None:
        """Begin a window: forget the last one."""
        ...

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Decide at one tick.

        Args:
            recv_ns: our clock at the tick.
            row: (C,) the tick, columns as `observer.records.TICK_COLUMNS`.
            state: (F,) the feature state, for rules that want it; None where nobody computed one.
            position: FLAT, UP or DOWN.
            mask: (3,) which of HOLD, BUY, SELL is allowed.
        """
        ...


class Quiet(Protocol):
    """Settings that say how long before the close a rule falls silent."""

    quiet_s: float


@runtime_checkable
class PriceRule(Protocol):
    """A rule that sees Up's price and nothing else.

    Attributes:
        name, Settings: as a strategy's.
        settings: what it was built with.
    """

    name: str
    Settings: type[BaseModel]
    settings: Quiet

    def start(self) -> None:
        """Begin a window: forget the last one."""
        ...

    def direction(self, price: float) -> int:
        """See one tick's price of Up, NaN where a side is not quoted: +1 for Up, -1 for Down, 0 for neither."""
        ...


class FromPrice:
    """A price rule as a strategy: it goes where the rule points, and holds without a price and near the close."""

    def __init__(self, rule: PriceRule) -> None:
        self.rule, self.name, self.Settings = rule, rule.name, rule.Settings
        self.note = ""

    def start(self, market: Market) -> None:
        """Begin a window with the rule's memory empty."""
        self.market = market
        self.rule.start()

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Show the rule every price, and follow it."""
        price = price_up(row)
        self.note = "no price" if math.isnan(price) else ""
        direction = self.rule.direction(price)
        return HOLD if is_quiet(self.market, recv_ns, self.rule.settings.quiet_s) else toward(direction, mask)


def build(name: str, **settings: Any) -> Strategy:
    """Make the strategy called `name`; raises `UsageError` for an unknown name."""
    member = STRATEGIES[name]
    made = member(member.Settings(**settings))
    return FromPrice(made) if isinstance(made, PriceRule) else made


def price_up(row: NDArray[np.float64]) -> float:
    """The market's probability of Up at a tick, the mid of the Up token; NaN where a side is missing."""
    return 0.5 * (float(row[UP_BID]) + float(row[UP_ASK]))


def is_quiet(market: Market, recv_ns: int, quiet_s: float) -> bool:
    """True in the last `quiet_s` seconds of the window."""
    return market.close_ns - recv_ns <= quiet_s * NS_PER_S


def toward(direction: int, mask: NDArray[np.bool_]) -> int:
    """The action that moves toward Up (+1) or Down (-1), or HOLD where that is not allowed or direction is 0."""
    action = (HOLD, BUY, SELL)[direction]
    return action if mask[action] else HOLD

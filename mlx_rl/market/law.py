"""The settings of the money law, declared once, and the versions that manifests carry.

Labels, environments, backtest, paper and the risk check of live all read these same settings. The versions
change whenever the same settings would give other money or allow other actions.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

COST_LAW = "shares-next-tick/1"  # size in shares, filled at a later tick's quotes, all or nothing
MASK_LAW = "hold-open-close/1"  # HOLD always; open only when flat; close only what is held; HOLD while in flight

MOST_SHARES, LONGEST_S = 1e9, 86_400.0  # beyond them a flag was mistyped; lots and nanoseconds stay whole numbers

FillAssumption = Literal["optimistic", "base", "pessimistic"]


class LawSettings(BaseModel):
    """What an order costs: how many shares, how late, at which fees, and how kind the book is."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size_shares: float = Field(
        default=50.0, gt=0, le=MOST_SHARES, description="shares per position; pays this many USD at most"
    )
    latency_s: float | None = Field(
        default=None,
        gt=0,
        le=LONGEST_S,
        description="seconds from decision to fill; the first tick at least this late; None: the next tick",
    )
    fees: str = Field(default="dated", description="'dated' for each market's own schedule, or a schedule's name")
    fills: FillAssumption = Field(default="base", description="where depth that was not recorded is assumed to lie")

"""Fair value: what the binary is worth if the underlying walks at random from here to the close.

P(Up) = Φ(ln(S / K) / (σ √τ)): S the reference price now, K the strike, τ the seconds left, σ the volatility per
√second measured in this window so far, on samples some seconds apart so that the bounce between bid and ask does
not count as movement. It opens a side whose ask plus fee is at least `margin_usd` below its worth, sells it when
the bid less fee is as far above, and otherwise holds to settlement.

Where it cannot know, it holds and `note` says why: no reference, a stale one, no strike (none stated and no
reference in the window's first seconds), too little seen to measure σ, a reference that never moved.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.market.costs import fee_usd
from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds, is_quiet, price_up, toward
from observer.kit.clock import NS_PER_S
from observer.records import (
    DOWN_ASK,
    DOWN_BID,
    FLAT,
    HOLD,
    REFERENCE,
    REFERENCE_AGE_S,
    UP,
    UP_ASK,
    UP_BID,
    Market,
)


class FairValueSettings(BaseModel):
    """How much better than the market a side must be, and when the reference is to be believed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    margin_usd: float = Field(default=0.02, ge=0, description="gap that must be left after the fee, USD per share")
    sample_s: float = Field(
        default=5.0, gt=0, description="seconds between the reference samples that σ is measured on"
    )
    warmup_s: float = Field(default=60.0, gt=0, description="seconds of samples before σ is believed")
    strike_within_s: float = Field(
        default=5.0, ge=0, description="the window's first reference is the strike if this early, s"
    )
    stale_after_s: float = Field(default=10.0, gt=0, description="a reference older than this is not believed, seconds")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class FairValue:
    """Trade the gap between the market's price and the Gaussian digital."""

    name = "fair_value"
    Settings = FairValueSettings

    def __init__(self, settings: FairValueSettings) -> None:
        self.settings = settings
        self.note = ""

    def start(self, market: Market) -> None:
        """Begin a window: no strike unless the venue states it, no volatility yet."""
        self.market = market
        self.strike = market.strike
        self.sampled: tuple[int, float] | None = None  # recv_ns and reference of the last sample
        self.squares = self.seconds = 0.0  # sum of squared log returns, and of the time they span

    def worth_up(self, recv_ns: int, row: NDArray[np.float64]) -> float:
        """See a tick and return P(Up), NaN with the reason in `note` where it cannot be known."""
        self.note = self._see(recv_ns, float(row[REFERENCE]), float(row[REFERENCE_AGE_S]))
        left_s = (self.market.close_ns - recv_ns) / NS_PER_S
        if self.note or self.strike is None:
            return math.nan
        distance = math.log(float(row[REFERENCE]) / self.strike)
        deviation = math.sqrt(self.squares / self.seconds * max(left_s, 0.0))
        if deviation == 0:
            self.note = "no time left"
            return math.nan
        return 0.5 * math.erfc(-distance / deviation / math.sqrt(2))

    def _see(self, recv_ns: int, reference: float, age_s: float) -> str:
        """Take the reference in; return why there is no value yet, or nothing."""
        s = self.settings
        if not reference > 0:
            return "no reference price"
        if age_s > s.stale_after_s:
            return "the reference price is stale"
        if self.strike is None and recv_ns - self.market.open_ns <= s.strike_within_s * NS_PER_S:
            self.strike = reference
        if self.sampled is None:
            self.sampled = recv_ns, reference
        elapsed_s = (recv_ns - self.sampled[0]) / NS_PER_S
        if elapsed_s >= s.sample_s:
            self.squares += math.log(reference / self.sampled[1]) ** 2
            self.seconds += elapsed_s
            self.sampled = recv_ns, reference
        if self.strike is None:
            return "no strike: none is stated, and the reference began after the window"
        if self.seconds < s.warmup_s:
            return "too little seen to measure volatility"
        return "" if self.squares > 0 else "the reference has not moved"

    def act(
        self,
        recv_ns: int,
        row: NDArray[np.float64],
        state: NDArray[np.float32] | None,
        position: int,
        mask: NDArray[np.bool_],
    ) -> int:
        """Open what is cheap, sell what is dear; hold where the worth is unknown and near the close."""
        worth = self.worth_up(recv_ns, row)
        if math.isnan(price_up(row)):
            self.note = self.note or "no price"
        if self.note or is_quiet(self.market, recv_ns, self.settings.quiet_s):
            return HOLD
        if position == FLAT:
            is_up_cheap = self._gap(worth, float(row[UP_ASK]), 1)
            is_down_cheap = self._gap(1 - worth, float(row[DOWN_ASK]), 1)
            return toward(is_up_cheap - is_down_cheap, mask)
        if position == UP:
            return toward(-int(self._gap(worth, float(row[UP_BID]), -1)), mask)
        return toward(int(self._gap(1 - worth, float(row[DOWN_BID]), -1)), mask)

    def _gap(self, worth: float, price: float, side: int) -> bool:
        """True where buying (side 1) or selling (side -1) a share at `price` gains `margin_usd` after the fee."""
        gain = side * (worth - price)
        if not gain >= self.settings.margin_usd:  # also where the price is missing
            return False
        return gain - float(fee_usd(self.market.fees, 1.0, price)) >= self.settings.margin_usd

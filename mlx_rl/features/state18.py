"""The eighteen: what a state holds at least, in the order the project's ancestor gave them.

Every entry lies in [-1, 1]. `sq(x; s)` below is the squash x / (s + |x|): s maps to one half, and no finite x
reaches 1. "Price" is the underlying's reference, or the market's own mid, as the parameter `reference` says.
A price is the latest observation and counts as known while it is at most `stale_s` old.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.features.schema import Column, FeatureSchema


class State18Params(BaseModel):
    """Parameters of state18; they are part of the schema's hash."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reference: Literal["underlying", "own_mid"] = Field(
        default="underlying",
        description="whose returns and volatility: the recorded underlying (relative changes, running on across "
        "windows), or the market's own mid (changes in USD per share, starting anew in each window)",
    )
    underlying_minute_move: float = Field(
        default=0.0007,
        gt=0,
        le=1,
        description="typical one-minute move of the underlying, as a fraction; sets the squash",
    )
    own_mid_minute_move: float = Field(
        default=0.06, gt=0, le=1, description="typical one-minute move of the own mid, USD per share; sets the squash"
    )
    stale_s: float = Field(
        default=60.0, gt=0, le=3600, description="seconds for which an observed price counts as known"
    )
    flow_window_s: float = Field(default=60.0, ge=1, le=60, description="seconds of trades in the flow entries")
    intensity_window_s: float = Field(default=10.0, ge=1, le=60, description="seconds of trades in trade_intensity")
    intensity_per_s: float = Field(default=1.0, gt=0, description="trades per second that squash to one half")
    large_trade_window_s: float = Field(
        default=60.0, ge=1, le=60, description="seconds in which the largest trade is sought"
    )
    spread_usd: float = Field(default=0.02, gt=0, description="spread in USD per share that squashes to one half")


_UNKNOWN = "0: not known yet"
_NO_TRADES = "0: no trades known"
_ACCOUNT = "written by the account; the kernel leaves 0"

STATE18_COLUMNS: tuple[Column, ...] = (
    Column("returns_1m", "sq(price − price as of 1 min ago; typical 1-min move)", "fraction | USD/share", _UNKNOWN),
    Column("returns_5m", "same over 5 min, typical move × √5", "fraction | USD/share", _UNKNOWN),
    Column("returns_10m", "same over 10 min, typical move × √10", "fraction | USD/share", _UNKNOWN),
    Column(
        "order_book_imbalance_l1",
        "(bid − ask)/(bid + ask) of shares at Up's touch; five-level depth where the touch's size is unknown",
        "fraction of shares",
        "0: no sizes known; a side without a quote counts as 0 shares",
    ),
    Column(
        "order_book_imbalance_l5",
        "same over Up's best five levels; touch sizes where the depth is unknown",
        "fraction of shares",
        "0: no sizes known",
    ),
    Column("trade_flow_imbalance", "(buy − sell)/(buy + sell) of taker USD over the flow window", "fraction of USD",
           _NO_TRADES),
    Column("cvd_acceleration", "half of (trade_flow_imbalance now − the one of the flow window before)",
           "fraction of USD", _NO_TRADES),
    Column("spread_pct", "sq(ask − bid; spread_usd)", "USD/share", "1: no two-sided quote"),
    Column("trade_intensity", "sq(trades per second over the intensity window; intensity_per_s)", "1/s", _NO_TRADES),
    Column(
        "large_trade_flag",
        "1 − mean trade since the window opened / largest trade of the last minute, at least 0",
        "fraction of USD",
        _NO_TRADES,
    ),
    Column("vol_5m", "sq(√Σ squared 5-s moves over the last 5 min, per 5 min; typical move × √5)",
           "fraction | USD/share", _UNKNOWN),
    Column("vol_expansion", "(σ₅ − σ₆₀)/(σ₅ + σ₆₀): volatility rate of 5 min against that of 1 h",
           "ratio", _UNKNOWN),
    Column("has_position", "1 while a position is held", "flag", _ACCOUNT),
    Column("position_side", "Up +1, Down −1, none 0", "sign", _ACCOUNT),
    Column("position_pnl", "unrealised profit at liquidation value / maximum payout", "fraction of payout", _ACCOUNT),
    Column("time_remaining", "(close − now)/(close − open)", "fraction of the window", "always known"),
    Column("vol_regime", "sq(√Σ squared 5-s moves over 1 h, per hour; typical move × √60)", "fraction | USD/share",
           _UNKNOWN),
    Column("trend_regime", "sq(price − first 5-s close of the last hour; typical move × √60), signed",
           "fraction | USD/share", _UNKNOWN),
)  # fmt: skip

STATE18 = FeatureSchema("state18", STATE18_COLUMNS, State18Params.model_validate({}))

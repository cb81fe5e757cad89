"""Momentum: a price that moved is expected to go on.

The move is the price now less the price `lookback_ticks` ticks ago, both of which must have been quoted; a
gap in the quotes is not bridged.
"""

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds
from mlx_rl.strategies.move import Move


class MomentumSettings(BaseModel):
    """How big a move, over how many ticks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    threshold: float = Field(
        default=0.03, gt=0, lt=1, description="smallest move of Up's price that counts, USD per share"
    )
    lookback_ticks: int = Field(default=5, ge=1, description="ticks over which the move is measured")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class Momentum:
    """Follow a move of at least `threshold`."""

    name = "momentum"
    Settings = MomentumSettings

    def __init__(self, settings: MomentumSettings) -> None:
        self.settings = settings
        self.move = Move(settings.lookback_ticks)

    def start(self) -> None:
        """Begin a window with an empty memory."""
        self.move.forget()

    def direction(self, price: float) -> int:
        """Remember this tick's price; +1 after a rise, -1 after a fall, else 0."""
        move = self.move.see(price)
        return (move >= self.settings.threshold) - (move <= -self.settings.threshold)

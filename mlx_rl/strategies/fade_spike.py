"""Fade the spike: a fast move into an extreme price is expected to be overdone.

Velocity is the price now less the price `lookback_ticks` ticks ago, both of which must have been quoted. A fast
rise that ends above `dear_above` wants Down, a fast fall that ends below `cheap_below` wants Up.
"""

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds
from mlx_rl.strategies.move import Move


class FadeSpikeSettings(BaseModel):
    """What counts as a spike, and how extreme it must end."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    velocity: float = Field(
        default=0.05, gt=0, lt=1, description="smallest move of Up's price that is a spike, USD per share"
    )
    lookback_ticks: int = Field(default=3, ge=1, description="ticks over which the spike is measured")
    dear_above: float = Field(
        default=0.65, gt=0, lt=1, description="a rise is faded above this price of Up, USD per share"
    )
    cheap_below: float = Field(
        default=0.35, gt=0, lt=1, description="a fall is faded below this price of Up, USD per share"
    )
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class FadeSpike:
    """Lean against a fast move into an extreme."""

    name = "fade_spike"
    Settings = FadeSpikeSettings

    def __init__(self, settings: FadeSpikeSettings) -> None:
        self.settings = settings
        self.move = Move(settings.lookback_ticks)

    def start(self) -> None:
        """Begin a window with an empty memory."""
        self.move.forget()

    def direction(self, price: float) -> int:
        """Remember this tick's price; -1 after a spike up, +1 after a spike down, else 0."""
        move = self.move.see(price)
        is_overdone_up = move >= self.settings.velocity and price > self.settings.dear_above
        is_overdone_down = move <= -self.settings.velocity and price < self.settings.cheap_below
        return is_overdone_down - is_overdone_up

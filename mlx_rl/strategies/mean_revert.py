"""Mean reversion: a price far from one half is expected to come back.

Below `buy_below` it wants Up, above `sell_above` it wants Down. An Up position is thus sold once the price has
crossed to the other side, and never at a loss alone.
"""

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds


class MeanRevertSettings(BaseModel):
    """The two prices of Up at which it acts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    buy_below: float = Field(default=0.40, gt=0, lt=1, description="wants Up below this price of Up, USD per share")
    sell_above: float = Field(default=0.60, gt=0, lt=1, description="wants Down above this price of Up, USD per share")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class MeanRevert:
    """Buy cheap, sell dear, by the market's own price."""

    name = "mean_revert"
    Settings = MeanRevertSettings

    def __init__(self, settings: MeanRevertSettings) -> None:
        self.settings = settings

    def start(self) -> None:
        """Begin a window; there is nothing to forget."""

    def direction(self, price: float) -> int:
        """+1 where Up looks cheap, -1 where it looks dear, else 0 (also without a price)."""
        return (price < self.settings.buy_below) - (price > self.settings.sell_above)

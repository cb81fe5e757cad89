"""Gating: mean reversion, momentum and spike fading vote, with fixed, declared weights.

Each of the three says +1 (Up), -1 (Down) or 0. The weighted mean of the votes must reach `quorum` in size. With
the default weights (0.4, 0.2, 0.4) no rule acts alone, and two that agree act: mean reversion with momentum is
0.6, mean reversion with a faded spike 0.8, or 0.6 where momentum speaks against them.

The weights are not learnt and make no claim; the gate that learns them is a model, not a rule.
"""

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.strategies.contract import DEFAULT_QUIET_S, QuietSeconds
from mlx_rl.strategies.fade_spike import FadeSpike, FadeSpikeSettings
from mlx_rl.strategies.mean_revert import MeanRevert, MeanRevertSettings
from mlx_rl.strategies.momentum import Momentum, MomentumSettings


class GatingSettings(BaseModel):
    """The voters, the weight of each vote, and how clear the result must be."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean_revert_weight: float = Field(default=0.4, gt=0, description="weight of mean reversion's vote")
    momentum_weight: float = Field(default=0.2, gt=0, description="weight of momentum's vote")
    fade_spike_weight: float = Field(default=0.4, gt=0, description="weight of the spike fader's vote")
    quorum: float = Field(default=0.5, gt=0, le=1, description="smallest weighted mean of the votes that acts")
    mean_revert: MeanRevertSettings = Field(default=MeanRevertSettings(), description="mean reversion's settings")
    momentum: MomentumSettings = Field(default=MomentumSettings(), description="momentum's settings")
    fade_spike: FadeSpikeSettings = Field(default=FadeSpikeSettings(), description="the spike fader's settings")
    quiet_s: QuietSeconds = DEFAULT_QUIET_S


class Gating:
    """Act where the votes of the three rules agree clearly enough."""

    name = "gating"
    Settings = GatingSettings

    def __init__(self, settings: GatingSettings) -> None:
        self.settings = s = settings
        self.voters = (
            (s.mean_revert_weight, MeanRevert(s.mean_revert)),
            (s.momentum_weight, Momentum(s.momentum)),
            (s.fade_spike_weight, FadeSpike(s.fade_spike)),
        )

    def start(self) -> None:
        """Begin a window with every voter's memory empty."""
        for _, voter in self.voters:
            voter.start()

    def direction(self, price: float) -> int:
        """Let all three see the tick and count: +1 or -1 where the weighted mean reaches the quorum, else 0."""
        votes = sum(weight * voter.direction(price) for weight, voter in self.voters)
        mean = votes / sum(weight for weight, _ in self.voters)
        return (mean >= self.settings.quorum) - (mean <= -self.settings.quorum)

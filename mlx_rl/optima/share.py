"""How much of what could be known a policy earned: its net over the causal optimum's, on the same unseen paths.

The oracle knows the future, so nobody can earn all of it. On a synthetic market the best policy that sees only the
past is known exactly, and this is the share of *its* profit, after every cost.
"""

from dataclasses import dataclass

import numpy as np

from mlx_rl.evaluation.exam import exam_of_tapes
from mlx_rl.evaluation.rollout import encode_windows, play_policy
from mlx_rl.market.law import LawSettings
from mlx_rl.optima import OPTIMA
from mlx_rl.optima.play import play
from mlx_rl.policy import Policy
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.common import SyntheticSettings


@dataclass(frozen=True)
class Share:
    """What a policy and the causal optimum earned on the same windows, USD after costs."""

    policy_usd: float
    optimum_usd: float
    windows: int

    @property
    def share(self) -> float:
        """The policy's part of the optimum; negative where it lost money."""
        return self.policy_usd / self.optimum_usd


def share_of_optimum(kind: str, settings: SyntheticSettings, policy: Policy, law: LawSettings) -> Share:
    """Let a policy trade the windows that `settings` make (give a seed it was not trained on) next to the optimum."""
    windows = list(SYNTHETIC[kind].generate(settings))
    exam = exam_of_tapes([tape for tape, _ in windows], [payoff for _, payoff in windows], law)
    optimum = OPTIMA[kind](settings)
    states = exam.features(policy.schema)
    earned, best = 0.0, 0.0
    for batch in exam.batches():
        fills = batch.fills()
        earned += float(play_policy(policy, encode_windows(policy, states(batch)), fills, batch.payoffs).net.sum())
        best += float(np.sum(play([optimum.actions(tape) for tape in batch.tapes], fills, list(batch.payoffs))))
    return Share(earned, best, len(windows))

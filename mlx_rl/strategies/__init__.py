"""Rule strategies: fixed rules over one market's ticks, to be beaten before anything learned is believed.

A strategy is one file here and one line in `STRATEGIES`; what all of them owe is in `contract.py`, and
`check.py` makes sure that they pay.
"""

from observer.kit.registry import Registry

STRATEGIES = Registry(
    "strategy",
    {
        "random": "mlx_rl.strategies.random:Random",
        "mean_revert": "mlx_rl.strategies.mean_revert:MeanRevert",
        "momentum": "mlx_rl.strategies.momentum:Momentum",
        "fade_spike": "mlx_rl.strategies.fade_spike:FadeSpike",
        "gating": "mlx_rl.strategies.gating:Gating",
        "fair_value": "mlx_rl.strategies.fair_value:FairValue",
    },
)

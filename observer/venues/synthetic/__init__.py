"""Synthetic markets: made-up windows in the shape of recorded ones, each with one planted effect.

A market is one file here and one line in `SYNTHETIC`. The best policy that sees only the past is known for each and
lies in `mlx_rl.optima`.
"""

from observer.kit.registry import Registry

SYNTHETIC = Registry(
    "synthetic market",
    {
        "null": "observer.venues.synthetic.null:NULL",
        "spike": "observer.venues.synthetic.spike:SPIKE",
        "lag": "observer.venues.synthetic.lag:LAG",
        "regime": "observer.venues.synthetic.regime:REGIME",
    },
)

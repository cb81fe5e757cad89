"""Algorithms: one file each, readable as its paper, and one line in this table.

A member is built from its settings and has `fit(data, ids)`, which looks at the training fold once, and
`targets(q)`, which says how much probability mass each action deserves; see `mlx_rl.algos.targets`.
"""

from observer.kit.registry import Registry

ALGORITHMS = Registry(
    "method",
    {
        "bc": "mlx_rl.algos.bc:BehaviourCloning",
        "wbc": "mlx_rl.algos.wbc:WeightedCloning",
    },
)

"""The best policy that sees only the past, for each synthetic market: `OPTIMA[kind](settings)` solves it."""

from observer.kit.registry import Registry

OPTIMA = Registry(
    "causal optimum",
    {
        "null": "mlx_rl.optima.null:solve",
        "spike": "mlx_rl.optima.spike:solve",
        "lag": "mlx_rl.optima.lag:solve",
        "regime": "mlx_rl.optima.regime:solve",
    },
)

"""Models: one file per encoder and one line in this table; the heads are the same for all."""

from observer.kit.registry import Registry

ENCODERS = Registry(
    "model",
    {
        "base": "mlx_rl.models.base:BaseEncoder",
        "transformer": "mlx_rl.models.transformer:TransformerTemporalEncoder",
    },
)

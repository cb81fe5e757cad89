"""The only money law: what an order costs, when it fills, what a position is worth, and how it settles.

Modules: `law` (settings, versions), `costs` (fees), `fills` (every order at every tick), `binary` (actions, mask,
position), `portfolio` (the event-driven account), `oracle` (the exact value of every action), `settlement`.
"""

from mlx_rl.market.law import COST_LAW, MASK_LAW, LawSettings

__all__ = ["COST_LAW", "MASK_LAW", "LawSettings"]

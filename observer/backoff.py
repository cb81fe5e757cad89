"""How long to wait before trying again: full jitter under a doubling, capped ceiling.

The wait before try n is drawn evenly from [0, min(cap, base × 2ⁿ)], so that many clients that were thrown out together
do not come back together ("full jitter"). Whoever uses it calls `reset` only once data has arrived: a venue that
accepts connections and drops them at once is then left alone longer and longer.
"""

import random

BASE_S = 0.5
CAP_S = 30.0


class Backoff:
    """Waits of one thing that keeps failing.

    Args:
        rng: where the jitter comes from; seeded in tests, its own seed otherwise.
        base_s: ceiling of the first wait.
        cap_s: no ceiling is higher.

    Attributes:
        failures: waits handed out since the last `reset`.
    """

    def __init__(self, rng: random.Random | None = None, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._rng = random.Random() if rng is None else rng
        self._base_s, self._cap_s = base_s, cap_s
        self.failures = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """The next wait in seconds; never below what a venue asked for (`Retry-After`)."""
        doublings = min(self.failures, 30)  # 2**30 half seconds: beyond any cap, and no overflow after months
        self.failures += 1
        return max(at_least_s, self._rng.uniform(0.0, min(self._cap_s, self._base_s * 2**doublings)))

    def reset(self) -> None:
        """Data has arrived: the next failure is a first one."""
        self.failures = 0

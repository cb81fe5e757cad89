"""Virtual time: it starts where it is told to and runs `speed` times as fast as the monotonic clock.

Another process on this machine follows it with one reading (`GET /clock`), because the monotonic clock is the
machine's: `now = now_ns + (monotonic_ns - mono_ns) * speed`.
"""

import time
from typing import TypedDict

from observer.kit.clock import NS_PER_S


class Reading(TypedDict):
    """One reading of the clock: virtual time, its speed, and the monotonic time at which it was read."""

    now_ns: int
    speed: float
    mono_ns: int


class VirtualClock:
    """A clock that runs evenly from `start_ns`; wall-clock steps do not touch it.

    Args:
        start_ns: what it shows now.
        speed: virtual seconds per real second.
    """

    def __init__(self, start_ns: int, speed: float = 1.0) -> None:
        self.start_ns, self.speed = start_ns, speed
        self._zero_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Virtual time, ns UTC."""
        return self.start_ns + int((time.monotonic_ns() - self._zero_ns) * self.speed)

    def real_s_until(self, when_ns: int) -> float:
        """Real seconds from now to a virtual time; negative for the past."""
        return (when_ns - self.now_ns()) / self.speed / NS_PER_S

    def reading(self) -> Reading:
        """What another process needs to follow this clock."""
        mono_ns = time.monotonic_ns()
        now_ns = self.start_ns + int((mono_ns - self._zero_ns) * self.speed)
        return {"now_ns": now_ns, "speed": self.speed, "mono_ns": mono_ns}

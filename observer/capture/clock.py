"""The recorder's clock: the wall clock read once, then carried on by the monotonic clock.

Every time in a recording comes from here, so the 0.5 s grid never bends: a wall clock that jumps (NTP at boot, a
person) moves nothing. A jump is noticed, written down and shown; the recorder adopts the new wall time when it is
started again. Small corrections are slewed into the monotonic clock by the kernel and need no care. The monotonic clock
is the one that goes on while the machine sleeps, so a nap is a gap, and the times after it are right.

Against a loopback exchange with a virtual clock the same clock runs at the exchange's speed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from observer.kit.clock import NS_PER_MS, NS_PER_S

STEP_NS = 250 * NS_PER_MS  # wall and monotonic clock further apart than this: the wall clock was stepped

# Linux stops CLOCK_MONOTONIC in its sleep, a Mac `time.monotonic`; these two go on, and are slewed like the others.
_GOES_ON_ASLEEP = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_with_sleep_ns: Callable[[], int] = partial(time.clock_gettime_ns, _GOES_ON_ASLEEP)


@dataclass(frozen=True, slots=True)
class Anchor:
    """`wall_ns` was the time when the monotonic clock showed `mono_ns`; time runs `speed` times as fast."""

    wall_ns: int
    mono_ns: int
    speed: float = 1.0


class Clock:
    """Nanoseconds UTC since an anchor, by the monotonic clock.

    Args:
        anchor: where to start; None anchors at the wall clock now.
        wall_ns, mono_ns: the two clocks, replaced in tests; an anchor of an exchange is one of `time.monotonic_ns`.

    Attributes:
        now_ns: the time, int64 ns UTC; never goes back. Built once, for every message asks for it.
    """

    def __init__(
        self,
        anchor: Anchor | None = None,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] | None = None,
    ) -> None:
        self.is_virtual = anchor is not None
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns or (time.monotonic_ns if self.is_virtual else _with_sleep_ns)
        self.anchor = anchor or Anchor(wall_ns(), self._mono_ns())
        self.speed = self.anchor.speed
        self._stepped_ns = 0
        self.now_ns = _reader(self.anchor, self._mono_ns)

    def mono_ns(self) -> int:
        """The monotonic clock itself."""
        return self._mono_ns()

    def due_mono_ns(self, at_ns: int) -> int:
        """The monotonic time at which this clock shows `at_ns`."""
        ahead = at_ns - self.anchor.wall_ns
        return self.anchor.mono_ns + (ahead if self.speed == 1.0 else int(ahead / self.speed))

    def step_ns(self) -> int:
        """How far the wall clock was stepped since the last call (0: not at all); always 0 on a virtual clock."""
        if self.is_virtual:
            return 0
        apart = self._wall_ns() - self.now_ns()
        moved = apart - self._stepped_ns
        if abs(moved) < STEP_NS:
            return 0
        self._stepped_ns = apart
        return moved

    @property
    def offset_s(self) -> float:
        """Wall clock minus this clock, seconds: 0 until the wall clock is stepped."""
        return 0.0 if self.is_virtual else (self._wall_ns() - self.now_ns()) / NS_PER_S

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds of this clock."""
        await asyncio.sleep(seconds / self.speed)


def _reader(anchor: Anchor, mono_ns: Callable[[], int]) -> Callable[[], int]:
    """What tells the time since an anchor."""
    if anchor.speed == 1.0:
        ahead_ns = anchor.wall_ns - anchor.mono_ns
        return lambda: mono_ns() + ahead_ns
    return lambda: anchor.wall_ns + int((mono_ns() - anchor.mono_ns) * anchor.speed)

"""How full the disk is, and what recording still does at that level.

Nothing that is only here is ever deleted to make room: what is recorded waits for the compactor and the uploader, which
go on and free space, the uploader also by pruning archives that a bucket keeps. A level is entered at its mark and left
only a fifth above it, so that recording does not flap.
"""

from dataclasses import dataclass
from enum import IntEnum

from observer.store.filesystem import Space

_LEAVE = 1.2


class Level(IntEnum):
    """From roomy to full; each includes what the ones before it say."""

    OK = 0
    WARN = 1  # say so
    NO_RAW = 2  # raw frames are no longer kept
    STOPPED = 3  # nothing is


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Below how much free space each level begins.

    Attributes:
        warn_frac, no_raw_frac, stop_frac: of the whole disk.
        stop_bytes: recording stops below this too.
    """

    warn_frac: float = 0.20
    no_raw_frac: float = 0.10
    stop_frac: float = 0.05
    stop_bytes: int = 512 << 20

    def level(self, space: Space, before: Level = Level.OK) -> Level:
        """The level now, given the one before."""
        entered = self._plain(space, 1.0)
        return entered if entered >= before else min(before, self._plain(space, _LEAVE))

    def _plain(self, space: Space, factor: float) -> Level:
        free = space.free_bytes
        if free < factor * max(self.stop_frac * space.total_bytes, self.stop_bytes):
            return Level.STOPPED
        if free < factor * self.no_raw_frac * space.total_bytes:
            return Level.NO_RAW
        if free < factor * self.warn_frac * space.total_bytes:
            return Level.WARN
        return Level.OK

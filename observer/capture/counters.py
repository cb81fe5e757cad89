"""What the recorder counts. Names come from outside, so every table of them is bounded."""

from collections import Counter, deque
from dataclasses import dataclass, field

from observer.kit.clock import NS_PER_MS

_MAX_NAMES = 200
_LATENESS_TICKS = 2400  # twenty minutes


def count(table: Counter[str], name: str, n: int = 1) -> None:
    """Count `name`, or "other" once the table is full: a venue cannot make it grow for ever."""
    table[name if name in table or len(table) < _MAX_NAMES else "other"] += n


@dataclass
class VenueCounters:
    """What one venue has sent and cost since the start."""

    messages: int = 0
    payload_bytes: int = 0
    events: int = 0
    gaps: int = 0
    reconnects: int = 0
    last_data_ns: int = 0
    lag_ms: float = 0.0  # receive time minus venue time, smoothed
    refused: Counter[str] = field(default_factory=Counter[str])
    unknown: Counter[str] = field(default_factory=Counter[str])
    closed: Counter[str] = field(default_factory=Counter[str])


@dataclass
class Counters:
    """All that is counted."""

    venues: dict[str, VenueCounters] = field(default_factory=dict[str, VenueCounters])
    ticks: int = 0
    tick_rows: int = 0
    clock_steps: int = 0
    late_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_LATENESS_TICKS))

    def of(self, venue: str) -> VenueCounters:
        """The counters of one venue."""
        if venue not in self.venues:
            self.venues[venue] = VenueCounters()
        return self.venues[venue]

    def lateness_ms(self, quantile: float) -> float:
        """Quantile of the last ticks' lateness, milliseconds; 0 before the first tick."""
        late = sorted(self.late_ns)
        return late[min(len(late) - 1, int(quantile * len(late)))] / NS_PER_MS if late else 0.0

"""What a live recording counts, per file of the raw archive, so that a report need not read the frames again.

Counts are nested tables of numbers and add up over files. Lateness is kept as a histogram with steps of 5 %, from which
a quantile can be told without every tick.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from observer.kit.clock import NS_PER_MS
from observer.store.batch import ClockStep, Disconnected, Dropped, GapSeen, Lateness, Note, OutcomeSeen, Quarantined

Counts = dict[str, Any]
_STEP = math.log(1.05)
_US = 1_000


def count(counts: Counts, *path: str, n: int = 1) -> None:
    """Add `n` under a path of names."""
    for name in path[:-1]:
        counts = counts.setdefault(name, {})
    counts[path[-1]] = counts.get(path[-1], 0) + n


def count_note(counts: Counts, note: Note) -> None:
    """Count what one note says."""
    if isinstance(note, Disconnected):
        count(counts, "closed_on_purpose" if note.planned else "closed", note.reason)
    elif isinstance(note, GapSeen):
        count(counts, "gaps", note.reason, "spans")
        count(counts, "gaps", note.reason, "ns", n=max(0, note.end_ns - note.start_ns))
    elif isinstance(note, Dropped):
        count(counts, "dropped", note.reason, note.what, n=note.rows)
    elif isinstance(note, ClockStep):
        count(counts, "clock_steps")
    elif isinstance(note, Quarantined):
        count(counts, "refused", note.reason)
    elif isinstance(note, OutcomeSeen):
        count(counts, "outcomes")
    elif isinstance(note, Lateness):
        count(counts, "late_ticks", str(_bucket(note.late_ns)))


def summed(tables: Iterable[Mapping[str, Any]]) -> Counts:
    """Add up tables of counts."""
    total: Counts = {}
    for table in tables:
        _add(total, table)
    return total


def lateness_ms(histogram: Mapping[str, int], quantile: float) -> float:
    """Quantile of the ticks' lateness, milliseconds, at most 5 % too high; NaN without a tick."""
    rank = math.ceil(quantile * sum(histogram.values()))
    seen = 0
    for bucket, n in sorted((int(name), n) for name, n in histogram.items()):
        seen += n
        if seen >= rank:
            return math.expm1(bucket * _STEP) * _US / NS_PER_MS
    return math.nan


def _bucket(late_ns: int) -> int:
    """The first step that is not below the lateness."""
    return math.ceil(math.log1p(max(0, late_ns) / _US) / _STEP)


def _add(total: Counts, table: Mapping[str, Any]) -> None:
    for name, value in table.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value

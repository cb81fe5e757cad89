"""What is missing while the disk is full, and how the first batch afterwards says so."""

from observer.store.batch import Batch, Dropped, GapSeen, Lateness, Note, Quarantined
from observer.store.shedding import event_span, raw_span

DISK_FULL = "disk full"
MAX_CARRIED = 10_000  # notes kept while nothing can be written


class Pause:
    """Counts what a pause leaves out and keeps what was noted meanwhile."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {"raw": 0, "events": 0, "ticks": 0, "notes": 0}  # over the whole run
        self.clear()

    def clear(self) -> None:
        """The pause is over and was told."""
        self._missing: dict[str, tuple[int, int, int]] = {}  # kind -> rows, first ns, last ns
        self._span: tuple[int, int] | None = None
        self._carried: list[Note] = []

    def skip(self, batch: Batch, last_written_ns: int) -> None:
        """Leave a batch out; `last_written_ns` is the wall time of the last one on the disk, 0 if there is none."""
        start_ns = (last_written_ns or batch.wall_ns) if self._span is None else self._span[0]
        self._span = start_ns, batch.wall_ns
        if batch.raws:
            self._count("raw", len(batch.raws), *raw_span(batch.raws))
        if batch.events:
            self._count("events", len(batch.events), *event_span(batch.events))
        if batch.ticks:
            self._count("ticks", len(batch.ticks), batch.ticks[0][1], batch.ticks[-1][1])
        told = [note for note in batch.notes if not isinstance(note, Lateness | Quarantined)]
        room = MAX_CARRIED - len(self._carried)
        self._carried += told[:room]
        if len(told) > room:
            self._count("notes", len(told) - room, batch.wall_ns, batch.wall_ns)

    def notes(self) -> list[Note]:
        """The gap, the counts, and everything that was noted meanwhile; nothing where nothing is missing."""
        if self._span is None:
            return []
        gap = GapSeen(-1, "", *self._span, DISK_FULL)
        counts = [Dropped(kind, *numbers, DISK_FULL) for kind, numbers in self._missing.items()]
        return [gap, *counts, *self._carried]

    def _count(self, kind: str, rows: int, start_ns: int, end_ns: int) -> None:
        known, first_ns, _ = self._missing.get(kind, (0, start_ns, 0))
        self._missing[kind] = known + rows, first_ns, end_ns
        self.rows[kind] += rows

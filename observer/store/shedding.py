"""Leaving out part of a batch, openly: what goes is counted in a `Dropped` note in the same batch.

Raw frames go first, because everything else was read from them; then events; ticks and notes never.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from observer.store.batch import BOOK, Batch, Dropped, Fetched, Note, Quarantined

# Rough bytes of memory per item, beside the payloads: Python's tuples and integers.
_RAW, _EVENT, _LEVEL, _TICK, _NOTE = 150, 350, 130, 3_000, 300
_payload_of = itemgetter(2)


def raw_memory_bytes(batch: Batch) -> int:
    """About what the raw frames of a batch take in memory."""
    return sum(map(len, map(_payload_of, batch.raws))) + _RAW * len(batch.raws)


def event_memory_bytes(batch: Batch) -> int:
    """About what the events of a batch take in memory."""
    levels = sum([len(event[6]) + len(event[7]) for event in batch.events if event[0] == BOOK])
    return _EVENT * len(batch.events) + _LEVEL * levels


def other_memory_bytes(batch: Batch) -> int:
    """About what the ticks and notes of a batch take in memory."""
    return _TICK * len(batch.ticks) + _NOTE * len(batch.notes)


def shed_raw(batch: Batch, reason: str) -> None:
    """Leave the raw frames out. Notes about refused frames stay, their `frame_index` becomes -1; `Fetched` go too."""
    if batch.raws:
        start_ns, end_ns = raw_span(batch.raws)
        dropped = Dropped("raw", len(batch.raws), start_ns, end_ns, reason)
        kept = (note for note in batch.notes if not isinstance(note, Fetched))
        batch.notes = [*(_without_frame(note) for note in kept), dropped]
        batch.raws = []


def shed_events(batch: Batch, reason: str) -> None:
    """Leave the events out: until a book's next BOOK event nobody can say what is in it."""
    if batch.events:
        start_ns, end_ns = event_span(batch.events)
        batch.notes = [*batch.notes, Dropped("events", len(batch.events), start_ns, end_ns, reason)]
        batch.events = []


def raw_span(raws: Sequence[tuple[int, int, bytes]]) -> tuple[int, int]:
    """`recv_ns` of the first and the last frame."""
    return raws[0][1], raws[-1][1]


def event_span(events: Sequence[Any]) -> tuple[int, int]:
    """`recv_ns` of the first and the last event."""
    return events[0][3], events[-1][3]


def _without_frame(note: Note) -> Note:
    return Quarantined(-1, note.conn, note.reason) if isinstance(note, Quarantined) else note

"""One segment's frames and notes, split into raw files by venue and hour.

Notes that name things are repeated at the start of each file, so each can be read alone. A frame stays where it was in
the order of arrival; a note goes before the first frame that came after it.
"""

from collections.abc import Callable, Iterator
from heapq import merge
from pathlib import Path
from typing import NamedTuple

from observer.compact.names import Names
from observer.compact.raw import SUFFIX, Frame, RawWriter
from observer.compact.tally import Counts, count, count_note
from observer.store.archive import ArchivedFile, entry_of
from observer.store.batch import (
    Batch,
    ClockStep,
    Connected,
    Denied,
    Disconnected,
    Dropped,
    Fetched,
    GapSeen,
    Lateness,
    MarketChanged,
    MarketEnded,
    Note,
    OutcomeSeen,
    Quarantined,
)
from observer.store.manifest import HOUR_NS, partition_of
from observer.store.segment import SegmentHeader

_BEFORE, _FRAME, _AFTER = range(3)  # at the same time: what begins, the frame, what ends
_ANY_TIME = -(2**63)  # of a note that only names something


class RawFile(NamedTuple):
    """A file in the making and what it counts."""

    writer: RawWriter
    counts: Counts


class RawSplitter:
    """Takes the batches of one segment and writes its raw files.

    Args:
        segment: which segment.
        folder: for the files in the making.
        is_archived: whether a partition has this segment's file already.
    """

    def __init__(self, segment: SegmentHeader, folder: Path, is_archived: Callable[[str], bool]) -> None:
        self._segment, self._folder, self._is_archived = segment, folder, is_archived
        self._names = Names()
        self._files: dict[str, RawFile] = {}
        self._of_hour: dict[tuple[str, int], RawFile | None] = {}

    def take(self, batch: Batch) -> None:
        """Write what a batch holds."""
        refused: dict[int, list[str]] = {}
        fetched: dict[int, int] = {}
        for note in batch.notes:
            if isinstance(note, Quarantined):
                refused.setdefault(note.frame_index, []).append(note.reason)
            elif isinstance(note, Fetched):
                fetched[note.frame_index] = note.ins
        for at_ns, _, index, note in merge(_frames(batch), _told(batch)):
            if note is None:
                conn, recv_ns, payload = batch.raws[index]
                self._frame(Frame(recv_ns, conn, payload, "; ".join(refused.get(index, ())), fetched.get(index, -1)))
            else:
                self._note(note, at_ns)

    def close(self) -> Iterator[tuple[str, Path, ArchivedFile]]:
        """End the files: (partition, temporary file, entry) of each."""
        for partition, (writer, counts) in self._files.items():
            writer.close()
            counts |= {"frames": writer.frames, "payload_bytes": writer.payload_bytes}
            yield partition, writer.path, entry_of(writer.path, writer.frames, writer.min_ns, writer.max_ns, counts)

    def _frame(self, frame: Frame) -> None:
        file = self._file(self._names.venue_of_connection(frame.conn), frame.recv_ns)
        if file is not None:
            file.writer.frame(frame)
            if frame.refused:
                count(file.counts, "refused", frame.refused)

    def _note(self, note: Note, at_ns: int) -> None:
        is_name = self._names.learn(note)
        venue = self._names.venue_of(note)
        if at_ns == _ANY_TIME:
            for writer, _ in self._files.values():
                if writer.venue == venue:
                    writer.note(note, None)
            return
        file = self._file(venue, at_ns, begins=not is_name)
        if file is not None:
            file.writer.note(note, at_ns)
            count_note(file.counts, note)
        if isinstance(note, Disconnected):
            self._names.forget(note.conn)

    def _file(self, venue: str, at_ns: int, *, begins: bool = True) -> RawFile | None:
        """The file of a venue's hour, begun if need be; None where it is archived, or not begun and not to be."""
        hour = (venue, at_ns // HOUR_NS)
        if hour not in self._of_hour:
            partition = partition_of(venue, at_ns)
            if self._is_archived(partition):
                self._of_hour[hour] = None
            elif begins:
                self._of_hour[hour] = self._files[partition] = self._begun(venue)
        return self._of_hour.get(hour)

    def _begun(self, venue: str) -> RawFile:
        path = self._folder / f"{self._segment.segment_id}-{len(self._files)}{SUFFIX}"
        writer = RawWriter(path, venue, self._segment)
        for name in self._names.alive(venue):
            writer.note(name, None)
        return RawFile(writer, {})


_Step = tuple[int, int, int, Note | None]


def _frames(batch: Batch) -> Iterator[_Step]:
    for index, raw in enumerate(batch.raws):
        yield raw[1], _FRAME, index, None


def _told(batch: Batch) -> list[_Step]:
    """A batch's notes in order of time; those that have none come first. Refusals of kept frames are told with them."""
    steps: list[_Step] = []
    for index, note in enumerate(batch.notes):
        if not isinstance(note, Fetched) and (not isinstance(note, Quarantined) or note.frame_index < 0):
            at_ns = _time_of(note, batch)
            is_first = at_ns == _ANY_TIME or isinstance(note, Connected)
            steps.append((at_ns, _BEFORE if is_first else _AFTER, index, note))
    return sorted(steps, key=lambda step: step[:3])


def _time_of(note: Note, batch: Batch) -> int:
    if isinstance(note, Quarantined):
        return batch.wall_ns  # its frame was left out
    at_ns = time_of(note)
    return _ANY_TIME if at_ns is None else at_ns


def time_of(note: Note) -> int | None:
    """When a note was true; None for one that only names something, or is about another record."""
    if isinstance(note, Connected | Disconnected | MarketChanged | MarketEnded | ClockStep | OutcomeSeen | Denied):
        return note.at_ns
    if isinstance(note, Dropped) and note.what == "raw":  # nothing can be read on from there
        return note.start_ns
    if isinstance(note, GapSeen | Dropped):
        return note.end_ns
    return note.tick_ns if isinstance(note, Lateness) else None

"""The compactor: from sealed segments to archives and windows, in steps that may be stopped and repeated anywhere.

For each sealed segment, in order:

    1  read it once: raw files, files of events and its harvest (what windows need, held in memory)
    2  files into place, then their manifests, then the archive's index
    3  windows that have closed, reference prices, gaps and outcomes into the recording, all or nothing
    4  delete the segment, once nothing in it is still needed

No step needs to know that an earlier one was done: names follow from the segment, what is there is not written again,
and a segment is there until everything made from it is on the disk.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from observer.compact.books import BookStates
from observer.compact.events import SUFFIX as EVENTS_SUFFIX
from observer.compact.events import EventSplitter
from observer.compact.harvest import Harvest, Harvester
from observer.compact.names import Names
from observer.compact.pending import Pending
from observer.compact.raw import SUFFIX as RAW_SUFFIX
from observer.compact.runs import Run, read_runs
from observer.compact.split import RawSplitter
from observer.compact.tables import Written, write_tables
from observer.kit.console import say
from observer.kit.errors import BadRecording, UsageError
from observer.store.archive import EVENTS, RAW, Archive
from observer.store.files import FolderLock, flush
from observer.store.recovery import BAD
from observer.store.segment import SegmentHeader, read_header, read_segment

PRIVATE = ".compact"  # the compactor's own folder: its lock, files in the making, states of books
_AT_ONCE = 16  # segments read before what they hold is written, when many have waited


@dataclass
class Summary:
    """What one pass did, and what still waits.

    Attributes:
        segments: read. deleted: no longer needed. damaged: set aside.
        windows, ticks: written. empty: windows without a usable tick.
        outcomes, gaps: written.
        refused: rows, prices and outcomes that were left out.
        waiting: windows that have not closed yet, or whose ticks are not sealed yet; `next_close_ns` of the first.
        held: segments kept for them. open: segments not sealed.
    """

    segments: int = 0
    deleted: int = 0
    damaged: list[str] = field(default_factory=list)
    windows: int = 0
    ticks: int = 0
    empty: int = 0
    outcomes: int = 0
    gaps: int = 0
    refused: int = 0
    waiting: int = 0
    next_close_ns: int = 0
    held: int = 0
    open: int = 0


class Compactor:
    """Compacts the recording at `root`, pass after pass; keeps between passes what waits for windows to close."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"{root} is no folder. Pass --local-dir the folder that the recorder writes to.")
        self.root = root
        self._private = root / PRIVATE
        self._books = BookStates(self._private / "books")
        self._archives = {name: Archive(root, name) for name in (RAW, EVENTS)}
        self._pending = Pending()

    def run_once(self, now_ns: int) -> Summary:
        """One pass over everything that is sealed.

        Args:
            now_ns: the time; a window that no running recorder will add to is written once it has passed.

        Raises:
            UsageError: another compactor is at work, or somebody else writes to the recording.
            BadRecording: the recording itself is damaged.
        """
        self._private.mkdir(exist_ok=True)
        lock = FolderLock(self._private)
        try:
            lock.take()
        except UsageError as error:
            raise UsageError(
                f"{self.root} is being compacted by another process, most likely the recorder's own. It needs no help."
            ) from error
        try:
            return self._run(now_ns)
        finally:
            lock.release()

    def _run(self, now_ns: int) -> Summary:
        done = Summary()
        while True:
            runs = read_runs(self.root)
            self._pending.forget_missing(runs)
            new = list(islice(self._new(runs), _AT_ONCE))
            for path in new:
                self._take(path, done)
            self._pending.see(runs, now_ns)
            if self._pending.is_due():
                self._tell(done, write_tables(self.root, self._pending))
            for harvest in self._pending.finished():
                self._drop(harvest, done)
            if len(new) < _AT_ONCE:
                break
        self._books.keep_runs({run.run_id for run in runs})
        done.held = len(self._pending.harvests)
        done.open = sum(run.open for run in runs)
        done.waiting, done.next_close_ns = self._pending.waiting()
        return done

    def _take(self, path: Path, done: Summary) -> None:
        """Read a new segment; one that does not even say what it is goes aside at once."""
        try:
            header = read_header(path)
        except BadRecording as error:
            self._set_aside(path, str(error), done)
            return
        self._pending.add(self._read(path, header))
        done.segments += 1

    def _new(self, runs: list[Run]) -> Iterator[Path]:
        return (path for run in runs for path in run.segments if path not in self._pending.harvests)

    def _read(self, path: Path, header: SegmentHeader) -> Harvest:
        """Read a segment once; when this returns its archives are on the disk."""
        making = self._private / "making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        raw, events = self._archives[RAW], self._archives[EVENTS]
        name = header.segment_id
        frames = RawSplitter(header, making, lambda where: raw.holds(where, name + RAW_SUFFIX))
        rows = EventSplitter(header, making, lambda where: events.holds(where, name + EVENTS_SUFFIX))
        harvester = Harvester(path, header, self._books.before(header.run_id, header.first_batch))
        names, flaw = Names(), ""
        try:
            for batch in read_segment(path):
                for note in batch.notes:
                    names.learn(note)
                frames.take(batch)
                rows.take(batch, names)
                harvester.take(batch, names)
        except BadRecording as error:
            flaw = str(error)
        for archive, made, suffix in ((raw, frames.close(), RAW_SUFFIX), (events, rows.close(), EVENTS_SUFFIX)):
            for where, temporary, entry in made:
                archive.add(where, name + suffix, temporary, entry)
            archive.commit()
        harvest = harvester.close(names, flaw)
        self._books.after(header.run_id, harvest.next_batch, is_whole=not flaw)
        return harvest

    def _tell(self, done: Summary, found: Written) -> None:
        done.windows += found.windows
        done.ticks += found.ticks
        done.empty += found.empty
        done.outcomes += found.outcomes
        done.gaps += found.gaps
        done.refused += found.refused

    def _drop(self, harvest: Harvest, done: Summary) -> None:
        """Everything made from a segment is on the disk: delete it, or set it aside where it was damaged."""
        self._books.save(harvest.run_id, harvest.next_batch)
        if harvest.flaw:
            self._set_aside(harvest.path, harvest.flaw, done)
        else:
            harvest.path.unlink()
            flush(harvest.path.parent)
            done.deleted += 1
        self._books.remove(harvest.run_id, harvest.header.first_batch)
        self._pending.drop(harvest)

    def _set_aside(self, path: Path, flaw: str, done: Summary) -> None:
        """Keep a damaged segment out of the way."""
        bad = path.parent.parent / BAD
        bad.mkdir(exist_ok=True)
        path.replace(bad / path.name)
        for folder in (bad, path.parent):
            flush(folder)
        done.damaged.append(path.name)
        say(f"set aside in {bad}, what was whole before the damage is kept: {flaw}")


def compact(root: Path, now_ns: int) -> Summary:
    """One pass by itself; see `Compactor.run_once`."""
    return Compactor(root).run_once(now_ns)

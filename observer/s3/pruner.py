"""Freeing the disk: raw frames and events that the bucket keeps are deleted here, the oldest first.

A file goes when the ledger knows it as sent, the newest index of the bucket names it with this hash, and the object is
there now with these bytes, by the store's own SHA-256 or by reading it back. It goes when it has lain here for the keep
time, or earlier where the disk runs low: before recording would have to pause. What is not yet in the bucket stays,
whatever the disk says. Manifests and indexes stay too, and the record of what went is on the disk before the first file
goes (`observer.store.pruned`), so a kill at any point leaves a recording that explains itself.
"""

import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from observer.kit.errors import BadRecording, ToolkitError
from observer.s3.address import Address
from observer.s3.courier import Courier
from observer.s3.dispatch import outcomes
from observer.s3.folder import signature
from observer.s3.layout import Entry, group_of, is_archive, is_manifest, partition_of
from observer.s3.ledger import Ledger
from observer.s3.publisher import Publisher
from observer.store.files import flush
from observer.store.filesystem import REAL, Space
from observer.store.pruned import Pruned, note_pruned, read_pruned
from observer.store.watermarks import Level, Watermarks

EVERY_S = 60.0
_AT_ONCE = 64  # files of one pass, so that uploads are not held up
_WORKERS = 4


@dataclass
class Pruning:
    """What one pass did.

    Attributes:
        files, bytes: deleted here.
        wrong: files that the bucket ought to hold and does not; they are still here.
        failure: why others could not be looked at.
    """

    files: int = 0
    bytes: int = 0
    wrong: list[Entry] = field(default_factory=list)
    failure: ToolkitError | None = None


class Pruner:
    """Prunes one data folder that is uploaded to one address.

    Args:
        root: the data folder.
        address: the bucket and prefix, for the record.
        keep_s: how long a file stays, from when it was written here (or brought back here).
        marks: what a filling disk is.
    """

    def __init__(self, root: Path, address: Address, keep_s: float, marks: Watermarks | None = None) -> None:
        self._root, self._address, self._keep_s = root, address, keep_s
        self._marks = marks or Watermarks()
        self._next_s = float("-inf")

    def is_due(self) -> bool:
        """Whether it is time for a pass."""
        return time.monotonic() >= self._next_s

    def prune(
        self, entries: Iterable[Entry], ledger: Ledger, courier: Courier, publisher: Publisher, pool: Executor
    ) -> Pruning:
        """One pass over what the folder's manifests list.

        Raises:
            StoreError: the newest index cannot be asked for; nothing was deleted.
            BadRecording: the newest index cannot be read; nothing was deleted.
        """
        done = Pruning()
        waiting = self._waiting(entries, ledger)
        chosen = self._chosen(waiting, publisher) if waiting else []
        self._next_s = time.monotonic() + (EVERY_S if len(chosen) < _AT_ONCE else 0.0)
        verified: list[Entry] = []
        for lot in outcomes(pool, courier.holds, chosen, _WORKERS):
            for entry, outcome in lot:
                if isinstance(outcome, ToolkitError):
                    done.failure = outcome
                else:
                    (verified if outcome else done.wrong).append(entry)
        for folder in sorted({partition_of(entry.path) for entry in verified}):
            self._delete(folder, [entry for entry in verified if partition_of(entry.path) == folder], done)
        return done

    def _waiting(self, entries: Iterable[Entry], ledger: Ledger) -> list[tuple[float, Entry]]:
        """What may go as far as is known here, with the time it was written, oldest first; a damaged file may not."""
        found: list[tuple[float, Entry]] = []
        for entry in entries:
            if is_archive(entry.path) and not is_manifest(entry.path):
                stat = signature(self._root / entry.path)
                if stat is not None and stat[1] == entry.bytes and ledger.copy_of(entry.path, entry.sha256) is not None:
                    found.append((stat[0] / 1e9, entry))
        return sorted(found, key=lambda one: (one[0], one[1].path))

    def _chosen(self, waiting: list[tuple[float, Entry]], publisher: Publisher) -> list[Entry]:
        """The oldest that are due and published, as the bucket's newest index names them."""
        now_s, space, freed = time.time(), REAL.space(self._root), 0
        if now_s - waiting[0][0] < self._keep_s and not self._is_short(space, 0):
            return []
        publisher.learn()
        named: dict[str, dict[str, Entry]] = {}
        chosen: list[Entry] = []
        for written_s, entry in waiting:
            if len(chosen) == _AT_ONCE or (now_s - written_s < self._keep_s and not self._is_short(space, freed)):
                break
            group = group_of(entry.path)
            if group not in named:
                named[group] = {one.path: one for one in publisher.files_of(group)}
            published = named[group].get(entry.path)
            if published is not None and published.sha256 == entry.sha256 and self._has_record(entry):
                chosen.append(published)
                freed += entry.bytes
        return chosen

    def _is_short(self, space: Space, freed: int) -> bool:
        """Whether the disk is at its warning level, or has not left it yet."""
        then = Space(space.total_bytes, space.free_bytes + freed)
        return self._marks.level(then, Level.WARN) is not Level.OK

    def _has_record(self, entry: Entry) -> bool:
        """Whether the hour's record can be added to; a damaged one is `data verify`'s to tell."""
        try:
            read_pruned(self._root / partition_of(entry.path))
        except BadRecording:
            return False
        return True

    def _delete(self, partition: str, entries: list[Entry], done: Pruning) -> None:
        """Record these files of one hour, then delete them."""
        folder = self._root / partition
        note_pruned(folder, {Path(e.path).name: Pruned(e.sha256, str(self._address)) for e in entries})
        for entry in entries:
            (self._root / entry.path).unlink(missing_ok=True)
            done.files += 1
            done.bytes += entry.bytes
        flush(folder)

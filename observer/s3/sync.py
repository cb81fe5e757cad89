"""Bringing a recording down from a bucket: only what is missing, every byte verified, at any time again.

The newest index names everything by hash. Files that are here with the right bytes are kept; the others are fetched
under temporary names and take their own once their hash is right. Manifests and indexes come last, under the marker
of an unfinished commit, so a recording that was cut short says so, and the next run completes it.

Raw frames and events are most of a recording's bytes. They may be left in the bucket: then their manifests come, with
the record of where the files are (`observer.store.pruned`), and a recorder goes on from there.
"""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from observer.kit.console import Progress
from observer.kit.errors import BadRecording, ToolkitError
from observer.s3.address import content_key
from observer.s3.bucket import Bucket
from observer.s3.dispatch import outcomes
from observer.s3.errors import OtherRecording, StoreError
from observer.s3.layout import (
    ARCHIVE_INDEX,
    ARCHIVES,
    COMMITTING,
    INDEX,
    Entry,
    check_path,
    is_archive,
    is_manifest,
    partition_of,
    unheld,
)
from observer.s3.local import entries_below, index_bytes, unlisted_parts
from observer.s3.published import Published, find_newest, read_list
from observer.store.files import FolderLock, flush, flush_all, sha256_of, write_whole
from observer.store.pruned import Pruned, note_pruned

Archives = Literal["whole", "listed", "none"]
WORKERS = 8
_READS = 3


@dataclass
class Synced:
    """What a sync did.

    Attributes:
        dataset_id: of the recording, "" where there are only archives.
        files, bytes: of the recording, as far as it was wanted.
        fetched_files, fetched_bytes: what was missing here.
        damaged: path -> what was wrong with it before it could be uploaded; it is not here.
    """

    dataset_id: str
    files: int
    bytes: int
    fetched_files: int = 0
    fetched_bytes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def newest_index(bucket: Bucket) -> Published:
    """The index to follow; raises `BadRecording` where there is none."""
    published, _ = find_newest(bucket)
    if published is None:
        raise BadRecording(
            f"{bucket.address} at {bucket.endpoint} holds no recording (index/ is empty). Check bucket, prefix and "
            "endpoint; an uploader publishes its first index once everything else is there."
        )
    return published


def is_fresh(root: Path) -> bool:
    """Whether nothing was recorded into a folder; one that a sync was bringing down still counts as fresh."""
    if any(root.glob("spool/*/wal/*")):
        return False
    indexes = (root / INDEX, *(root / top / ARCHIVE_INDEX for top in ARCHIVES))
    return (root / COMMITTING).exists() or not any(path.exists() for path in indexes)


def sync(
    bucket: Bucket, root: Path, published: Published, *, archives: Archives = "whole", seed: Path | None = None
) -> Synced:
    """Make `root` hold what an index names.

    Args:
        bucket: where from.
        root: data folder, made if it does not exist.
        published: the index.
        archives: bring raw frames and events too, or their manifests with a record of where the files are, or neither.
        seed: another folder whose files are linked, where they are the same, instead of being fetched.

    Raises:
        BadRecording: wrong bytes lie in the bucket; all else was fetched.
        OtherRecording: the folder holds recorded data that the bucket lacks.
        StoreError: the store does not answer; what was fetched stays, and the next run goes on from there.
    """
    named = [
        entry
        for group, listed in published.lists.items()
        if archives != "none" or not group.startswith("archive-")
        for entry in read_list(bucket, group, listed)
    ]
    left = [e for e in named if archives == "listed" and is_archive(e.path) and not is_manifest(e.path)]
    is_left = {entry.path for entry in left}
    entries = [entry for entry in named if entry.path not in is_left]
    root.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(root)
    lock.take()
    try:
        _refuse_other(bucket, root, named, published, with_archives=archives != "none")
        indexes = index_bytes(published, entries)
        done = Synced(published.dataset_id, len(entries), sum(entry.bytes for entry in entries))
        done.damaged = {
            path: why for path, (_, why) in published.damaged.items() if archives != "none" or not is_archive(path)
        }
        _Fetch(bucket, root, seed, done).run(entries)
        _note_left(root, left, str(bucket.address))
        _commit(root, entries, indexes, published)
        return done
    finally:
        lock.release()


def _refuse_other(
    bucket: Bucket, root: Path, entries: list[Entry], published: Published, *, with_archives: bool
) -> None:
    """Raise `OtherRecording` where the folder holds data that the bucket does not name."""
    named = {entry.path: entry for entry in entries}
    for path, (sha256, _) in published.damaged.items():
        named.setdefault(path, Entry(check_path(path), sha256, 0))
    lacking = unheld(named, entries_below(root), with_archives=with_archives)
    if lacking:
        raise OtherRecording(
            f"{root} holds recorded data that {bucket.address} lacks: {len(lacking)} files, the first is {lacking[0]}. "
            "Nothing was changed. Sync into an empty folder, or upload this one to a prefix of its own."
        )


def _note_left(root: Path, left: list[Entry], address: str) -> None:
    """Record, hour by hour, which archive files stay in the bucket."""
    hours: dict[str, dict[str, Pruned]] = {}
    for entry in left:
        hours.setdefault(partition_of(entry.path), {})[Path(entry.path).name] = Pruned(entry.sha256, address)
    for folder, files in hours.items():
        note_pruned(root / folder, files)


class _Fetch:
    """Brings files that are not here; manifests wait under their temporary names for the commit."""

    def __init__(self, bucket: Bucket, root: Path, seed: Path | None, done: Synced) -> None:
        self.bucket, self.root, self.seed, self.done = bucket, root, seed, done

    def run(self, entries: list[Entry]) -> None:
        progress = Progress("sync", len(entries))
        pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="sync")
        failures: list[ToolkitError] = []
        looked_at = 0
        try:
            for lot in outcomes(pool, self._bring, entries, WORKERS):
                for entry, outcome in lot:
                    looked_at += 1
                    if isinstance(outcome, ToolkitError):
                        failures.append(outcome)
                    elif outcome:
                        self.done.fetched_files += 1
                        self.done.fetched_bytes += entry.bytes
                progress.update(looked_at)
        finally:
            pool.shutdown(cancel_futures=True)
        if failures:
            raise failures[-1]

    def _bring(self, entry: Entry) -> bool:
        """Make sure that one file is here; returns whether it had to be fetched."""
        path = self.root / entry.path
        if _is_same(path, entry):
            arriving(path).unlink(missing_ok=True)  # of a sync that followed another index and broke off
            return False
        target = arriving(path) if is_manifest(entry.path) else path
        if target != path and _is_same(target, entry):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        if self.seed is not None and _is_same(self.seed / entry.path, entry):
            part.unlink(missing_ok=True)
            try:
                os.link(self.seed / entry.path, part)
            except OSError:  # a file system without hard links
                shutil.copyfile(self.seed / entry.path, part)
            part.replace(target)
            return False
        self._download(entry, part)
        flush(part)
        part.replace(target)
        return True

    def _download(self, entry: Entry, part: Path) -> None:
        key = content_key(entry.path, entry.sha256, entry.copy)
        failure: ToolkitError | None = None
        for _ in range(_READS):
            digest = hashlib.sha256()
            try:
                with part.open("wb") as file:
                    for block in self.bucket.read(key):
                        digest.update(block)
                        file.write(block)
            except StoreError as error:
                if error.status:
                    raise
                failure = error
                continue
            if digest.hexdigest() == entry.sha256:
                return
            failure = BadRecording(
                f"{self.bucket.address}/{key} is not what the index names: its SHA-256 differs, {_READS} times read. "
                "Restore an older version of it, or upload the recording again."
            )
        part.unlink(missing_ok=True)
        raise failure or AssertionError(key)


def arriving(manifest: Path) -> Path:
    """The name under which a fetched manifest waits for the others."""
    return manifest.with_name(f".{manifest.name}.new")


def _is_same(path: Path, entry: Entry) -> bool:
    try:
        return path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256
    except FileNotFoundError:
        return False


def _commit(root: Path, entries: list[Entry], indexes: dict[str, bytes], published: Published) -> None:
    """Put manifests and indexes in place, and drop what the old ones listed."""
    manifests = [root / entry.path for entry in entries if is_manifest(entry.path)]
    new = [path for path in manifests if arriving(path).exists()]
    changed = {name: raw for name, raw in indexes.items() if not _holds(root / name, raw)}
    if not (new or changed or (root / COMMITTING).exists()):
        return
    write_whole(root / COMMITTING, b"")
    folders = {path.parent for path in new}
    flush_all(folders)
    for path in new:
        arriving(path).replace(path)
    flush_all(folders)
    for name, raw in changed.items():
        write_whole(root / name, raw)
    for path in unlisted_parts(root, entries, published.damaged):
        path.unlink()
    (root / COMMITTING).unlink()
    flush(root)


def _holds(path: Path, raw: bytes) -> bool:
    return path.is_file() and path.read_bytes() == raw

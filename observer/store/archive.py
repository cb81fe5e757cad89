"""The archives beside the tables, `raw/` and `events/`: files written once, a manifest per hour, an index over hours.

    raw/venue=V/date=YYYY-MM-DD/hour=HH/<segment-id>.zst     events/venue=V/…/<segment-id>.parquet
                                        manifest.json        every file with its hash, size, rows, times, and counts
                                        pruned.json          what is kept in a bucket only (`observer.store.pruned`)
    raw/archive.json, events/archive.json                    every manifest by its hash

They are no part of the dataset id: tables are derived from them. Manifests and indexes carry a hash over themselves.
The order of writing is files, manifest, index; whatever a crash leaves out, the same work done again completes, because
a segment is kept until all three are on the disk.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording
from observer.store.files import flush, sha256_of, write_whole
from observer.store.filesystem import REAL
from observer.store.manifest import MANIFEST
from observer.store.pruned import kept_in_s3
from observer.store.sealed import seal, unseal

FORMAT = "mlx-rl-archive/1"
INDEX = "archive.json"
RAW, EVENTS = "raw", "events"
ARCHIVES: dict[str, str] = {RAW: ".zst", EVENTS: ".parquet"}  # folder -> ending of its files


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One closed file.

    Attributes:
        sha256, bytes: of the file.
        rows: frames, or rows of events.
        min_ns, max_ns: first and last time in it, by the recorder's clock.
        counts: what it holds, to be summed over files (`observer.compact.tally`).
    """

    sha256: str
    bytes: int
    rows: int
    min_ns: int
    max_ns: int
    counts: dict[str, Any] = field(default_factory=dict)


Hour = dict[str, ArchivedFile]  # file name -> entry


class Archive:
    """One archive being added to.

    Args:
        root: the recording's folder.
        name: `RAW` or `EVENTS`.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.base = root / name
        self._hours: dict[str, Hour] = {}
        self._changed: set[str] = set()

    def holds(self, partition: str, file: str) -> bool:
        """Whether a file is listed, and there in the listed size or pruned; `BadRecording` on a damaged manifest.

        A segment may outlive the files made from it, while one of its windows is open: what was pruned meanwhile is
        not made again.
        """
        entry = self._hour(partition).get(file)
        if entry is None:
            return False
        folder = self.base / partition
        if kept_in_s3(folder, {file: entry.sha256}):
            return True
        return (folder / file).is_file() and (folder / file).stat().st_size == entry.bytes

    def add(self, partition: str, file: str, temporary: Path, entry: ArchivedFile) -> None:
        """Move a finished file into its place; it counts after `commit`."""
        REAL.make_folder(self.base / partition)
        flush(temporary)
        temporary.replace(self.base / partition / file)
        self._hour(partition)[file] = entry
        self._changed.add(partition)

    def commit(self) -> None:
        """List what was added, and make sure that the index lists every hour that was looked at."""
        for partition in sorted(self._changed):
            flush(self.base / partition)
            write_whole(self.base / partition / MANIFEST, hour_bytes(self._hours[partition]))
        index = read_archive(self.base.parent, self.base.name)
        known = dict(index)
        for partition, hour in self._hours.items():
            if hour:
                index[partition] = hashlib.sha256(hour_bytes(hour)).hexdigest()
        if index != known:
            write_whole(self.base / INDEX, _sealed({"partitions": index}))
        self._hours.clear()
        self._changed.clear()

    def _hour(self, partition: str) -> Hour:
        if partition not in self._hours:
            path = self.base / partition / MANIFEST
            self._hours[partition] = read_hour(path) if path.exists() else {}
        return self._hours[partition]


def read_archive(root: Path, name: str) -> dict[str, str]:
    """Partition -> hash of its manifest's bytes; {} where there is no such archive.

    Raises:
        BadRecording: the index is damaged.
    """
    path = root / name / INDEX
    return dict(_unsealed(path)["partitions"]) if path.exists() else {}


def read_hour(path: Path) -> Hour:
    """The files of one hour.

    Raises:
        BadRecording: the manifest is damaged or missing.
    """
    try:
        return {name: ArchivedFile(**entry) for name, entry in _unsealed(path)["files"].items()}
    except TypeError as error:
        raise BadRecording(f"{path} is not a manifest of an archive ({error}).") from error


def archived_hours(root: Path, name: str) -> dict[str, Hour]:
    """Every hour of an archive, by partition; raises `BadRecording` where a manifest or the index is damaged."""
    return {partition: read_hour(root / name / partition / MANIFEST) for partition in sorted(read_archive(root, name))}


def hour_bytes(hour: Hour) -> bytes:
    """The manifest's file."""
    return _sealed({"rows": sum(e.rows for e in hour.values()), "files": {n: asdict(e) for n, e in hour.items()}})


def entry_of(path: Path, rows: int, min_ns: int, max_ns: int, counts: dict[str, Any]) -> ArchivedFile:
    """The entry of a finished file."""
    return ArchivedFile(sha256_of(path), path.stat().st_size, rows, min_ns, max_ns, counts)


def _sealed(body: dict[str, Any]) -> bytes:
    return seal(body, FORMAT)


def _unsealed(path: Path) -> dict[str, Any]:
    """Read a file that `_sealed` made."""
    if not path.is_file():
        raise BadRecording(f"{path} is missing. Restore it, or compact again: mlx-rl compact --local-dir ...")
    return unseal(path, FORMAT)

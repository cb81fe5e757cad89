"""What of a data folder goes into a bucket, and how a path tells what a file is.

The names are those of `observer.store`, repeated here because importing its schemas brings PyArrow, which neither
needs (a test holds them equal).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from observer.kit.errors import BadRecording

INDEX, MANIFEST, LOGS, COMMITTING, OUTCOMES = "dataset.json", "manifest.json", "imports", ".committing", "outcomes"
# Tables that grow by files which never change; the others' partitions are one file, written anew.
APPENDED = ("book", "reference", "ticks", "trades")
MERGED = ("gaps", "markets", OUTCOMES)
ARCHIVES = ("events", "raw")
ARCHIVE_INDEX, ARCHIVE_FORMAT = "archive.json", "mlx-rl-archive/1"
INDEXES = (INDEX, f"{OUTCOMES}/{INDEX}")
_TOPS = {*APPENDED, *MERGED, *ARCHIVES, LOGS}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as it was sealed: its path below the data folder, its hash, its size, and which of its keys holds it."""

    path: str
    sha256: str
    bytes: int
    copy: int = 1


def top_of(path: str) -> str:
    """The table, archive or folder that a path begins with."""
    return path.partition("/")[0]


def is_manifest(path: str) -> bool:
    """Whether a path is that of a partition's manifest."""
    return path.endswith(f"/{MANIFEST}")


def partition_of(path: str) -> str:
    """The folder a file lies in: its partition."""
    return path.rpartition("/")[0]


def is_archive(path: str) -> bool:
    """Whether a path lies in the archive of raw frames or of events."""
    return top_of(path) in ARCHIVES


def group_of(path: str) -> str:
    """The list a file is named in: the recording's or the archive's, by day."""
    kind = "archive" if is_archive(path) else "recording"
    days = [part.removeprefix("date=") for part in path.split("/") if part.startswith("date=")]
    return f"{kind}-{days[0] if days else 'undated'}"


def check_path(path: str) -> str:
    """Return a path that was read in a manifest or an index, if it stays inside a data folder.

    Raises:
        BadRecording: it points elsewhere.
    """
    parts = path.split("/")
    if parts[0] not in _TOPS or len(parts) < 2 or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise BadRecording(f"{path!r} is no file of a recording. Somebody else wrote that list; use it for nothing.")
    return path


def unheld(ours: dict[str, Entry], theirs: Iterable[Entry], *, with_archives: bool = False) -> list[str]:
    """What stops `ours` from being a later state of `theirs`: tapes, chunks and partitions that `ours` lacks.

    A later state has every file that only grows by others beside it, byte for byte, and every partition of the merged
    tables, whose file may be another. Import logs do not count, archives only if asked for.
    """
    grow = (*APPENDED, *ARCHIVES) if with_archives else APPENDED
    missing: list[str] = []
    for entry in theirs:
        top, found = top_of(entry.path), ours.get(entry.path)
        is_part = top in grow and not is_manifest(entry.path)
        if (is_part and (found is None or found.sha256 != entry.sha256)) or (
            top in MERGED and is_manifest(entry.path) and found is None
        ):
            missing.append(entry.path)
    return missing

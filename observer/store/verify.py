"""Hash everything again: is every byte of a recording still the one that was written?

Walks from the indexes down (`dataset.json`, `outcomes/dataset.json`, and `archive.json` of the raw frames and the
events), so a changed, cut or missing file is named, and so is a file that nobody listed. Sealed segments that wait to
be compacted are checked by their own checksums. Reads bytes only and never looks into an outcome.
"""

from dataclasses import dataclass, field
from pathlib import Path

from observer.kit.errors import BadRecording, UsageError
from observer.store.archive import ARCHIVES, Hour, read_archive, read_hour
from observer.store.archive import INDEX as ARCHIVE_INDEX
from observer.store.files import sha256_of
from observer.store.manifest import (
    COMMITTING,
    INDEX,
    LOGS,
    MANIFEST,
    folder_of,
    read_index,
    read_manifest,
    tables_below,
)
from observer.store.pruned import PRUNED, kept_in_s3, read_pruned
from observer.store.schemas import OUTCOMES, TABLES
from observer.store.segment import SEALED, scan_segment

_SPOOL = "spool"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the file, below the recording's root, and what is wrong with it."""

    path: str
    what: str


@dataclass
class Verdict:
    """What was looked at and what was found.

    Attributes:
        files, bytes: here, hashed again.
        problems: what is wrong with them.
        in_s3_files, in_s3_bytes: archive files that are kept in a bucket only.
        in_s3: the addresses that keep them.
    """

    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    in_s3_files: int = 0
    in_s3_bytes: int = 0
    in_s3: list[str] = field(default_factory=list)


def verify(root: Path | str) -> Verdict:
    """Check every file of the recording at `root`.

    Raises:
        UsageError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"{root} is no folder. Pass --data-dir the folder of a recording.")
    verdict = Verdict()
    if (root / COMMITTING).exists():
        _blame(verdict, root, root / COMMITTING, "an import was cut short; run it again")
    listed: set[Path] = set()
    archives = [name for name in ARCHIVES if (root / name).is_dir()]
    tables = [name for name in (*TABLES, OUTCOMES.name, LOGS) if (root / name).is_dir()]
    if (
        tables or not archives or (root / INDEX).exists()
    ):  # before its first window closes a recording has archives only
        listed |= _check_base(root, root, verdict)
    if (root / OUTCOMES.name).exists():
        listed |= _check_base(root, root / OUTCOMES.name, verdict)
    for name in archives:
        listed |= _check_archive(root, name, verdict)
    for name in (*tables, *archives):
        for path in sorted(path for path in (root / name).rglob("*") if path.is_file()):
            if path not in listed:
                _blame(verdict, root, path, "is listed nowhere: left by a cut-short import, or put there by hand")
    for path in sorted((root / _SPOOL).glob(f"*/*/*{SEALED}")):
        _check_segment(verdict, root, path)
    return verdict


def _check_base(root: Path, base: Path, verdict: Verdict) -> set[Path]:
    """Check what one index lists; return every path that it accounts for."""
    index_path = base / INDEX
    listed = {index_path}
    try:
        index = read_index(base)
    except BadRecording as error:
        _blame(verdict, root, index_path, str(error))
        return listed | {path for path in base.rglob("*") if path.is_file()}  # nothing can be told of the rest
    verdict.files += 1
    verdict.bytes += index_path.stat().st_size
    if index.outcomes:
        _check_file(verdict, root, base / OUTCOMES.name / INDEX, index.outcomes)
    for name, sha256 in index.logs.items():
        listed.add(base / LOGS / name)
        _check_file(verdict, root, base / LOGS / name, sha256)
    for key, sha256 in index.partitions.items():
        folder = folder_of(base, key)
        listed.add(folder / MANIFEST)
        if not _check_file(verdict, root, folder / MANIFEST, sha256):
            listed |= set(folder.glob("part-*.parquet"))  # what they should be is not known
            continue
        try:
            manifest = read_manifest(folder / MANIFEST, tables_below(base)[key.split("/", 1)[0]])
        except BadRecording as error:
            _blame(verdict, root, folder / MANIFEST, str(error))
            listed |= set(folder.glob("part-*.parquet"))
            continue
        for name, entry in manifest.files.items():
            listed.add(folder / name)
            _check_file(verdict, root, folder / name, entry.sha256, entry.bytes)
    return listed


def _check_archive(root: Path, name: str, verdict: Verdict) -> set[Path]:
    """Check what the index of an archive lists; return every path that it accounts for."""
    base = root / name
    listed = {base / ARCHIVE_INDEX}
    try:
        index = read_archive(root, name)
        verdict.files += 1
        verdict.bytes += (base / ARCHIVE_INDEX).stat().st_size
    except (BadRecording, FileNotFoundError) as error:
        _blame(verdict, root, base / ARCHIVE_INDEX, str(error) if isinstance(error, BadRecording) else "is missing")
        return listed | {path for path in base.rglob("*") if path.is_file()}  # nothing can be told of the rest
    for partition, sha256 in index.items():
        folder = base / partition
        listed.add(folder / MANIFEST)
        try:
            hour = read_hour(folder / MANIFEST) if _check_file(verdict, root, folder / MANIFEST, sha256) else None
        except BadRecording as error:
            _blame(verdict, root, folder / MANIFEST, str(error))
            hour = None
        if hour is None:
            listed |= {folder / PRUNED, *folder.glob(f"*{ARCHIVES[name]}")}  # what they should be is not known
            continue
        listed |= {folder / PRUNED, *(folder / file for file in hour)}
        _check_hour(verdict, root, folder, hour)
    return listed


def _check_hour(verdict: Verdict, root: Path, folder: Path, hour: Hour) -> None:
    """Check the files of one hour of an archive, and its record of those that were pruned."""
    try:
        if read_pruned(folder):
            verdict.files += 1
            verdict.bytes += (folder / PRUNED).stat().st_size
        elsewhere = kept_in_s3(folder, {file: entry.sha256 for file, entry in hour.items()})
        for file, entry in hour.items():
            # Asked for again when its turn comes: an uploader may prune while this goes on.
            address = elsewhere.get(file) or kept_in_s3(folder, {file: entry.sha256}).get(file)
            if address is None:
                _check_file(verdict, root, folder / file, entry.sha256, entry.bytes)
                continue
            verdict.in_s3_files += 1
            verdict.in_s3_bytes += entry.bytes
            if address not in verdict.in_s3:
                verdict.in_s3.append(address)
    except BadRecording as error:  # the record is damaged, so a file that is missing is just that
        _blame(verdict, root, folder / PRUNED, str(error))
        for file, entry in hour.items():
            _check_file(verdict, root, folder / file, entry.sha256, entry.bytes)


def _check_segment(verdict: Verdict, root: Path, path: Path) -> None:
    """Check a sealed segment by its checksums."""
    found = scan_segment(path)
    verdict.files += 1
    verdict.bytes += found.total_bytes
    if found.flaw or not found.is_ended:
        _blame(verdict, root, path, f"at byte {found.valid_bytes}: {found.flaw or 'it ends without its end mark'}")


def _check_file(verdict: Verdict, root: Path, path: Path, sha256: str, size: int | None = None) -> bool:
    """Hash one file and note what is wrong with it; True where nothing is."""
    verdict.files += 1
    if not path.is_file():
        _blame(verdict, root, path, "is missing")
        return False
    found = path.stat().st_size
    verdict.bytes += found
    if size is not None and found != size:
        _blame(verdict, root, path, f"has {found} bytes, had {size} when it was written")
        return False
    if sha256_of(path) != sha256:
        _blame(verdict, root, path, "is not as it was written: its SHA-256 differs")
        return False
    return True


def _blame(verdict: Verdict, root: Path, path: Path, what: str) -> None:
    verdict.problems.append(Problem(str(path.relative_to(root)), what))

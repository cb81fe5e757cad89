"""What a data folder holds, in whatever state, and what its indexes must become: for bringing a recording down."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording
from observer.s3.folder import is_sealed, manifest_entries
from observer.s3.layout import (
    APPENDED,
    ARCHIVE_FORMAT,
    ARCHIVE_INDEX,
    ARCHIVES,
    INDEX,
    INDEXES,
    MANIFEST,
    MERGED,
    OUTCOMES,
    Entry,
    is_archive,
    is_manifest,
    partition_of,
    top_of,
)
from observer.s3.published import Published
from observer.store.files import to_json_bytes


def entries_below(root: Path) -> Iterator[Entry]:
    """Every file that a readable manifest lists, itself included; a damaged manifest says nothing."""
    for top in (*APPENDED, *MERGED, *ARCHIVES):
        for path in sorted((root / top).glob(f"venue=*/date=*/hour=*/{MANIFEST}")):
            raw = path.read_bytes()
            try:
                yield from manifest_entries(path.relative_to(root).as_posix(), hashlib.sha256(raw).hexdigest(), raw)
            except (BadRecording, KeyError, TypeError, AttributeError):
                continue


def index_bytes(published: Published, entries: Collection[Entry]) -> dict[str, bytes]:
    """The folder's index files, in the order to write them: their heads with the partitions put back.

    Raises:
        BadRecording: they do not come out as they were.
    """
    hashes = {entry.path: entry.sha256 for entry in entries}
    hashes.update({path: sha256 for path, (sha256, _) in published.damaged.items() if not is_archive(path)})
    manifests = {partition_of(path): sha256 for path, sha256 in hashes.items() if is_manifest(path)}
    made: dict[str, bytes] = {}
    for top in ARCHIVES:
        partitions = {key.removeprefix(f"{top}/"): sha256 for key, sha256 in manifests.items() if top_of(key) == top}
        body: dict[str, Any] = {"format": ARCHIVE_FORMAT, "partitions": partitions}
        if partitions:
            seal = hashlib.sha256(to_json_bytes(body)).hexdigest()
            made[f"{top}/{ARCHIVE_INDEX}"] = to_json_bytes({**body, "sha256": seal})
    for name in (name for name in reversed(INDEXES) if name in published.heads):
        of_outcomes = name != INDEX
        partitions = {
            key: sha256
            for key, sha256 in manifests.items()
            if not is_archive(key) and (top_of(key) == OUTCOMES) == of_outcomes
        }
        whole = {**published.heads[name], "partitions": partitions}
        if not is_sealed(whole):
            raise BadRecording(f"the published {name} does not match its own hash. Upload the recording again.")
        made[name] = to_json_bytes(whole)
    return made


def unlisted_parts(root: Path, entries: Collection[Entry], damaged: Collection[str]) -> list[Path]:
    """Files of merged partitions that no manifest lists any more: their rows were written anew under another name."""
    listed = {entry.path for entry in entries} | set(damaged)
    partitions = {
        partition_of(entry.path) for entry in entries if is_manifest(entry.path) and top_of(entry.path) in MERGED
    }
    found = (path for folder in partitions for path in (root / folder).glob("part-*.parquet"))
    return [path for path in found if path.relative_to(root).as_posix() not in listed]

"""A data folder as its indexes and manifests describe it at one moment, for sending.

Files are known by their manifests, so nothing big is hashed here. The recording's tables hang from `dataset.json`;
each partition of the archives has a manifest of its own. While somebody commits to the recording a shot of it is not
settled: its files may be sent, but no index may be published.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording
from observer.s3.layout import (
    ARCHIVES,
    COMMITTING,
    INDEX,
    INDEXES,
    LOGS,
    MANIFEST,
    OUTCOMES,
    Entry,
    check_path,
    is_archive,
)
from observer.store.files import from_json_bytes, to_json_bytes

Signature = tuple[int, int, int] | None
_Listed = dict[tuple[str, str], list[Entry]]  # (path of a manifest, its hash) -> itself and what it lists


@dataclass
class Shot:
    """What a data folder held.

    Attributes:
        entries: path -> file, manifests included, indexes not.
        heads: index file -> its content without the partitions, which the manifests' entries tell.
        damaged: path -> (the hash it should have, what is wrong), for what is listed and cannot be sent.
        is_settled: whether it all belongs together.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: dict[str, tuple[str, str]] = field(default_factory=dict)
    is_settled: bool = True


class Folder:
    """Watches one data folder; what did not change since the last look is not read again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: _Listed = {}
        self._hashes: dict[str, tuple[Signature, str]] = {}  # manifest of an archive -> what it looked like, its hash
        self._seen: object = None
        self._last = Shot(is_settled=False)

    def look(self) -> Shot:
        """The folder now; the very same object as before where nothing changed."""
        indexes, archives = self._indexes(), self._archives()
        if self._last.is_settled and not self._last.damaged and self._seen == (indexes, archives):
            return self._last
        shot, listed = Shot(), {}
        mismatched = self._add_index(shot, listed, INDEX, "")
        for path, signature in archives.items():
            mismatched += self._add_archive(shot, listed, path, signature)
        shot.is_settled = indexes == self._indexes() and indexes[-1] is None
        if shot.is_settled:
            shot.damaged.update({path: (sha256, why) for path, sha256, why in mismatched})
        self._listed, self._seen, self._last = listed, (indexes, archives), shot
        return shot

    def is_still(self) -> bool:
        """Whether nobody has changed an index or a manifest, or begun to, since the last look."""
        return self._seen == (self._indexes(), self._archives())

    def _indexes(self) -> tuple[Signature, ...]:
        return tuple(signature(self.root / name) for name in (*INDEXES, COMMITTING))

    def _archives(self) -> dict[str, Signature]:
        found = (path for top in ARCHIVES for path in (self.root / top).glob(f"venue=*/date=*/hour=*/{MANIFEST}"))
        return {path.relative_to(self.root).as_posix(): signature(path) for path in found}

    def _add_index(self, shot: Shot, listed: _Listed, name: str, sha256: str) -> list[tuple[str, str, str]]:
        """Add what an index lists; return (path, wanted hash, what is wrong) of what does not fit."""
        path = self.root / name
        raw = path.read_bytes() if path.is_file() else None
        if raw is None:
            return [(name, sha256, "is missing")] if sha256 else []
        try:
            value = from_json_bytes(raw, path)
            partitions, logs, outcomes = value["partitions"], value["logs"], value["outcomes"]
            if not is_sealed(value):
                raise BadRecording(f"{path} is damaged: its content does not match its own hash.")
        except (BadRecording, KeyError) as error:
            return [(name, sha256, f"is damaged ({error})")]
        shot.heads[name] = {key: item for key, item in value.items() if key != "partitions"}
        wrong: list[tuple[str, str, str]] = []
        if sha256 and hashlib.sha256(raw).hexdigest() != sha256:
            wrong.append((name, sha256, f"is not the one that {INDEX} lists"))
        for folder, wanted in partitions.items():
            wrong += self._add_manifest(shot, listed, f"{folder}/{MANIFEST}", wanted)
        for log, wanted in logs.items():
            wrong += self._add_file(shot, f"{LOGS}/{log}", wanted)
        if outcomes:
            wrong += self._add_index(shot, listed, f"{OUTCOMES}/{INDEX}", outcomes)
        return wrong

    def _add_archive(self, shot: Shot, listed: _Listed, path: str, signature: Signature) -> list[tuple[str, str, str]]:
        before = self._hashes.get(path)
        if before is None or before[0] != signature:
            raw = (self.root / path).read_bytes()
            before = self._hashes[path] = (signature, hashlib.sha256(raw).hexdigest())
        return self._add_manifest(shot, listed, path, before[1])

    def _add_manifest(self, shot: Shot, listed: _Listed, path: str, wanted: str) -> list[tuple[str, str, str]]:
        if (path, wanted) not in self._listed:
            try:
                raw = (self.root / check_path(path)).read_bytes()
                if hashlib.sha256(raw).hexdigest() != wanted:
                    return [(path, wanted, "is not the one that was listed")]
                self._listed[path, wanted] = manifest_entries(path, wanted, raw)
            except FileNotFoundError:
                return [(path, wanted, "is missing")]
            except (BadRecording, KeyError, TypeError, AttributeError) as error:
                return [(path, wanted, f"is no manifest ({error})")]
        listed[path, wanted] = self._listed[path, wanted]
        shot.entries.update({entry.path: entry for entry in listed[path, wanted]})
        return []

    def _add_file(self, shot: Shot, path: str, wanted: str) -> list[tuple[str, str, str]]:
        try:
            shot.entries[path] = Entry(check_path(path), wanted, (self.root / path).stat().st_size)
        except FileNotFoundError:
            return [(path, wanted, "is missing")]
        return []


def manifest_entries(path: str, sha256: str, raw: bytes) -> list[Entry]:
    """A manifest itself and the files it lists.

    Raises:
        BadRecording: it is damaged; one of an archive carries a hash over itself.
    """
    folder, value = path.removesuffix(MANIFEST), from_json_bytes(raw, Path(path))
    files = value["files"]
    if is_archive(path) and not is_sealed(value):
        raise BadRecording("its content does not match its own hash")
    return [
        Entry(path, sha256, len(raw)),
        *(Entry(check_path(folder + name), file["sha256"], int(file["bytes"])) for name, file in files.items()),
    ]


def is_sealed(value: dict[str, Any]) -> bool:
    """Whether a JSON object matches the hash over itself that it carries."""
    body = {key: item for key, item in value.items() if key != "sha256"}
    return hashlib.sha256(to_json_bytes(body)).hexdigest() == value.get("sha256")


def signature(path: Path) -> Signature:
    """What changes when a file is replaced; None where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

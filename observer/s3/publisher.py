"""Publishing an index: after all its files are in the bucket, and only if it hides nothing that is published.

Two uploaders may share a prefix without either knowing. Files cannot clash, because their keys are made of their
bytes. Indexes can: the newer one would hide the older one's recording. So before it publishes, an uploader looks for
an index it does not know, and goes on only if its own files are a later state of it. Archives are joined, so what was
freed locally after its upload stays published.
"""

import hashlib
import time
from dataclasses import replace
from typing import Any

from observer.s3.address import Address
from observer.s3.courier import COPIES, Courier
from observer.s3.errors import OtherRecording
from observer.s3.layout import Entry, group_of, is_archive, is_manifest, partition_of, unheld
from observer.s3.published import Published, find_newest, index_name, list_path, pack_lists, read_list


class Publisher:
    """Publishes the indexes of one data folder.

    Attributes:
        newest: the newest index in the bucket as far as is known.
    """

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self._bucket = courier.bucket
        self.newest: Published | None = None
        self._last_ns = 0
        self._own: tuple[Published, dict[str, Entry]] | None = None  # the last index of ours and its files

    def learn(self) -> None:
        """Look for an index that is newer than the one known."""
        found, self._last_ns = find_newest(self._bucket, self._last_ns)
        self.newest = found or self.newest

    def files_of(self, group: str) -> list[Entry]:
        """The files of one list of the newest index; none where it has no such list."""
        if self.newest is None or group not in self.newest.lists:
            return []
        if self._own is not None and self._own[0] is self.newest:
            return [entry for entry in self._own[1].values() if group_of(entry.path) == group]
        return read_list(self._bucket, group, self.newest.lists[group])

    def publish(
        self, files: dict[str, Entry], heads: dict[str, dict[str, Any]], damaged: dict[str, tuple[str, str]]
    ) -> Published:
        """Publish these files, all of which are in the bucket, unless that changes nothing; returns the newest index.

        Raises:
            StoreError: it could not be done now.
            OtherRecording: what is published is no earlier state of these files.
        """
        self.learn()
        joined = self._joined(files, damaged)
        damaged = {path: hurt for path, hurt in damaged.items() if not _is_held(joined, path, hurt[0])}
        lists = {group: self._send_list(group, raw) for group, raw in pack_lists(joined.values()).items()}
        made = Published(heads, damaged, lists)
        self.newest = self.newest if made == self.newest else self._send_index(made)
        self._own = (self.newest or made, joined)
        return self._own[0]

    def _joined(self, files: dict[str, Entry], damaged: dict[str, tuple[str, str]]) -> dict[str, Entry]:
        """These files, with the archives published before and what was published of damaged partitions.

        Raises:
            OtherRecording: other tables than these would be hidden.
        """
        joined, packed = dict(files), pack_lists(files.values())
        unreadable = {partition_of(path) for path in damaged if is_manifest(path)}
        for group, listed in ({} if self.newest is None else self.newest.lists).items():
            if hashlib.sha256(packed.get(group, b"")).hexdigest() == listed.sha256:
                continue
            theirs = self.files_of(group)
            for entry in theirs:
                if is_archive(entry.path) or partition_of(entry.path) in unreadable:
                    joined.setdefault(entry.path, entry)
            lacking = unheld(joined, theirs)
            if lacking:
                raise OtherRecording(_taken(self._bucket.address, lacking))
        return joined

    def _send_list(self, group: str, raw: bytes) -> Entry:
        sha256 = hashlib.sha256(raw).hexdigest()
        known = None if self.newest is None else self.newest.lists.get(group)
        if known is not None and known.sha256 == sha256:
            return known
        entry = Entry(list_path(group), sha256, len(raw))
        return replace(entry, copy=self._courier.deliver(entry, raw, read_back=True).copy)

    def _send_index(self, made: Published) -> Published:
        raw = made.to_bytes()
        ns = max(time.time_ns(), self._last_ns + 1)
        names = [index_name(raw, ns + i) for i in range(COPIES)]
        entry = Entry("index", hashlib.sha256(raw).hexdigest(), len(raw))
        done = self._courier.deliver(entry, raw, read_back=True, key_of=lambda copy: f"index/{names[copy - 1]}")
        self._last_ns = ns + done.copy - 1
        return replace(made, ns=self._last_ns)


def _is_held(files: dict[str, Entry], path: str, sha256: str) -> bool:
    """Whether a file that is damaged here is in the bucket as it was."""
    return path in files and files[path].sha256 == sha256


def _taken(address: Address, lacking: list[str]) -> str:
    return (
        f"{address} holds another recording: {len(lacking)} of its files are not in this folder, the first is "
        f"{lacking[0]}. Files are uploaded, but no index is published, which would hide that recording. Give this one "
        f"a --prefix of its own, or start from the other: mlx-rl sync {address} DIR"
    )

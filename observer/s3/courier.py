"""Bringing one file into the bucket so that it is there once, whole, and known to be.

Put it under its content key, on condition that the key is free where the store honours that, else after asking. Then
ask what lies there: an answer that was lost, a retry that met its own success (412) and another uploader that was
first all end the same way, with our bytes under our key. Other bytes there are never overwritten: the file goes under
its next key, and somebody is told.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from observer.s3.address import content_key
from observer.s3.bucket import PART_BYTES, Bucket
from observer.s3.errors import CONFLICT, PRECONDITION, LocalChanged, StoreError
from observer.s3.layout import Entry
from observer.s3.probe import Abilities

# A larger file is sent in parts; a smaller one is held in memory while it is sent.
LARGE_BYTES = 2 * PART_BYTES
# One object in so many is read back whole; every one where the store does not check the bytes it is sent.
READ_BACK_ONE_IN = 16
_LOOKS, COPIES = 3, 5


@dataclass
class Delivery:
    """Where a file lies now.

    Attributes:
        copy: which of its keys.
        was_there: whether it was found, not sent.
        wrong: keys under which other bytes were found.
    """

    copy: int
    was_there: bool
    wrong: list[str] = field(default_factory=list)


class Courier:
    """Delivers files to one bucket, by what its store can do; safe to use from several threads."""

    def __init__(self, bucket: Bucket, abilities: Abilities) -> None:
        self.bucket, self.abilities = bucket, abilities

    def deliver(
        self,
        entry: Entry,
        source: Path | bytes,
        *,
        look_first: bool = False,
        read_back: bool = False,
        key_of: Callable[[int], str] | None = None,
    ) -> Delivery:
        """Bring one file into the bucket and verify it there.

        Args:
            entry: what it must be.
            source: where its bytes are.
            look_first: ask whether it is there already, before sending anything.
            read_back: read it whole afterwards, sampled or not.
            key_of: its key by copy, where that is not its content key.

        Raises:
            StoreError: it could not be done now.
            LocalChanged: the local bytes are not those of the entry.
        """
        wrong: list[str] = []
        for copy in range(1, COPIES + 1):
            key = content_key(entry.path, entry.sha256, copy) if key_of is None else key_of(copy)
            was_there = self._is_taken(key, look_first=look_first) or not self._put(key, entry, source)
            if self._is_ours(key, entry, read_back=read_back):
                return Delivery(copy, was_there, wrong)
            wrong.append(key)
        raise StoreError(f"{self.bucket.address}/{wrong[0]}", "WrongObject", said=f"so are {COPIES} copies of it")

    def holds(self, entry: Entry) -> bool:
        """Whether the bucket holds a file now, by more than what we wrote beside it.

        The store's own SHA-256 is believed where it checks what it is sent; else the object is read whole.

        Raises:
            StoreError: it could not be found out now.
        """
        key = content_key(entry.path, entry.sha256, entry.copy)
        stored = self.bucket.head(key)
        if stored is None or stored.bytes != entry.bytes or stored.sha256 not in (entry.sha256, ""):
            return False
        own = base64.b64encode(bytes.fromhex(entry.sha256)).decode()
        return (stored.checksum == own and self.abilities.checksums == "checked") or self._hash(key) == entry.sha256

    def _is_taken(self, key: str, *, look_first: bool) -> bool:
        return (look_first or self.abilities.conditional != "honoured") and self.bucket.head(key) is not None

    def _put(self, key: str, entry: Entry, source: Path | bytes) -> bool:
        """Send it; False where the key was taken."""
        only_new = self.abilities.conditional == "honoured"
        try:
            if isinstance(source, Path) and entry.bytes > LARGE_BYTES:
                self.bucket.put_parts(key, source, entry.sha256, only_new=only_new)
                return True
            data = source if isinstance(source, bytes) else _read(source, entry)
            checksum = entry.sha256 if self.abilities.checksums == "checked" else ""
            self.bucket.put(key, data, entry.sha256, only_new=only_new, checksum=checksum)
        except StoreError as error:
            if only_new and error.status in (PRECONDITION, CONFLICT):
                return False
            raise
        return True

    def _is_ours(self, key: str, entry: Entry, *, read_back: bool) -> bool:
        """Whether the object under a key is this file; a mismatch is looked at again, for the way back errs too."""
        is_sampled = int(entry.sha256[:8], 16) % READ_BACK_ONE_IN == 0
        read_back = read_back or is_sampled or self.abilities.checksums != "checked"
        for _ in range(_LOOKS):
            stored = self.bucket.head(key)
            if stored is None:  # 409: somebody else is writing it just now; or it was deleted
                raise StoreError(f"{self.bucket.address}/{key}", "NotThere", said="it was just put there")
            if stored.bytes != entry.bytes or stored.sha256 not in (entry.sha256, ""):
                continue
            if (not read_back and stored.sha256) or self._hash(key) == entry.sha256:
                return True
        return False

    def _hash(self, key: str) -> str:
        digest = hashlib.sha256()
        for block in self.bucket.read(key):
            digest.update(block)
        return digest.hexdigest()


def _read(path: Path, entry: Entry) -> bytes:
    """A local file's bytes, if they are what its manifest says; raises `LocalChanged`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LocalChanged(path, f"cannot be read: {error.strerror}") from error
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise LocalChanged(path, f"is not as listed: {len(data)} bytes of {entry.bytes}, or another SHA-256")
    return data

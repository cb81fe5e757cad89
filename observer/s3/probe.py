"""What a store can do, found out by trying: at the uploader's start, on a few bytes below `_probe/`.

Stores that call themselves S3 differ where it matters: some refuse a conditional write (501), some ignore the
condition and overwrite, some take bytes that do not match their checksum. What is not honoured is made up for by
asking first (HEAD) and by reading back.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Literal

from observer.s3.bucket import Bucket
from observer.s3.errors import CONFLICT, NOT_IMPLEMENTED, PRECONDITION, StoreError

_BYTES = b"what can this store do?"
_SHA256 = hashlib.sha256(_BYTES).hexdigest()
_WRONG = hashlib.sha256(b"something else").hexdigest()
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Abilities:
    """What was found.

    Attributes:
        conditional: what becomes of `If-None-Match: *` on a key that is taken: "honoured" (412), "refused" (501, on
            any key) or "ignored" (overwritten).
        checksums: what becomes of a SHA-256 sent along: "checked", "unchecked" or "refused".
        returns_checksum: whether HEAD tells the stored checksum.
    """

    conditional: Literal["honoured", "refused", "ignored"]
    checksums: Literal["checked", "unchecked", "refused"]
    returns_checksum: bool


def probe(bucket: Bucket) -> Abilities:
    """Try it; raises `StoreError` where writing, reading or listing is not possible at all."""
    folder = f"_probe/{uuid.uuid4().hex}"
    bucket.names(folder)
    conditional = _conditional(bucket, f"{folder}/plain")
    checksums = _checksums(bucket, folder)
    found = bucket.head(f"{folder}/{'right' if checksums == 'checked' else 'plain'}")
    if found is None or bucket.read_whole(f"{folder}/plain") != _BYTES:
        raise StoreError(
            f"reading back {bucket.address}/{folder}/plain", "ReadBack", said="what was written is not there"
        )
    return Abilities(conditional, checksums, bool(found.checksum))


def _conditional(bucket: Bucket, key: str) -> Literal["honoured", "refused", "ignored"]:
    try:
        bucket.put(key, _BYTES, _SHA256, only_new=True)
    except StoreError as error:
        if error.status in (PRECONDITION, CONFLICT):  # a retry met its own success
            return "honoured"
        if error.status not in (NOT_IMPLEMENTED, _BAD_REQUEST):
            raise
        bucket.put(key, _BYTES, _SHA256, only_new=False)
        return "refused"
    try:
        bucket.put(key, _BYTES, _SHA256, only_new=True)
    except StoreError as error:
        if error.status in (PRECONDITION, CONFLICT):
            return "honoured"
        raise
    return "ignored"


def _checksums(bucket: Bucket, folder: str) -> Literal["checked", "unchecked", "refused"]:
    try:
        bucket.put(f"{folder}/wrong", _BYTES, _SHA256, only_new=False, checksum=_WRONG)
    except StoreError as error:
        if error.status not in (NOT_IMPLEMENTED, _BAD_REQUEST):
            raise
    else:
        return "unchecked"
    try:
        bucket.put(f"{folder}/right", _BYTES, _SHA256, only_new=False, checksum=_SHA256)
    except StoreError as error:
        if error.status not in (NOT_IMPLEMENTED, _BAD_REQUEST):
            raise
        return "refused"
    return "checked"

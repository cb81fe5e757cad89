"""The index of a bucket: what makes many objects one recording.

    index/<ns>-<sha16>.json     heads of the recording's indexes, what was damaged, and the lists by their hash
    lists/<group>-<sha16>.json  path -> (SHA-256, bytes, copy) of one day's files, manifests included

Every object is written after all it names, and none is ever changed. Whoever reads the newest index therefore sees a
whole recording, whatever is being uploaded meanwhile. Names rise with time; a new one always sorts after the last,
whatever the clock says.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from observer.kit.clock import NS_PER_S
from observer.kit.console import say
from observer.kit.errors import BadRecording
from observer.s3.address import SHA_DIGITS, content_key
from observer.s3.bucket import Bucket
from observer.s3.layout import INDEX, Entry, check_path, group_of

FORMAT = "mlx-rl-bucket/1"
_NAME = re.compile(rf"(\d{{20}})-([0-9a-f]{{{SHA_DIGITS}}})\.json")
_DAY_NS = 86_400 * NS_PER_S
# How far back the newest index is looked for first; a listing of years of them takes many requests.
_LOOK_BACK_NS = (_DAY_NS, 30 * _DAY_NS)
_READS = 3


@dataclass(frozen=True)
class Published:
    """One index of a bucket.

    Attributes:
        heads: index file -> its content without the partitions.
        damaged: path -> (the hash it should have, what was wrong) of what could not be sent.
        lists: group -> the list of its files, itself an object.
        ns: the time in its name; later ones are larger.
    """

    heads: dict[str, dict[str, Any]]
    damaged: dict[str, tuple[str, str]]
    lists: dict[str, Entry]
    ns: int = field(default=0, compare=False)

    @property
    def dataset_id(self) -> str:
        """Of the recording, "" where there are only archives."""
        return str(self.heads.get(INDEX, {}).get("dataset_id", ""))

    def to_bytes(self) -> bytes:
        """The index object."""
        lists = {group: [entry.sha256, entry.bytes, entry.copy] for group, entry in self.lists.items()}
        return _pack({"format": FORMAT, "heads": self.heads, "damaged": self.damaged, "lists": lists})


def index_name(raw: bytes, ns: int) -> str:
    """The name of an index with these bytes at this time."""
    return f"{ns:020d}-{hashlib.sha256(raw).hexdigest()[:SHA_DIGITS]}.json"


def list_path(group: str) -> str:
    """The path, as of an entry, of a group's list."""
    return f"lists/{group}.json"


def pack_lists(entries: Iterable[Entry]) -> dict[str, bytes]:
    """The lists of these files, by group."""
    groups: dict[str, dict[str, Any]] = {}
    for entry in entries:
        groups.setdefault(group_of(entry.path), {})[entry.path] = [entry.sha256, entry.bytes, entry.copy]
    return {group: _pack({"format": FORMAT, "files": files}) for group, files in groups.items()}


def find_newest(bucket: Bucket, after_ns: int = 0) -> tuple[Published | None, int]:
    """The newest whole index published after a time, and the time in the very last name, whole or not.

    Raises:
        StoreError: the store does not answer.
        BadRecording: there are indexes, but none of them can be read.
    """
    names = _names(bucket, after_ns)
    if not names:
        return None, after_ns
    last_ns = int(names[-1][:20])
    for name in reversed(names):
        published = _read_index(bucket, name)
        if published is not None:
            return published, last_ns
        say(f"{bucket.address}/index/{name} is not what its name says; the one before it is used")
    raise BadRecording(f"{bucket.address}: none of {len(names)} indexes can be read. Upload the recording again.")


def read_list(bucket: Bucket, group: str, listed: Entry) -> list[Entry]:
    """The files of one group.

    Raises:
        StoreError: the store does not answer.
        BadRecording: it is not the list that was named, or it names files outside a recording.
    """
    raw = fetch(bucket, listed)
    try:
        files = unpack(raw)["files"]
        return [Entry(check_path(path), *values) for path, values in files.items()]
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecording(f"{bucket.address}: the list of {group} cannot be read ({error}).") from error


def fetch(bucket: Bucket, entry: Entry) -> bytes:
    """The bytes of a small object, as they were named.

    Raises:
        StoreError: the store does not answer.
        BadRecording: other bytes lie there.
    """
    key = content_key(entry.path, entry.sha256, entry.copy)
    for _ in range(_READS):
        raw = bucket.read_whole(key)
        if hashlib.sha256(raw).hexdigest() == entry.sha256:
            return raw
    raise BadRecording(
        f"{bucket.address}/{key} is not what the index names: its SHA-256 differs, {_READS} times read. "
        "Upload the recording again; the uploader puts it under another key."
    )


def unpack(raw: bytes) -> dict[str, Any]:
    """Parse an index or a list; raises `ValueError` for anything else."""
    value = json.loads(raw)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(f"wanted format {FORMAT}")
    return value


def _names(bucket: Bucket, after_ns: int) -> list[str]:
    if after_ns:
        starts = [f"{after_ns:020d}-~"]  # "~" sorts after every hash
    else:
        now_ns = time.time_ns()
        starts = [*(f"{max(0, now_ns - back):020d}" for back in _LOOK_BACK_NS), ""]
    for start in starts:
        names = [name for name in bucket.names("index", start) if _NAME.fullmatch(name)]
        if names:
            return names
    return []


def _read_index(bucket: Bucket, name: str) -> Published | None:
    """An index, or None where its bytes are not those of its name."""
    for _ in range(_READS):
        raw = bucket.read_whole(f"index/{name}")
        if hashlib.sha256(raw).hexdigest()[:SHA_DIGITS] != name[21 : 21 + SHA_DIGITS]:
            continue
        try:
            value = unpack(raw)
            lists = {group: Entry(list_path(group), *values) for group, values in value["lists"].items()}
            damaged = {path: (str(sha256), str(why)) for path, (sha256, why) in value["damaged"].items()}
            return Published(value["heads"], damaged, lists, int(name[:20]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadRecording(
                f"{bucket.address}/index/{name} was written by another version ({error}). Update this one."
            ) from error
    return None


def _pack(value: dict[str, Any]) -> bytes:
    """JSON in one layout, so that equal content is equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

"""Small JSON files that carry a hash over themselves, so that a damaged one is noticed when it is read."""

import hashlib
from pathlib import Path
from typing import Any

from observer.kit.errors import BadRecording
from observer.store.files import from_json_bytes, to_json_bytes


def seal(body: dict[str, Any], form: str) -> bytes:
    """The file's bytes: `body` with its format's name and the hash over both."""
    body = {**body, "format": form}
    return to_json_bytes({**body, "sha256": hashlib.sha256(to_json_bytes(body)).hexdigest()})


def unseal(path: Path, form: str) -> dict[str, Any]:
    """Read a file that `seal` made.

    Raises:
        BadRecording: it is damaged, or of another format.
    """
    raw = path.read_bytes()
    value = from_json_bytes(raw, path)
    body = {name: item for name, item in value.items() if name != "sha256"}
    if value.get("format") != form or seal(body, form) != raw:
        raise BadRecording(
            f"{path} is damaged, or of another format: its content does not match its own hash. Restore it from a copy."
        )
    return value

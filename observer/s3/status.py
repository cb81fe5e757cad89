"""Where the uploader stands, as one small JSON file that health checks and the terminal view read.

`DIR/spool/upload.json`, replaced whole about once a second while there is work, and at each pass. It is a report, not
a record: it is not forced to the disk, and nothing is decided from it.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from observer.kit.clock import NS_PER_S
from observer.s3.errors import StoreError

_EVERY_S = 1.0


@dataclass
class Status:
    """What `upload.json` says.

    Attributes:
        target, endpoint: where to.
        state: "probing", "uploading", "idle", "waiting" (a try failed, the next one follows) or "stopped".
        pid, updated_ns: who wrote it, when.
        uploaded_files, uploaded_bytes: sent since the start.
        found_files: were there already.
        pruned_files, pruned_bytes: deleted here since the start, because the bucket keeps them.
        pending_files, pending_bytes: not in the bucket yet.
        oldest_unuploaded_s: age of the oldest file that no published index names, 0 where there is none.
        wait_s: until the next try, in state "waiting".
        failing_since_ns: since when no pass has gone well, 0 where the last one did.
        failures: error code -> how often since the start. Among them those that want a hand: "WrongObject" (other
            bytes under our key), "LocalChanged" (a local file is damaged), "OtherRecording" (the prefix is taken).
        last_error: code, text and time of the last one, None before the first.
        published_ns, dataset_id: of the newest index, 0 and "" before the first.
        store: what the probe found, None before it.
        clock_skew_s: the store's clock minus ours, None before the first answer.
    """

    target: str
    endpoint: str
    state: str = "probing"
    pid: int = field(default_factory=os.getpid)
    updated_ns: int = 0
    uploaded_files: int = 0
    uploaded_bytes: int = 0
    found_files: int = 0
    pruned_files: int = 0
    pruned_bytes: int = 0
    pending_files: int = 0
    pending_bytes: int = 0
    oldest_unuploaded_s: float = 0.0
    wait_s: float = 0.0
    failing_since_ns: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    last_error: dict[str, Any] | None = None
    published_ns: int = 0
    dataset_id: str = ""
    store: dict[str, Any] | None = None
    clock_skew_s: float | None = None

    def fail(self, error: Exception) -> str:
        """Count an error; returns its code."""
        code = error.code if isinstance(error, StoreError) else type(error).__name__
        self.failures[code] = self.failures.get(code, 0) + 1
        self.last_error = {"code": code, "text": str(error), "ns": time.time_ns()}
        return code


class StatusFile:
    """Writes the status to its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = -_EVERY_S

    def is_due(self) -> bool:
        """Whether it was last written a second ago."""
        return time.monotonic() - self._written >= _EVERY_S

    def write(self, status: Status) -> None:
        """Replace the file."""
        self._written = time.monotonic()
        status.updated_ns = time.time_ns()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        temporary.write_text(json.dumps(asdict(status), indent=1) + "\n")
        temporary.replace(self.path)


def age_s(oldest_ns: int | None) -> float:
    """Seconds since a file was written; 0 where there is none, or where the clock was set back."""
    return 0.0 if oldest_ns is None else max(0.0, (time.time_ns() - oldest_ns) / NS_PER_S)

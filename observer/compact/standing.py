"""Where the compactor stands, as one small JSON file that health checks read: `DIR/spool/compact.json`.

It is a report, not a record: it is replaced at each pass, it is not forced to the disk, and nothing is decided from it.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from observer.store.recovery import WAL
from observer.store.segment import SEALED

REPORT = "compact.json"


class Report:
    """Writes the report.

    `updated_ns`; `failing_since_ns`, 0 where the last pass went well; `last_error`, code, text and time, or None;
    `waiting_bytes`, of sealed segments: not compacted yet, or kept for windows that are still open.

    Args:
        path: its place, in the spool.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._said: dict[str, Any] = {"updated_ns": 0, "failing_since_ns": 0, "last_error": None, "waiting_bytes": 0}

    def write(self, error: Exception | None) -> None:
        """Note a pass and what went wrong in it."""
        now_ns = time.time_ns()
        self._said["updated_ns"] = now_ns
        self._said["waiting_bytes"] = sum(p.stat().st_size for p in self.path.parent.glob(f"*/{WAL}/*{SEALED}"))
        if error is None:
            self._said["failing_since_ns"] = 0
        else:
            self._said["failing_since_ns"] = self._said["failing_since_ns"] or now_ns
            self._said["last_error"] = {"code": type(error).__name__, "text": str(error), "ns": now_ns}
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with contextlib.suppress(OSError):  # a disk that is full, which the recorder says
            temporary.write_text(json.dumps(self._said) + "\n")
            temporary.replace(self.path)

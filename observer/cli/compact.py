"""`mlx-rl compact --local-dir DIR`: one pass over what the recorder has sealed."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command

ABOUT = (
    "Turn what the recorder has sealed into raw files, events and windows of the recording, once. No recorded row is "
    "lost, and a window that has not closed yet waits. The recorder does this by itself while it runs; segments that a "
    "crash left open are sealed first, unless a recorder is at work."
)


class CompactSettings(BaseModel):
    """Which folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    local_dir: Path = Field(default=Path("./data"), description="folder that the recorder writes to")


def work(settings: CompactSettings) -> dict[str, Any]:
    """Seal what a crash left open, and compact."""
    from observer.compact.compactor import compact
    from observer.compact.runs import SPOOL, is_recorded_into
    from observer.store.instance_lock import InstanceLock
    from observer.store.recovery import recover

    if (settings.local_dir / SPOOL).is_dir() and not is_recorded_into(settings.local_dir):
        with InstanceLock(settings.local_dir):
            recover(settings.local_dir / SPOOL)
    return asdict(compact(settings.local_dir, time.time_ns()))


def show(result: dict[str, Any]) -> str:
    """One line for a person."""
    from observer.compact.__main__ import show as line

    return f"compacted {line(result)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(CompactSettings, work, argv, prog="mlx-rl compact", about=ABOUT, show=show)


if __name__ == "__main__":
    sys.exit(main())

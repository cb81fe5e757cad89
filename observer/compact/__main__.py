"""The compactor's loop, beside the recorder: `python -m observer.compact --local-dir DIR [--every 10]`.

It yields to everything else (nice +10), may be killed at any moment, and ends by itself when the process that started
it is gone. A pass that fails is said and tried again: what the recorder wrote stays until it has been compacted.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from observer.compact.compactor import Compactor, Summary
from observer.compact.standing import REPORT, Report
from observer.kit.cli import run_command
from observer.kit.clock import iso
from observer.kit.console import say
from observer.kit.errors import BadRecording, UsageError
from observer.kit.outlet import Outlets
from observer.kit.parent import is_parent_there
from observer.store.usage import SPOOL

_NICE = 10
_LOOK_S = 1.0  # how often to see whether the parent is there
_PATIENCE_S = 0.5  # for a terminal or a pipe that nobody reads, at the end
ABOUT = (
    "Compact what the recorder has sealed, again and again, until the process that started this one ends. No recorded "
    "row is lost: a segment is deleted only when all that was made from it is on the disk."
)


class LoopSettings(BaseModel):
    """Which folder, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    local_dir: Path = Field(default=Path("./data"), description="folder that the recorder writes to")
    every: float = Field(default=10.0, gt=0, le=3600, description="seconds between passes")


def loop(settings: LoopSettings) -> NoReturn:
    """Run passes until told to stop."""
    compactor, report = Compactor(settings.local_dir), Report(settings.local_dir / SPOOL / REPORT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.nice(_NICE)
    while True:
        try:
            tell(compactor.run_once(time.time_ns()))
            report.write(None)
        except (BadRecording, UsageError, OSError) as error:
            say(f"compaction failed, next try in {settings.every:g} s: {error}")
            report.write(error)
            compactor = Compactor(settings.local_dir)  # what it had in memory may not be what is on the disk
        if not _waited(settings.every):
            break
    sys.exit(0)


def _waited(seconds: float) -> bool:
    """Wait; False as soon as the process that started this one is gone."""
    end_s = time.monotonic() + seconds
    while is_parent_there():
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            return True
        time.sleep(min(left_s, _LOOK_S))
    return False


def tell(done: Summary) -> None:
    """Say what a pass did, if it did anything."""
    if done.segments or done.deleted or done.windows:
        say(f"compacted {show(asdict(done))}")


def show(done: dict[str, Any]) -> str:
    """One line for a person."""
    wait = f", the first closes {iso(done['next_close_ns'])}" if done["waiting"] else ""
    open_ = f"; {done['open']} segments are still open" if done["open"] else ""
    return (
        f"{done['segments']} segments: {done['windows']} windows with {done['ticks']} ticks, "
        f"{done['outcomes']} outcomes, {done['gaps']} told gaps; "
        f"{done['refused']} records left out, {done['empty']} windows without a quote; "
        f"{done['waiting']} windows wait{wait}, {done['held']} segments are kept for them{open_}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the loop; returns only where the flags are wrong."""
    with Outlets() as outlets:
        outlets.patience_s = _PATIENCE_S
        return run_command(LoopSettings, loop, argv, prog="python -m observer.compact", about=ABOUT, show=show)


if __name__ == "__main__":
    sys.exit(main())

"""One core takes a hundred thousand Polymarket messages a second: decoded, applied to books, durably written.

The loopback exchange floods one connection per two hundred tokens with ready-made frames of 200 markets, from a core of
its own, as fast as the recorder takes them. The recorder runs on one other core, its disk thread included, its helper
processes left out. Messages count once they are written, raw and normalised; nothing may be left out, and every book
must agree with the venue's stated best prices all the while.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from observer.store.segment import read_segment
from scripts.loopback import exchange, observer
from scripts.proofs import Measurement

BAR = 100_000.0
WARM_S, MEASURE_S = 5.0, 12.0
FLAGS = ("--venues", "polymarket", "--markets", "politics")


def measure() -> Measurement:
    """Messages per second of the real recorder on one core."""
    return _run("scripts.proofs.intake")


def control() -> Measurement:
    """The same while its disk stands still for five seconds: it must leave rows out, and that must be noticed."""
    return _run("scripts.proofs.intake", "--stall")


def _run(module: str, *extra: str) -> Measurement:
    with _flood() as served, tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        with observer(folder, served.url, *FLAGS, *extra, core=0, module=module) as running:
            time.sleep(WARM_S)
            before, began = running.status(), time.monotonic()
            cpu_before = cpu_s(running.process.pid)
            time.sleep(MEASURE_S)
            after, took = running.status(), time.monotonic() - began
            cpu = cpu_s(running.process.pid) - cpu_before
            end = running.stop()
        written = sum(len(batch.raws) for path in folder.glob("spool/*/wal/*.wal") for batch in read_segment(path))
    messages = _messages(after) - _messages(before)
    venue, spool = end["venues"]["polymarket"], end["spool"]
    left_out = spool["shed_raw"] + spool["shed_events"]
    rate = messages / took
    is_whole = written >= _messages(end) and left_out == 0 and not venue["refused"] and not spool["failure"]
    is_right = venue["books"] >= 400 and venue["books_valid"] == venue["books"] and venue["gaps"] == 0
    detail = {
        "us_per_message": round(1e6 * cpu / max(1, messages), 2), "written": written, "left_out": left_out,
        "books": venue["books"], "books_valid": venue["books_valid"], "gaps": venue["gaps"],
        "refused": venue["refused"], "rss_mb": end["rss_mb"],
        "mb_per_s": round((after["venues"]["polymarket"]["payload_bytes"]
                           - before["venues"]["polymarket"]["payload_bytes"]) / took / 1e6, 1),
    }  # fmt: skip
    return Measurement(rate, BAR, "messages/s on one core", rate >= BAR and is_whole and is_right, detail)


def _flood() -> Any:
    return exchange("--venues", "polymarket", "--flood", "200", core=1)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _messages(status: dict[str, Any]) -> int:
    return status["venues"]["polymarket"]["messages"]


def _observe_without_helpers() -> int:
    from observer.capture import session
    from observer.cli.observe import main

    session._children = lambda settings: []  # type: ignore[assignment]
    if "--stall" in sys.argv:
        sys.argv.remove("--stall")
        _stall_the_disk()
    return main()


def _stall_the_disk() -> None:
    from observer.store.filesystem import RealFileSystem

    write, due_s = RealFileSystem.write, [time.monotonic() + WARM_S + 2.0]

    def write_or_stall(self: RealFileSystem, fd: int, data: bytes) -> int:
        if due_s and time.monotonic() > due_s[0]:
            due_s.clear()
            time.sleep(5.0)
        return write(self, fd, data)

    RealFileSystem.write = write_or_stall  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(_observe_without_helpers())

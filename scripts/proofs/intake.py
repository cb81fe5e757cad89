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

from scripts.loopback import exchange, observer
from scripts.proofs import Measurement

BAR = 100_000.0
WARM_S, MEASURE_S = 5.0, 12.0
FLAGS = ("--venues", "polymarket", "--markets", "politics")


def measure() -> Measurement:
    """Messages per second of the real recorder on one core."""
    with _flood() as served, tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        with observer(folder, served.url, *FLAGS, core=0, module="scripts.proofs.intake") as running:
            time.sleep(WARM_S)
            before, began = running.status(), time.monotonic()
            cpu_before = cpu_s(running.process.pid)
            time.sleep(MEASURE_S)
            after, took = running.status(), time.monotonic() - began
            cpu = cpu_s(running.process.pid) - cpu_before
    messages = _messages(after) - _messages(before)
    venue, spool = after["venues"]["polymarket"], after["spool"]
    left_out = spool["shed_raw"] + spool["shed_events"]
    rate = messages / took
    holds = rate >= BAR and left_out == 0 and not venue["refused"] and venue["books"] >= 400 and not spool["failure"]
    detail = {
        "us_per_message": round(1e6 * cpu / max(1, messages), 2), "books": venue["books"], "gaps": venue["gaps"],
        "left_out": left_out, "queued_mb": round(spool["queued_bytes"] / 1e6, 1), "refused": venue["refused"],
        "mb_per_s": round((venue["payload_bytes"] - before["venues"]["polymarket"]["payload_bytes"]) / took / 1e6, 1),
    }  # fmt: skip
    return Measurement(rate, BAR, "messages/s on one core", holds, detail)


def control() -> Measurement:
    """A plain loop of `websockets` and `json` that keeps nothing: it must miss the bar."""
    from scripts.bench_intake import rate_of

    with _flood() as served:
        rate = rate_of("websockets + json", served.url, MEASURE_S / 2)["messages_per_s"]
    return Measurement(rate, BAR, "messages/s on one core", rate >= BAR, {})


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
    return main()


if __name__ == "__main__":
    sys.exit(_observe_without_helpers())

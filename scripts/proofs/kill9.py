"""Kill -9 at any moment loses no written row, doubles none, and the next start mends all in under two seconds.

The real observer records the loopback exchange and is killed two hundred times at random moments, in one folder. What
it had called written (`/health`, published every 20 ms here and read until the kill) must be read back after the next
start; every closed file must read whole; batches must be numbered without a hole; and Binance's own update numbers must
show that no message in the middle is missing. The compactor is left out: it would take segments away that it has
finished with.
"""

import json
import random
import signal
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from observer.store.batch import Batch, Connected
from observer.store.recovery import recover
from observer.store.segment import read_segment
from scripts.loopback import exchange, observer
from scripts.proofs import Measurement

KILLS = 200
RECOVERY_S = 2.0
SERVED = ("--moves-hz", "20", "--venues", "polymarket", "binance-spot")
FLAGS = ("--venues", "polymarket", "binance-spot", "--markets", "btc,eth")
LYING = "--lying"


def measure() -> Measurement:
    """Rows lost over two hundred kills."""
    return _kill(KILLS, lying=False)


def control() -> Measurement:
    """The same with writes that are kept in the process for a while, as a buffered file would: rows must be lost."""
    return _kill(6, lying=True)


def _kill(kills: int, *, lying: bool) -> Measurement:
    rng = random.Random(kills)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, exchange(*SERVED) as served:
        folder = Path(name) / "data"
        flags = (*FLAGS, LYING) if lying else FLAGS
        for _ in range(kills):
            with observer(folder, served.url, *flags, module="scripts.proofs.kill9") as running:
                written = _record(running, rng.uniform(0.2, 1.6))
                running.process.send_signal(signal.SIGKILL)
                running.process.wait()
            began = time.monotonic()
            recover(folder / "spool")
            found.append({"written": written, "recovery_s": time.monotonic() - began})
        runs = {run.name: list(_read(run)) for run in sorted((folder / "spool").glob("2*"))}
        lost = sum(_lost(folder / "spool", one["written"], runs) for one in found)
    slowest = max(one["recovery_s"] for one in found)
    rows = sum(len(b.raws) + len(b.events) + len(b.ticks) for run in runs.values() for b in run)
    holes = sum(_holes(run) for run in runs.values())
    told = sum(one["written"][1] >= 0 for one in found)  # a kill before the first batch is one too, but shows little
    holds = lost == 0 and holes == 0 and slowest < RECOVERY_S and 2 * told >= kills
    detail = {
        "kills": kills, "kills_after_a_written_batch": told, "batches_called_written": sum(one["written"][1] + 1
        for one in found), "runs": len(runs), "rows": rows, "slowest_recovery_s": round(slowest, 4),
        "missing_messages": holes,
    }  # fmt: skip
    return Measurement(lost, 0, "batches lost after write() returned", holds, detail)


def _record(running: Any, seconds: float) -> tuple[str, int]:
    """Let it run, asking all the while what it has written: (run's segment, number of the last batch)."""
    until = time.monotonic() + seconds
    said = ("", -1)
    while time.monotonic() < until:
        try:
            log = running.status().get("spool", {}).get("log", {})
        except (urllib.error.URLError, ConnectionError, json.JSONDecodeError):
            log = {}
        if log.get("segment"):
            said = (log["segment"], log["written_number"])
        time.sleep(0.01)
    return said


def _read(run: Path) -> Iterator[Batch]:
    """All batches of one run; raises where a closed file is not whole or a number is missing or double."""
    number = 0
    for path in sorted((run / "wal").glob("*.wal")):
        for batch in read_segment(path):
            if batch.number != number:
                raise AssertionError(f"{path.name}: batch {batch.number} where {number} was expected")
            number += 1
            yield batch


def _lost(spool: Path, written: tuple[str, int], runs: dict[str, list[Batch]]) -> int:
    """Batches of one run that were called written and are not there."""
    segment, last = written
    if last < 0:
        return 0
    stem = segment.partition(".")[0]
    there = [runs[path.parent.parent.name] for path in spool.glob(f"*/wal/{stem}.*")]
    return last + 1 - min(last + 1, len(there[0]) if there else 0)


def _holes(run: list[Batch]) -> int:
    """Depth updates of Binance that do not follow on the one before on the same connection and stream."""
    spot = {note.conn for batch in run for note in batch.notes if isinstance(note, Connected) and "spot" in note.venue}
    last: dict[tuple[int, str], int] = {}
    holes = 0
    for batch in run:
        for conn, _, payload in batch.raws:
            if conn not in spot or b'"depthUpdate"' not in payload:
                continue
            frame = json.loads(payload)
            update = frame.get("data", frame)
            key = (conn, update["s"])
            holes += key in last and update["U"] != last[key] + 1
            last[key] = update["u"]
    return holes


def _observe() -> int:
    """The observer without its helpers, publishing its health more often; and lying where asked to."""
    from observer.capture import daemon, session
    from observer.cli.observe import main

    session._children = lambda settings: []  # type: ignore[assignment]
    daemon._WATCH_S = 0.02
    if LYING in sys.argv:
        sys.argv.remove(LYING)
        _keep_what_is_called_written()
    return main()


def _keep_what_is_called_written() -> None:
    """A file system that says it has written what it still holds."""
    from observer.store.filesystem import RealFileSystem

    real, held = RealFileSystem.write, bytearray()

    def write(self: RealFileSystem, fd: int, data: bytes) -> int:
        held.extend(data)
        if len(held) > 1 << 18:
            real(self, fd, bytes(held))
            held.clear()
        return len(data)

    RealFileSystem.write = write  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(_observe())

"""After a power cut every batch that was acknowledged as durable is recovered, once, in order and whole.

A process records onto an ext4 file system of its own in a file. At random moments it is frozen, the file is copied as
it is (what the system had not written yet is not in it, as after a power cut), and the copy is mounted, recovered and
read. Unwritten sectors are neither reordered nor torn here; `tests/laws/test_capture.py` does that on a disk in memory.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from observer.store.recovery import recover
from observer.store.segment import read_segment
from scripts.capture_writer import made_up_batch, rows_of
from scripts.proofs import Measurement, NotRunHere

ROOT = Path(__file__).resolve().parents[2]
CUTS = 10
IMAGE_MB = 64


def measure() -> Measurement:
    """Acknowledged batches missing after ten cuts, five with each durability that acknowledges."""
    return _cut_power("", ("tick", "1s"))


def control() -> Measurement:
    """The same with syncs that return at once and force nothing to the disk: acknowledged batches must be missing."""
    return _cut_power("lying-sync", ("tick",))


def _cut_power(fault: str, durabilities: tuple[str, ...]) -> Measurement:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise NotRunHere(
            "mounting a file system needs Linux and root: sudo .venv/bin/python scripts/prove.py power_cut"
        )
    if any(shutil.which(tool) is None for tool in ("mkfs.ext4", "mount", "umount")):
        raise NotRunHere("mkfs.ext4, mount and umount are needed (Debian: e2fsprogs, mount)")
    cuts = [
        cut
        for durability in durabilities
        for cut in _cuts_of_one_run(durability, fault, CUTS // len(durabilities))
    ]  # fmt: skip
    lost = sum(cut["lost"] for cut in cuts)
    detail = {
        "cuts": len(cuts), "acknowledged": sum(cut["acknowledged"] for cut in cuts), "each": cuts,
        "slowest_recovery_s": max(cut["recovery_s"] for cut in cuts), "kernel": os.uname().release,
    }  # fmt: skip
    return Measurement(lost, 0, "acknowledged batches lost", lost == 0 and detail["acknowledged"] > 0, detail)


def _cuts_of_one_run(durability: str, fault: str, n_cuts: int) -> list[dict]:
    """Let one process record and cut its power `n_cuts` times; the process itself goes on after each."""
    rng = random.Random(durability)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(IMAGE_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        # commit: the journal is written when the writer syncs, not by a clock while the file is being copied.
        with _mounted(image, folder / "live", "commit=300") as live, _writer(live, durability, fault, folder) as writer:
            found = []
            for _ in range(n_cuts):
                time.sleep(rng.uniform(0.3, 1.3))
                frozen_ns = time.time_ns()
                acknowledged = _freeze(writer, folder / "said")
                copy = folder / "copy.img"
                subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
                writer.send_signal(signal.SIGCONT)
                with _mounted(copy, folder / "copy", "commit=300") as after:
                    found.append({"durability": durability, **_recovered(after / "spool", acknowledged, frozen_ns)})
            return found


def _recovered(spool: Path, acknowledged: int, frozen_ns: int) -> dict:
    """Recover and read what is there; count what should be."""
    done = recover(spool)
    whole, last_ns = 0, 0
    for path in sorted(spool.rglob("*.wal")):
        for batch in read_segment(path):
            if batch.number != whole or rows_of(batch) != rows_of(made_up_batch(whole, 0)):
                raise AssertionError(f"{path.name} holds a batch {batch.number} that was not written so (at {whole})")
            whole, last_ns = whole + 1, batch.wall_ns
    return {
        "acknowledged": acknowledged + 1,
        "recovered": whole,
        "lost": max(0, acknowledged + 1 - whole),
        "behind_s": round((frozen_ns - last_ns) / 1e9, 3) if whole else None,
        "recovery_s": round(done.seconds, 4),
    }


def _freeze(writer: subprocess.Popen, said: Path) -> int:
    """Stop every thread of the writer, wait for calls under way, and return the last number it called durable."""
    writer.send_signal(signal.SIGSTOP)
    while any(_thread_state(task) != "T" for task in Path(f"/proc/{writer.pid}/task").iterdir()):
        time.sleep(0.005)
    lines = said.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return int(whole[-1].split()[1]) if whole else -1


def _thread_state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def _mounted(image: Path, where: Path, options: str) -> Iterator[Path]:
    where.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-o", f"loop,{options}", str(image), str(where)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotRunHere(f"this machine lets nobody mount a file ({done.stderr.strip()})")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


@contextmanager
def _writer(live: Path, durability: str, fault: str, folder: Path) -> Iterator[subprocess.Popen]:
    command = [sys.executable, str(ROOT / "scripts" / "capture_writer.py"), str(live / "spool"), "run"]
    with (folder / "said").open("wb") as said:
        writer = subprocess.Popen([*command, "--durability", durability, "--fault", fault], stdout=said)
    try:
        yield writer
    finally:
        writer.kill()
        writer.wait()

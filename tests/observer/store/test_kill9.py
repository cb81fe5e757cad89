"""kill -9 on a process that records: nothing it had written is lost, none comes twice, every file is whole."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from observer.store.recovery import recover
from observer.store.segment import read_segment
from scripts.capture_writer import made_up_batch, rows_of

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20


def killed_after(folder: Path, run_id: str, seconds: float) -> int:
    """Start a writer, kill it, and return the last number it said was written."""
    command = [sys.executable, str(ROOT / "scripts" / "capture_writer.py"), str(folder), run_id]
    flags = ["--durability", "os", "--every-ms", "0.5", "--segment-bytes", "20000"]
    writer = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = writer.stdout.readline()
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.read()
    writer.wait()
    writer.stdout.close()
    whole_lines = said[: said.rindex("\n")].splitlines()
    return int(whole_lines[-1].split()[0])


def test_nothing_written_is_lost_by_a_kill_and_nothing_comes_twice(tmp_path: Path) -> None:
    rng = random.Random(7)
    said: dict[str, int] = {}
    for kill in range(KILLS):
        run_id = f"run-{kill:02d}"
        said[run_id] = killed_after(tmp_path, run_id, rng.uniform(0, 0.08))
        recover(tmp_path)  # the runs before, with their segments still there

    total = 0
    for run_id, last in said.items():
        paths = sorted((tmp_path / run_id / "wal").iterdir())
        assert {path.suffix for path in paths} == {".wal"}
        batches = [batch for path in paths for batch in read_segment(path)]
        assert [batch.number for batch in batches] == list(range(len(batches)))
        assert len(batches) > last
        assert all(rows_of(batch) == rows_of(made_up_batch(batch.number, 0)) for batch in batches)
        total += len(batches)
    assert total > 10 * KILLS

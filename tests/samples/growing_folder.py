"""A recorder and a compactor imitated, as processes: `python -m tests.samples.growing_folder tick FILE | grow DIR`.

`tick` appends a row of 5 kB every 20 ms, forced to the disk each second, as the recorder does. At SIGTERM it prints
when each tick was due and how late it was, in seconds of the machine's monotonic clock. `grow` adds a window, its
outcome and two files of archives to a recording at each turn, as the compactor does, until SIGTERM.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

TICK_S, GROW_S, ROW_BYTES = 0.02, 0.5, 5_000


class _Told(BaseException):
    """SIGTERM came."""


def _tell(number: int, frame: object) -> None:
    raise _Told


def tick(path: Path) -> None:
    """Tick until told to stop; then print [due, late] of every tick."""
    ticks: list[tuple[float, float]] = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    begun = time.monotonic()
    try:
        while True:
            due = begun + (len(ticks) + 1) * TICK_S
            time.sleep(max(0.0, due - time.monotonic()))
            ticks.append((due, time.monotonic() - due))
            os.write(fd, bytes(ROW_BYTES))
            if len(ticks) % 50 == 0:
                os.fsync(fd)
    except _Told:
        print(json.dumps(ticks), flush=True)


def grow(root: Path) -> None:
    """Add to a recording until told to stop, which is heard between two turns."""
    from observer.store.writer import RecordingWriter
    from tests.samples.archives import add_archive
    from tests.samples.tapes import make_tape

    draw, turn = random.Random(7), 0
    while True:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        tape = make_tape(7, 200, index=turn, ladder=True)
        with RecordingWriter(root) as writer:
            writer.write_tape(tape)
            writer.write_outcome(tape.market.market_id, float(turn % 2), "synthetic", "test")
        hour = f"venue=test/date=2025-12-29/hour={turn // 60:02d}"
        add_archive(root, f"{turn:06d}-a", draw.randbytes(20_000), hour)
        turn += 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            time.sleep(GROW_S)
        except _Told:
            return


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _tell)
    {"tick": tick, "grow": grow}[sys.argv[1]](Path(sys.argv[2]))

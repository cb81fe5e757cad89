"""A process that records made-up batches until it is stopped, for the proofs and tests that kill it.

Whenever the log has got further it prints a line: the number of the last batch that survives `kill -9`, and of the
last that survives a power cut. At the end it prints one JSON object. It exits 1 when the disk fails.

    python scripts/capture_writer.py FOLDER RUN [--durability tick] [--batches 500] [--every-ms 5] [--fault slow-sync]
"""

import argparse
import errno
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from observer.kit.errors import StorageFailed
from observer.store.batch import LEVEL, Batch, Connected
from observer.store.filesystem import RealFileSystem
from observer.store.spool import Spool
from observer.store.watermarks import Watermarks

ALIVE = (Connected(0, "made-up", "one", "ws://127.0.0.1", 0),)
RAWS, EVENTS, TICKS = 10, 20, 5
SLOW_S = 0.3


class FaultyFileSystem(RealFileSystem):
    """The real one with one fault, for machines where strace cannot make it.

    lying-sync: nothing is forced to the disk. failing-sync: the tenth fails. slow-sync: each takes 0.3 s longer.
    short-write: every fifth write takes four bytes.
    """

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._syncs = self._writes = 0

    def sync(self, fd: int) -> None:
        """See `FileSystem`."""
        self._syncs += 1
        if self._fault == "lying-sync":
            return
        if self._fault == "slow-sync":
            time.sleep(SLOW_S)
        if self._fault == "failing-sync" and self._syncs == 10:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)

    def sync_folder(self, path: Path) -> None:
        """See `FileSystem`."""
        if self._fault != "lying-sync":
            super().sync_folder(path)

    def write(self, fd: int, data: bytes) -> int:
        """See `FileSystem`."""
        self._writes += 1
        is_short = self._fault == "short-write" and self._writes % 5 == 0
        return super().write(fd, data[:4] if is_short else data)


def made_up_batch(index: int, wall_ns: int) -> Batch:
    """The `index`-th batch; its rows depend on the index alone, so a reader can tell whether they are whole."""
    raws = [(0, index * 1000 + i, b'{"price":"0.%03d","n":%d}' % (i, index * RAWS + i) * 5) for i in range(RAWS)]
    events = [(LEVEL, 0, i % 4, index * 1000 + i, -1, index, i % 2, i * 10**7, index) for i in range(EVENTS)]
    ticks = [(i, index, [0.5 + i / 100] * 12, None) for i in range(TICKS)]
    return Batch(-1, wall_ns, index, raws, events, ticks, [])


def rows_of(batch: Batch) -> tuple[list, list, list]:
    """What must come back, without what differs between a list and a tuple."""
    return [tuple(raw) for raw in batch.raws], [tuple(event) for event in batch.events], [tuple(t) for t in batch.ticks]


def main() -> int:
    """Record as told; return the exit code."""
    flags = argparse.ArgumentParser(description="Record made-up batches, for tests. Nothing is sent.")
    flags.add_argument("folder", type=Path)
    flags.add_argument("run")
    flags.add_argument("--durability", default="1s", choices=("tick", "1s", "os"))
    flags.add_argument("--batches", type=int, default=10**9, help="how many, at most")
    flags.add_argument("--every-ms", type=float, default=5.0, help="time between batches, ms")
    flags.add_argument("--segment-bytes", type=int, default=64 << 10, help="when a segment is sealed, bytes")
    flags.add_argument("--fault", default="", help="one of FaultyFileSystem's")
    flags.add_argument("--quiet", action="store_true", help="print the last line only")
    asked = flags.parse_args()
    spool = Spool(
        asked.folder, asked.run, lambda: ALIVE, durability=asked.durability, segment_bytes=asked.segment_bytes,
        watermarks=replace(Watermarks(), stop_bytes=0), fs=FaultyFileSystem(asked.fault),
    )  # fmt: skip
    told = (-1, -1)
    put_ms: list[float] = []
    try:
        for index in range(asked.batches):
            batch = made_up_batch(index, time.time_ns())
            started_s = time.perf_counter()
            spool.put(batch)
            put_ms.append((time.perf_counter() - started_s) * 1e3)
            time.sleep(asked.every_ms / 1e3)
            log = spool.state().log
            if (now := (log.written_number, log.durable_number)) != told and not asked.quiet:
                print(*now, flush=True)
                told = now
        spool.close(timeout_s=60)
    except StorageFailed as error:
        print(error, file=sys.stderr)
        return 1
    put_ms.sort()
    log = spool.state().log
    print(
        json.dumps(
            {
                "batches": len(put_ms), "put_p99_ms": put_ms[int(0.99 * len(put_ms))], "put_max_ms": put_ms[-1],
                "fsync_p99_ms": log.fsync_ms_p99, "write_errors": log.write_errors, "written": log.written_number,
            }
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What the log costs: time and bytes per batch, time on the event loop, and how fast it is read and recovered.

    ticks     a second of 50 markets, 100 rows with ten levels a side, one sync per batch
    messages  half a second of 20,000 messages a second, raw and normalised

The frames are recorded ones where MLX_RL_RECORDINGS names the folder with `raw_ws_samples`, otherwise made up. CPU is
that of the process (encoding, compressing, writing), wall time includes the disk.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from observer.kit.console import emit_json, say, table
from observer.kit.rng import stream
from observer.store.batch import LEVEL, Batch
from observer.store.recovery import recover
from observer.store.segment import read_segment
from observer.store.segment_log import LogRules, SegmentLog
from observer.store.spool import Spool
from observer.store.watermarks import Watermarks

MARKETS, LEVELS = 50, 10
MESSAGES = 10_000
START_NS = 1_790_000_110_000_000_000
UNWATCHED = Watermarks(0, 0, 0, 0)


def tick_batches() -> Callable[[int], Batch]:
    """Batches of 100 tick rows whose prices walk on a grid of a cent, as real ones do."""
    rng = stream(0, "bench-capture")
    mid = rng.integers(20, 80, size=MARKETS)

    def make(index: int) -> Batch:
        rows = []
        for half in range(2):
            mid[:] = (mid + rng.integers(-1, 2, size=MARKETS)).clip(12, 88)
            for market in range(MARKETS):
                sizes = rng.integers(1, 20_000, size=(4, LEVELS)) / 100
                prices = [(int(mid[market]) + (1 + k) * side) / 100 for side in (-1, 1, -1, 1) for k in range(LEVELS)]
                ladder = [value for level in zip(prices, sizes.ravel().tolist(), strict=True) for value in level]
                cells = [prices[i * LEVELS] for i in range(4)] + sizes[:, 0].tolist() + sizes[:, :5].sum(1).tolist()
                rows.append((market, START_NS + (2 * index + half) * 500_000_000, cells, ladder))
        return Batch(-1, START_NS + index * 10**9, index, [], [], rows, [])

    return make


def message_batches() -> Callable[[int], Batch]:
    """Batches of 10,000 frames and as many book levels read from them."""
    frames = itertools.cycle(_frames())

    def make(index: int) -> Batch:
        now_ns = START_NS + index * 500_000_000
        raws = [(0, now_ns + 50_000 * i, next(frames)) for i in range(MESSAGES)]
        events = [
            (
                LEVEL,
                0,
                i % 400,
                now_ns + 50_000 * i,
                now_ns - 20_000_000,
                -1,
                i % 2,
                (i * 37 % 99 + 1) * 10**7,
                i * 10**7,
            )
            for i in range(MESSAGES)
        ]
        return Batch(-1, now_ns, index, raws, events, [], [])

    return make


def _frames() -> list[bytes]:
    sample = (
        Path(os.environ.get("MLX_RL_RECORDINGS", "")) / "raw_ws_samples" / "cryptofeed_multi_venue_2021_2022.parquet"
    )
    if sample.is_file():
        import pyarrow.parquet as pq

        return [payload.encode() for payload in pq.read_table(sample)["payload"].to_pylist() if payload]
    rng = stream(0, "bench-frames")
    return [
        b'{"event_type":"price_change","asset_id":"%d","changes":[{"price":"0.%02d","side":"BUY","size":"%d.%02d"}],'
        b'"timestamp":"%d"}' % (rng.integers(10**18), *rng.integers(1, 99, size=3), rng.integers(10**13))
        for _ in range(6_000)
    ]


def bench_log(name: str, make: Callable[[int], Batch], n: int, rows_per_batch: int) -> dict[str, Any]:
    """Write `n` batches, each synced, then recover the segment and read it back."""
    batches = [make(index) for index in range(n)]
    payload_bytes = sum(len(raw[2]) for batch in batches for raw in batch.raws)
    with tempfile.TemporaryDirectory() as folder:
        log = SegmentLog(Path(folder), "run", LogRules(0.0, 1 << 40, 10**6, UNWATCHED))
        took_ms, cpu_s = [], time.process_time()
        for batch in batches:
            started_s = time.perf_counter()
            log.write(batch, (), time.monotonic())
            took_ms.append((time.perf_counter() - started_s) * 1e3)
        cpu_s = time.process_time() - cpu_s
        size = log.state.bytes_written
        recovery = recover(Path(folder))
        (segment,) = recovery.segments
        started_s = time.perf_counter()
        back = sum(1 for _ in read_segment(segment.path)) if segment.path else 0
        read_s = time.perf_counter() - started_s
    assert back == n
    took_ms.sort()
    return {
        "what": name,
        "batch_ms_p50": took_ms[n // 2],
        "batch_ms_p99": took_ms[int(0.99 * n)],
        "cpu_us_per_row": 1e6 * cpu_s / (n * rows_per_batch),
        "bytes_per_row": size / (n * rows_per_batch),
        "of_frames_bytes": size / payload_bytes if payload_bytes else None,
        "segment_mb": size / 1e6,
        "recover_s": recovery.seconds,
        "recover_mb_per_s": size / 1e6 / recovery.seconds,
        "read_rows_per_s": n * rows_per_batch / read_s,
    }


def bench_put(make: Callable[[int], Batch], n: int) -> dict[str, float]:
    """Time that `Spool.put` takes of the event loop, a batch every 20 ms."""
    batches = [make(index) for index in range(n)]
    took_ms = []
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), "run", lambda: (), durability="tick", watermarks=UNWATCHED)
        for batch in batches:
            started_s = time.perf_counter()
            spool.put(batch)
            took_ms.append((time.perf_counter() - started_s) * 1e3)
            time.sleep(0.02)
        spool.close(timeout_s=60)
    took_ms.sort()
    return {"put_ms_p50": took_ms[n // 2], "put_ms_p99": took_ms[int(0.99 * n)], "put_ms_max": took_ms[-1]}


def main() -> int:
    """Run both loads and print a table, or one JSON object."""
    flags = argparse.ArgumentParser(description="Bench the log. Nothing is sent, nothing is kept.")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_argument("--batches", type=int, default=60, help="batches per load")
    asked = flags.parse_args()
    found = []
    for name, make, rows in (("ticks", tick_batches(), 2 * MARKETS), ("messages", message_batches(), MESSAGES)):
        say(f"writing {asked.batches} batches of {rows} {name}")
        found.append(bench_log(name, make, asked.batches, rows) | bench_put(make, asked.batches))
    if asked.json:
        emit_json({"capture": found})
        return 0
    columns = list(found[0])
    rows = [(column, *(_cell(result[column]) for result in found)) for column in columns[1:]]
    print(table(rows, ("", *(str(result["what"]) for result in found))))
    return 0


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    raise SystemExit(main())

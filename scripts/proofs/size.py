"""A tick takes at most 60 bytes in Parquet, and raw frames at most 15 % of what came off the socket.

Measured on six quarter-hour markets with the recorded prices and depth of the bundled windows, told in Polymarket's own
messages (`scripts.polymarket_load`): decoded, ticked each half second, logged and compacted as the recorder does it.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.line import LiveLine
from observer.capture.ticker import Ticker
from observer.compact import raw
from observer.compact.compactor import compact
from observer.kit.clock import NS_PER_S
from observer.store import parts
from observer.store.reader import Recording
from observer.store.segment_log import LogRules, SegmentLog
from observer.store.usage import usage
from observer.store.verify import verify
from observer.store.watermarks import Watermarks
from observer.venues.polymarket import Polymarket
from observer.venues.urls import resolve
from scripts.polymarket_load import OPEN_NS, WINDOW_S, load
from scripts.proofs import Measurement

TICK_BYTES, RAW_FRAC = 60.0, 0.15


def measure() -> Measurement:
    """The worse of the two sizes, as a share of its bar."""
    return _measured()


def control() -> Measurement:
    """The same without compression, dictionaries and deltas: it must miss."""
    with _plain():
        return _measured()


def _measured() -> Measurement:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = _record(folder)
        compact(folder, OPEN_NS)
        tables = {row["table"]: row for row in usage(folder, 0.0)["tables"]}
        ticks = sum(len(tape) for tape in Recording(folder).tapes())
        problems = len(verify(folder).problems)
    bytes_of = {name: table["bytes"] for name, table in tables.items()}
    tick_bytes = bytes_of["ticks"] / ticks
    raw_frac = bytes_of["raw"] / told["payload_bytes"]
    value = max(tick_bytes / TICK_BYTES, raw_frac / RAW_FRAC)
    is_whole = ticks >= 0.99 * 6 * 2 * WINDOW_S and not told["refused"] and not problems
    detail = {
        "tick_bytes": round(tick_bytes, 1), "tick_bytes_bar": TICK_BYTES,
        "raw_frac": round(raw_frac, 4), "raw_frac_bar": RAW_FRAC,
        "book_bytes_per_tick": round(bytes_of["book"] / ticks, 1),
        "events_bytes_per_frame": round(bytes_of["events"] / told["frames"], 1),
        "raw_bytes_per_frame": round(bytes_of["raw"] / told["frames"], 1),
        "bytes_per_market_day": {
            name: round(table["bytes_per_market_day"]) for name, table in tables.items() if name != "index"
        },
        "ticks": ticks, "problems": problems, **told,
    }  # fmt: skip
    return Measurement(value, 1.0, "of the tighter bar", value <= 1 and is_whole, detail)


def _record(folder: Path) -> dict[str, Any]:
    """Record the load as the recorder would; return what was told."""
    listings, frames = load()
    now = [OPEN_NS - NS_PER_S]
    clock = Clock(wall_ns=lambda: now[0], mono_ns=lambda: now[0])
    intake = Intake(clock, Counters())
    ticker = Ticker(intake, NS_PER_S // 2)
    log = SegmentLog(folder / "spool", "20260921T130000Z-aaaaaa", LogRules(None, 64 << 20, 900, Watermarks(0, 0, 0, 0)))
    for listing in listings:
        for instrument in listing.instruments:
            intake.add_instrument(instrument)
        ticker.add(listing, intake.add_market(listing))
    instruments = [instrument for listing in listings for instrument in listing.instruments]
    venue = Polymarket(resolve())
    (plan,) = venue.plan(instruments)
    number = intake.add_connection("polymarket", plan.name, plan.url, instruments)
    line = LiveLine(intake, "polymarket", number, send=lambda b: None, fetch=lambda i: None, reopen=lambda reason: None)
    decoder = venue.decoder(plan, line)
    kinds: Counter[str] = Counter()
    for recv_ns, payload in [*frames, (OPEN_NS + (WINDOW_S + 5) * NS_PER_S, b"")]:
        now[0] = recv_ns
        due_ns = intake.due_ns
        ticker.catch_up(recv_ns)
        if intake.due_ns != due_ns:
            log.write(intake.take(), intake.preamble, recv_ns / NS_PER_S)
        if payload:
            line.receive(payload, decoder.message)
            first = msgspec.json.decode(payload)
            kinds[(first[0] if isinstance(first, list) else first)["event_type"]] += 1
    intake.finish()
    log.write(intake.take(), intake.preamble, now[0] / NS_PER_S)
    log.close()
    counters = intake.counters.of("polymarket")
    return {
        "frames": len(frames), "payload_bytes": counters.payload_bytes, "kinds": dict(kinds),
        "refused": sum(counters.refused.values()) + counters.gaps,
    }  # fmt: skip


@contextmanager
def _plain() -> Iterator[None]:
    """Files as they would be without a thought: rows and frames as they come."""
    kept = parts.parquet_options, raw.LEVEL
    parts.parquet_options = lambda table: {"compression": "none", "use_dictionary": False}
    raw.LEVEL = -(1 << 17)  # as good as none
    try:
        yield
    finally:
        parts.parquet_options, raw.LEVEL = kept

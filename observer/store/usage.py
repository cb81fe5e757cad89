"""How many bytes a recording takes, table by table, for each day of each market, and for a month to come."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.store.archive import ARCHIVES, Hour, archived_hours
from observer.store.manifest import INDEX, LOGS
from observer.store.pruned import kept_in_s3
from observer.store.reader import Recording
from observer.store.recovery import WAL
from observer.store.schemas import OUTCOMES, TABLES, TICKS

SPOOL = "spool"
DAYS = 30  # a month
GB = 1 << 30  # as S3 bills it
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class TableUsage:
    """One table or archive: its files, manifests included; per market-day where there are markets, else NaN.

    Attributes:
        files, bytes: all of it, whether it is here or was pruned after its upload.
        in_s3_bytes: of that, what is kept in a bucket only.
    """

    table: str
    files: int
    bytes: int
    rows: int
    bytes_per_row: float
    bytes_per_market_day: float
    in_s3_bytes: int


def usage(root: Path, usd_per_gb_month: float) -> dict[str, Any]:
    """Everything `mlx-rl data du` shows, as plain data.

    A market-day is 24 hours of one market's ticks: ninety-six quarter-hour windows. What a day takes is told from the
    time that was recorded: the union of the archived files or, where there are none, of the windows. Segments that wait
    are left out of it. Archive files that were pruned after their upload count as their manifests say, so that a day
    takes what it takes, wherever it lies.

    Raises:
        UsageError: there is no recording.
        BadRecording: a manifest is damaged.
    """
    archives = {name: archived_hours(root, name) for name in ARCHIVES}
    recording = Recording(root) if (root / INDEX).exists() else None
    if recording is None and not any(archives.values()):
        raise UsageError(f"{root} holds no recording. Pass --data-dir the folder of one.")
    manifests = [] if recording is None else recording.manifests
    tapes = [(i.min_ns, i.max_ns) for m in manifests if m.table == TICKS.name for i in m.items.values()]
    market_days = sum(end_ns - start_ns for start_ns, end_ns in tapes) / NS_PER_S / _DAY_S
    rows = dict.fromkeys(TABLES, 0)
    for manifest in manifests:
        rows[manifest.table] += manifest.rows
    rows |= {name: sum(e.rows for hour in hours.values() for e in hour.values()) for name, hours in archives.items()}
    places = {**rows, OUTCOMES.name: 0, LOGS: 0, "index": 0}
    pruned = {name: _pruned(root / name, hours) for name, hours in archives.items()}
    tables = [_table(root, name, n, market_days, pruned.get(name, [])) for name, n in places.items()]
    kept = [table for table in tables if table.files]
    total = sum(table.bytes for table in kept)
    spans = [(e.min_ns, e.max_ns) for hours in archives.values() for hour in hours.values() for e in hour.values()]
    days = _covered_s(spans or tapes) / _DAY_S
    month = total / days * DAYS if days else float("nan")
    return {
        "data_dir": str(root),
        "markets": len(tapes),
        "market_days": market_days,
        "days": days,
        "tables": [asdict(table) for table in kept],
        "bytes": total,
        "in_s3_bytes": sum(table.in_s3_bytes for table in kept),
        "waiting_bytes": sum(path.stat().st_size for path in (root / SPOOL).glob(f"*/{WAL}/*")),
        "month_bytes": month,
        "usd_per_gb_month": usd_per_gb_month,
        "month_usd_per_month": month / GB * usd_per_gb_month,
    }


def _table(root: Path, name: str, rows: int, market_days: float, pruned: list[int]) -> TableUsage:
    """Add up the files that lie there, and those that were pruned; `index` stands for those beside the tables."""
    there = root.glob("*.json") if name == "index" else (root / name).rglob("*")
    sizes = [path.stat().st_size for path in there if path.is_file()]
    total = sum(sizes) + sum(pruned)
    per_row = total / rows if rows else float("nan")
    per_day = total / market_days if market_days else float("nan")
    return TableUsage(name, len(sizes) + len(pruned), total, rows, per_row, per_day, sum(pruned))


def _pruned(archive: Path, hours: dict[str, Hour]) -> list[int]:
    """Sizes of an archive's files that are kept in a bucket only."""
    return [
        hour[file].bytes
        for partition, hour in hours.items()
        for file in kept_in_s3(archive / partition, {name: entry.sha256 for name, entry in hour.items()})
    ]


def _covered_s(spans: list[tuple[int, int]]) -> float:
    """Seconds of the union of all spans."""
    total_ns, reached = 0, -(2**63)
    for start_ns, end_ns in sorted(spans):
        total_ns += max(0, end_ns - max(start_ns, reached))
        reached = max(reached, end_ns)
    return total_ns / NS_PER_S

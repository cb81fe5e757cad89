"""What the live recorder adds to a report: frames, refusals, reconnects, gaps, lateness, what was not written.

Summed up from the archives' manifests, where each file's counts stand (`observer.compact.tally`); no frame is read.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from observer.compact.names import RECORDER
from observer.compact.tally import Counts, lateness_ms, summed
from observer.kit.clock import NS_PER_S, iso
from observer.store.archive import EVENTS, RAW, ArchivedFile, archived_hours


@dataclass(frozen=True, slots=True)
class VenueRecorded:
    """What one venue sent and how it was kept.

    Attributes:
        frames, payload_bytes: messages off its sockets, and their bytes.
        raw_bytes, events_bytes: of the archived files; `raw_frac` of the frames' bytes.
        events: rows of events, one per level of a book.
        refused: frames that the decoder refused; they are kept.
        reconnects: connections that ended and not on purpose.
        gaps, gaps_s: spans in which a book was unknown, summed over books.
    """

    venue: str
    frames: int
    payload_bytes: int
    raw_bytes: int
    raw_frac: float
    events: int
    events_bytes: int
    refused: int
    reconnects: int
    gaps: int
    gaps_s: float


def recorder_report(root: Path) -> dict[str, Any] | None:
    """Everything the archives count, as plain data; None where nothing was recorded live.

    Raises:
        BadRecording: a manifest of an archive is damaged.
    """
    raw, events = _by_venue(root, RAW), _by_venue(root, EVENTS)
    if not raw:
        return None
    counts = {venue: summed(file.counts for file in files) for venue, files in raw.items()}
    own = counts.pop(RECORDER, {})
    spans = [(file.min_ns, file.max_ns) for files in raw.values() for file in files]
    late = own.get("late_ticks", {})
    return {
        "first": iso(min(start for start, _ in spans)),
        "last": iso(max(end for _, end in spans)),
        "venues": [asdict(_venue(name, counts[name], raw[name], events.get(name, []))) for name in sorted(counts)],
        "refused": _rows(counts, "refused", "frames"),
        "closed": _rows(counts, "closed", "times"),
        "gaps": [
            {"venue": venue, "reason": reason, "spans": gap["spans"], "seconds": gap["ns"] / NS_PER_S}
            for venue, table in sorted({**counts, RECORDER: own}.items())
            for reason, gap in sorted(table.get("gaps", {}).items())
        ],
        "dropped": [
            {"what": what, "reason": reason, "rows": rows}
            for reason, table in sorted(own.get("dropped", {}).items())
            for what, rows in sorted(table.items())
        ],
        "ticks": sum(late.values()),
        "late_ms_p50": lateness_ms(late, 0.5),
        "late_ms_p99": lateness_ms(late, 0.99),
        "late_ms_max": lateness_ms(late, 1.0),
        "clock_steps": own.get("clock_steps", 0),
    }


def _by_venue(root: Path, archive: str) -> dict[str, list[ArchivedFile]]:
    files: dict[str, list[ArchivedFile]] = {}
    for partition, hour in archived_hours(root, archive).items():
        files.setdefault(partition.split("/", 1)[0].removeprefix("venue="), []).extend(hour.values())
    return files


def _venue(name: str, counts: Counts, raw: list[ArchivedFile], events: list[ArchivedFile]) -> VenueRecorded:
    payload, kept = counts.get("payload_bytes", 0), sum(file.bytes for file in raw)
    gaps = counts.get("gaps", {}).values()
    return VenueRecorded(
        venue=name,
        frames=counts.get("frames", 0),
        payload_bytes=payload,
        raw_bytes=kept,
        raw_frac=kept / payload if payload else float("nan"),
        events=sum(file.rows for file in events),
        events_bytes=sum(file.bytes for file in events),
        refused=_total(counts.get("refused", {}).values()),
        reconnects=_total(counts.get("closed", {}).values()),
        gaps=_total(gap["spans"] for gap in gaps),
        gaps_s=_total(gap["ns"] for gap in gaps) / NS_PER_S,
    )


def _rows(counts: dict[str, Counts], what: str, unit: str) -> list[dict[str, Any]]:
    """One row per venue and reason, the commonest first."""
    rows = [
        {"venue": venue, "reason": reason, unit: n}
        for venue, table in counts.items()
        for reason, n in table.get(what, {}).items()
    ]
    return sorted(rows, key=lambda row: (-row[unit], row["venue"], row["reason"]))


def _total(numbers: Iterable[int]) -> int:
    return sum(numbers)

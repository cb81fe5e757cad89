"""A recording made again from its raw frames, by today's decoders, into another folder.

Raw frames are the truth; everything else was read from them. Where a decoder was wrong it is mended, and what was
recorded before is read again: `raw/` of one folder becomes the log of another, which is then compacted as usual.
Nothing of the first folder is changed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path

from observer.capture.replayed import Replayer
from observer.compact.compactor import Summary, compact
from observer.compact.raw import SUFFIX, Frame, RawHeader, RawRecord, read_raw
from observer.compact.split import time_of
from observer.kit.console import Progress
from observer.kit.errors import BadRecording, UsageError
from observer.ports import Venue
from observer.store.archive import RAW, archived_hours
from observer.store.batch import MarketSeen, Note
from observer.store.pruned import kept_in_s3
from observer.store.spool import Spool

_SPOOL, _BATCH_FRAMES = "spool", 4_000
_CLOSE_S = 600.0
_QUEUE_BYTES, _WAIT_S = 8 << 20, 0.01
_NEVER = -(2**63)


@dataclass
class RawRun:
    """The raw files of one run, by segment in order."""

    run_id: str
    segments: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])


def rebuild(source: Path, into: Path, venues: dict[str, Venue], now_ns: int) -> Summary:
    """Read every raw file of `source` again and make the recording `into` of it.

    Args:
        source: a folder that was recorded into.
        into: a folder that is empty or not there yet.
        venues: name -> venue, one for each that was recorded.
        now_ns: the time, for the windows that have closed.

    Raises:
        UsageError: no raw files, some that are kept in S3 only, or `into` holds something.
        BadRecording: a raw file is damaged, missing, or of a venue that is not known.
    """
    _require_all(source)
    runs = list(raw_runs(source))
    if not runs:
        raise UsageError(f"{source} holds no raw frames to read again. Pass the folder that the recorder wrote to.")
    if into.exists() and any(into.iterdir()):
        raise UsageError(f"{into} is not empty. Pass another folder: what is there is not touched.")
    progress = Progress("rebuild", sum(len(run.segments) for run in runs))
    done = 0
    for run in runs:
        replayer = Replayer(venues, _tick_ns(run), _first_ns(run) - 1)
        spool = Spool(into / _SPOOL, run.run_id, lambda r=replayer: r.intake.preamble, durability="os")
        last_ns = _NEVER
        for paths in run.segments.values():
            for at_ns, record in _in_time(paths):
                last_ns = max(last_ns, at_ns)
                if isinstance(record, Frame):
                    replayer.frame(record.conn, record.recv_ns, record.payload, record.fetched)
                else:
                    replayer.note(record, at_ns)
                if len(replayer.intake.raws) >= _BATCH_FRAMES:
                    _hand_over(spool, replayer)
            replayer.forget_ended()
            done += 1
            progress.update(done, run.run_id)
        replayer.finish(last_ns)
        _hand_over(spool, replayer)
        spool.close(_CLOSE_S)
        _check_whole(spool, into)
    return compact(into, now_ns)


def _require_all(source: Path) -> None:
    """Refuse a folder that lacks raw files: what is made of the others would pass for the whole."""
    hours = archived_hours(source, RAW)
    total, lost, addresses, pruned = sum(len(hour) for hour in hours.values()), list[Path](), set[str](), 0
    for partition, hour in hours.items():
        folder = source / RAW / partition
        elsewhere = kept_in_s3(folder, {name: entry.sha256 for name, entry in hour.items()})
        lost += [folder / name for name in hour if name not in elsewhere and not (folder / name).exists()]
        addresses |= set(elsewhere.values())
        pruned += len(elsewhere)
    if lost:
        raise BadRecording(
            f"{source} lacks {len(lost)} of its {total} raw files, the first is {lost[0]}. Restore them from a copy; "
            f"see what else is wrong: mlx-rl data verify --data-dir {source}"
        )
    if pruned:
        raise UsageError(
            f"{pruned} of the {total} raw files of {source} are kept in S3 only. Bring the whole recording down and "
            f"rebuild from there: mlx-rl sync {' or '.join(sorted(addresses))} OTHER_DIR"
        )


def _hand_over(spool: Spool, replayer: Replayer) -> None:
    """Give the spool a batch once it has written most of what it has: here nothing forces anybody to leave rows out."""
    while spool.state().queued_bytes > _QUEUE_BYTES:
        time.sleep(_WAIT_S)
    spool.put(replayer.take())


def _check_whole(spool: Spool, into: Path) -> None:
    """Refuse a rebuild that left rows out; raises `BadRecording`."""
    state = spool.state()
    left_out = state.shed_raw + state.shed_events + sum(rows for _, rows in state.log.skipped_rows)
    if left_out:
        raise BadRecording(
            f"{into}: {left_out} rows could not be written, so the rebuild is not whole. Make room on the disk, remove "
            "that folder and rebuild again."
        )


def raw_runs(root: Path) -> Iterator[RawRun]:
    """The runs that left raw files below `root`, oldest first."""
    found: dict[str, dict[tuple[int, str], list[Path]]] = {}
    for path in sorted((root / RAW).rglob(f"*{SUFFIX}")):
        header = next(read_raw(path))
        assert isinstance(header, RawHeader)  # or `read_raw` had raised
        found.setdefault(header.run_id, {}).setdefault((header.first_batch, header.segment_id), []).append(path)
    for run_id in sorted(found):
        segments = found[run_id]
        yield RawRun(run_id, {segment_id: segments[n, segment_id] for n, segment_id in sorted(segments)})


def _in_time(paths: list[Path]) -> Iterator[tuple[int, Frame | Note]]:
    """The records of one segment's files in order of time, those of a file in its own order."""
    streams = (_timed(path, i) for i, path in enumerate(paths))
    for at_ns, _, _, record in merge(*streams, key=lambda step: step[:3]):
        yield at_ns, record


def _timed(path: Path, file: int) -> Iterator[tuple[int, int, int, Frame | Note]]:
    """(time, file, number, record); a note without a time of its own has that of the record before it."""
    at_ns = _NEVER
    for number, record in enumerate(_records(path)):
        own_ns = record.recv_ns if isinstance(record, Frame) else time_of(record)
        at_ns = at_ns if own_ns is None else max(at_ns, own_ns)
        yield at_ns, file, number, record


def _records(path: Path) -> Iterator[Frame | Note]:
    for record in read_raw(path):
        if not isinstance(record, RawHeader):
            yield record


def _first_ns(run: RawRun) -> int:
    """Time of a run's first record that has one."""
    first = next(iter(run.segments.values()))
    return next((at_ns for at_ns, _ in _in_time(first) if at_ns != _NEVER), 0)


def _tick_ns(run: RawRun) -> int:
    """Spacing of the grid, as the first market that was named says it."""
    for paths in run.segments.values():
        for path in paths:
            record: RawRecord
            for record in read_raw(path):
                if isinstance(record, MarketSeen):
                    return int(record.row["tick_ns"])
    return 500_000_000  # no market, no ticks

"""The archives: what the recorder handed over comes back, in order, from files that stand alone and notice damage."""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.compact.events import GROUP_ROWS, EventSplitter, read_events
from observer.compact.names import RECORDER, Names
from observer.compact.raw import FORMAT, Frame, RawEnd, RawHeader, RawWriter, read_raw
from observer.compact.split import RawSplitter, time_of
from observer.kit.errors import BadRecording
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.store.batch import (
    BOOK,
    LEVEL,
    LOST,
    PRICE,
    TRADE,
    Batch,
    ClockStep,
    Connected,
    Disconnected,
    Dropped,
    InstrumentSeen,
    Lateness,
    Quarantined,
)
from observer.store.manifest import HOUR_NS
from observer.store.segment import SegmentHeader

HEADER = SegmentHeader("seg", "run", "", "", 0, 0, 0)
HOUR = 500_000 * HOUR_NS
NAMES = [
    InstrumentSeen(0, "v", "up", "m", 1, "BTC", ""),
    InstrumentSeen(1, "v", "down", "m", 2, "BTC", ""),
    InstrumentSeen(2, "w", "btc", "", 0, "BTC", "w-spot"),
    Connected(0, "v", "all", "ws://v", HOUR - HOUR_NS),
    Connected(1, "w", "all", "ws://w", HOUR - HOUR_NS),
]


def batch_of(raws: list[Any] = [], events: list[Any] = [], notes: list[Any] = []) -> Batch:  # noqa: B006
    return Batch(0, HOUR, 0, raws, events, [], notes)


def raw_files(folder: Path, *batches: Batch) -> dict[str, list[Any]]:
    splitter = RawSplitter(HEADER, folder, lambda where: False)
    for batch in batches:
        splitter.take(batch)
    return {where: list(read_raw(path)) for where, path, _ in splitter.close()}


def test_frames_come_back_by_venue_and_hour_in_order_with_names_first(tmp_path: Path) -> None:
    raws = [(0, HOUR + 5, b"a"), (1, HOUR + 5, b"b"), (0, HOUR + 9, b""), (0, HOUR + HOUR_NS, b"next hour")]

    files = raw_files(tmp_path, batch_of(raws, notes=NAMES))

    assert {where: [r.payload for r in records if isinstance(r, Frame)] for where, records in files.items()} == {
        "venue=v/date=2027-01-15/hour=08": [b"a", b""],
        "venue=w/date=2027-01-15/hour=08": [b"b"],
        "venue=v/date=2027-01-15/hour=09": [b"next hour"],
    }
    for where, records in files.items():
        venue = where[6]
        assert records[0] == RawHeader(FORMAT, venue, "run", "seg", 0)
        assert records[1 : 1 + sum(n.venue == venue for n in NAMES)] == [n for n in NAMES if n.venue == venue]


def test_notes_stand_where_they_were_true_and_refused_frames_say_why(tmp_path: Path) -> None:
    notes = [
        *NAMES, Quarantined(1, 0, "bad price"), Quarantined(1, 0, "crossed"), Disconnected(0, HOUR + 30, "cut", False),
        Connected(5, "v", "all", "ws://v", HOUR + 20), Lateness(HOUR + 10, 3), ClockStep(HOUR + 1, -5),
        Quarantined(-1, 0, "its frame was left out"),
    ]  # fmt: skip
    raws = [(0, HOUR + 10, b"1"), (0, HOUR + 20, b"2"), (5, HOUR + 30, b"3")]

    later = [(5, HOUR + 40, b"4"), (5, HOUR + HOUR_NS, b"5")]
    files = raw_files(tmp_path, batch_of(raws, notes=notes), batch_of(later))

    of_venue = [r for r in files["venue=v/date=2027-01-15/hour=08"][1:] if r not in NAMES]
    assert of_venue == [
        Quarantined(-1, 0, "its frame was left out"), Frame(HOUR + 10, 0, b"1"),
        Connected(5, "v", "all", "ws://v", HOUR + 20), Frame(HOUR + 20, 0, b"2", "bad price; crossed"),
        Frame(HOUR + 30, 5, b"3"), Disconnected(0, HOUR + 30, "cut", False), Frame(HOUR + 40, 5, b"4"),
    ]  # fmt: skip
    assert [r.conn for r in files["venue=v/date=2027-01-15/hour=09"] if isinstance(r, Connected)] == [5]  # 0 has ended
    assert files[f"venue={RECORDER}/date=2027-01-15/hour=08"][1:] == [ClockStep(HOUR + 1, -5), Lateness(HOUR + 10, 3)]


def test_what_a_raw_file_counts_is_in_its_entry(tmp_path: Path) -> None:
    splitter = RawSplitter(HEADER, tmp_path, lambda where: where.startswith("venue=w"))
    notes = [
        *NAMES,
        Quarantined(0, 0, "bad"),
        Disconnected(0, HOUR + 3, "cut", False),
        Disconnected(1, HOUR, "x", True),
    ]
    splitter.take(batch_of([(0, HOUR, b"12345"), (1, HOUR, b"archived already")], notes=notes))

    (entry,) = [entry for _, _, entry in splitter.close()]

    assert (entry.rows, entry.min_ns, entry.max_ns) == (1, HOUR, HOUR + 3)
    assert entry.counts == {"frames": 1, "payload_bytes": 5, "refused": {"bad": 1}, "closed": {"cut": 1}}


@given(
    raws=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3 * HOUR_NS), st.binary(max_size=50)), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_no_frame_is_lost_or_doubled_or_moved(
    raws: list[tuple[int, int, bytes]], cuts: list[int], tmp_path_factory
) -> None:
    frames = sorted(((c, HOUR + t, p) for c, t, p in raws), key=lambda raw: raw[1])
    edges = [0, *sorted(cuts), len(frames)]
    batches = [batch_of(frames[a:b]) for a, b in pairwise(edges)]

    files = raw_files(tmp_path_factory.mktemp("raw"), batch_of(notes=NAMES), *batches)

    for conn, venue in ((0, "v"), (1, "w")):
        back = [r for where in sorted(files) if f"={venue}/" in where for r in files[where] if isinstance(r, Frame)]
        assert [(f.conn, f.recv_ns, f.payload) for f in back] == [raw for raw in frames if raw[0] == conn]


def test_the_zstd_command_reads_a_raw_file_and_finds_a_flipped_bit(tmp_path: Path) -> None:
    zstd = shutil.which("zstd")
    if zstd is None:
        pytest.skip("the zstd command is not installed")
    writer = RawWriter(tmp_path / "a.zst", "v", HEADER)
    writer.frame(Frame(HOUR, 0, b"payload" * 50))
    writer.close()
    plain = subprocess.run([zstd, "-dc", writer.path], capture_output=True, check=True).stdout
    damaged = bytearray(writer.path.read_bytes())
    damaged[-6] ^= 1  # in the data, so the checksum no longer fits
    writer.path.write_bytes(damaged)

    assert b"payload" * 50 in plain
    assert subprocess.run([zstd, "-t", writer.path], capture_output=True, check=False).returncode != 0
    with pytest.raises(BadRecording, match=r"a\.zst is damaged"):
        list(read_raw(writer.path))


def test_a_cut_doubled_or_foreign_raw_file_is_refused(tmp_path: Path) -> None:
    import zstandard

    path = tmp_path / "a.zst"

    def put(*records: Any) -> None:
        data = b"".join(len(d := msgspec.msgpack.encode(r)).to_bytes(4, "little") + d for r in records)
        path.write_bytes(zstandard.compress(data))

    header, frame = RawHeader(FORMAT, "v", "run", "seg", 0), Frame(HOUR, 0, b"x")
    for records, message in (
        ((header, frame), "it ends before its last record"),
        ((header, frame, RawEnd(2)), "1 frames where 2 were written"),
        ((frame, RawEnd(1)), "no header of mlx-rl-raw/1 at its start"),
        ((header, header, RawEnd(0)), "no header of mlx-rl-raw/1 at its start, and only there"),
        ((RawHeader("mlx-rl-raw/9", "v", "run", "seg", 0), RawEnd(0)), "no header of mlx-rl-raw/1"),
        ((header, RawEnd(0), frame), "records behind the last one"),
        ((header, ["nonsense"]), "is damaged: Invalid value"),
    ):
        put(*records)
        with pytest.raises(BadRecording, match=message):
            list(read_raw(path))


scaled = st.integers(0, 2**62)
times = st.integers(0, HOUR_NS - 1).map(lambda ns: HOUR + ns)
venue_times = st.one_of(st.just(UNKNOWN_NS), times)
seqs = st.integers(-1, 2**62)
levels = st.lists(st.tuples(scaled, scaled), max_size=4).map(tuple)
heads = st.tuples(st.integers(0, 3), st.integers(0, 2), times)
events = st.one_of(
    st.tuples(st.just((BOOK,)), heads, st.tuples(venue_times, seqs, levels, levels)),
    st.tuples(st.just((LEVEL,)), heads, st.tuples(venue_times, seqs, st.integers(0, 1), scaled, scaled)),
    st.tuples(
        st.just((TRADE,)), heads, st.tuples(venue_times, st.sampled_from([BUY, SELL]), scaled, scaled, st.text())
    ),
    st.tuples(st.just((PRICE,)), heads, st.tuples(venue_times, scaled)),
    st.tuples(st.just((LOST,)), heads, st.tuples(st.text())),
).map(lambda parts: tuple(x for part in parts for x in part))


def event_files(folder: Path, *batches: Batch) -> dict[str, Path]:
    names = Names()
    splitter = EventSplitter(HEADER, folder, lambda where: False)
    for batch in batches:
        for note in batch.notes:
            names.learn(note)
        splitter.take(batch, names)
    return {where.split("/")[0]: path for where, path, _ in splitter.close()}


@given(told=st.lists(events, max_size=25), group_rows=st.integers(1, 12))
@settings(max_examples=120, deadline=None)
def test_every_event_comes_back_as_it_was(told: list[Any], group_rows: int, tmp_path_factory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("observer.compact.events.GROUP_ROWS", group_rows)
        files = event_files(tmp_path_factory.mktemp("events"), batch_of(events=told, notes=NAMES))

    for venue, numbers in (("v", (0, 1)), ("w", (2,))):
        expected = [event for event in told if event[2] in numbers]
        assert (read_events(files[f"venue={venue}"]) if expected else []) == expected


def test_another_library_reads_the_events_and_finds_them_sorted_and_named(tmp_path: Path) -> None:
    told = [
        (BOOK, 0, 1, HOUR + 1, HOUR, 7, ((5, 50), (4, 40)), ((6, 60),)),
        (LEVEL, 0, 0, HOUR + 2, UNKNOWN_NS, -1, 1, 9, 0),
        (TRADE, 0, 1, HOUR + 3, HOUR, SELL, 5, 3, "t-1"),
        (BOOK, 0, 0, HOUR + 4, HOUR, -1, (), ()),
        (LOST, 0, 1, HOUR + 5, "silence"),
    ]

    frame = polars.read_parquet(event_files(tmp_path, batch_of(events=told, notes=NAMES))["venue=v"])

    columns = [
        "kind",
        "key",
        "market_id",
        "token",
        "arrival",
        "venue_ns",
        "seq",
        "is_snapshot",
        "side",
        "price",
        "size",
        "text",
    ]
    assert frame.select(columns).rows() == [
        ("level", "up", "m", "up", 1, None, None, False, "ask", 9, 0, None),
        ("book", "up", "m", "up", 3, HOUR, None, True, None, None, None, None),
        ("book", "down", "m", "down", 0, HOUR, 7, True, "bid", 5, 50, None),
        ("book", "down", "m", "down", 0, HOUR, 7, True, "bid", 4, 40, None),
        ("book", "down", "m", "down", 0, HOUR, 7, True, "ask", 6, 60, None),
        ("trade", "down", "m", "down", 2, HOUR, None, False, "sell", 5, 3, "t-1"),
        ("lost", "down", "m", "down", 4, None, None, False, None, None, None, "silence"),
    ]
    assert frame["key"].dtype == polars.String


def test_an_event_of_an_instrument_nobody_named_is_kept_apart(tmp_path: Path) -> None:
    files = event_files(tmp_path, batch_of(events=[(PRICE, 0, 9, HOUR, HOUR, 5)]))

    assert read_events(files[f"venue={RECORDER}"]) == [(PRICE, 0, 9, HOUR, HOUR, 5)]
    assert pq.read_table(files[f"venue={RECORDER}"]).column("key").to_pylist() == [None]
    assert GROUP_ROWS >= 100_000


def test_a_damaged_events_file_is_refused(tmp_path: Path) -> None:
    path = event_files(tmp_path, batch_of(events=[(PRICE, 0, 0, HOUR, HOUR, 5)], notes=NAMES))["venue=v"]
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(BadRecording, match="is missing or damaged"):
        read_events(path)


def test_frames_that_were_not_written_are_told_where_the_first_of_them_was() -> None:
    assert time_of(Dropped("raw", 2, 5, 9, "slow")) == 5  # a tick of 7 saw them: it cannot be taken again
    assert time_of(Dropped("events", 2, 5, 9, "slow")) == 9

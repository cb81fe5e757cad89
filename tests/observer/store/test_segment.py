"""A segment says where it is wrong."""

from pathlib import Path

import pytest
import zstandard

from observer.kit.errors import BadRecording
from observer.store.batch import encode
from observer.store.segment import (
    ZSTD,
    SegmentHeader,
    end_payload,
    frame,
    header_bytes,
    pack,
    read_header,
    read_segment,
    scan_segment,
    seed_of,
)  # fmt: skip
from tests.samples.batches import make_batch

HEADER = SegmentHeader("0000000000000000007-aa", "run", "boot", "0.1", 7, 8, 40)
SEED = seed_of(HEADER.segment_id)


def payload(number: int) -> bytes:
    batch = make_batch(number)
    batch.number = number
    return pack(batch, zstandard.ZstdCompressor())


def file_with(folder: Path, *payloads: bytes, header: bytes | None = None) -> Path:
    path = folder / f"{HEADER.segment_id}.wal"
    path.write_bytes((header or header_bytes(HEADER)) + b"".join(frame(p, SEED) for p in payloads))
    return path


def test_what_was_written_is_read_batch_by_batch(tmp_path: Path) -> None:
    path = file_with(tmp_path, payload(40), payload(41), end_payload(2))

    batches = list(read_segment(path))

    assert [batch.number for batch in batches] == [40, 41]
    assert batches[1].raws == make_batch(41).raws
    assert read_header(path) == HEADER


def test_a_scan_counts_whole_batches_of_a_file_that_is_still_written(tmp_path: Path) -> None:
    path = file_with(tmp_path, payload(40), payload(41))
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes() + frame(payload(42), SEED)[:-1])

    scan = scan_segment(path)

    assert (scan.batches, scan.valid_bytes, scan.is_ended) == (2, whole, False)
    assert "are left" in scan.flaw


@pytest.mark.parametrize(
    ("payloads", "message"),
    [
        ([40, 42, "end"], r"batch 42, expected 41"),
        ([41, "end"], r"batch 41, expected 40"),
        ([40, 41], r"ends without its end mark"),
        ([40, "end", 41], r"bytes behind the end mark"),
        ([40, 41, "end1"], r"does not count 2 batches"),
        ([40, b""], r"a frame of 0 bytes"),
        ([40, b"\x07abc"], r"codec 7"),
        ([40, b"\x01abc"], r"cannot be unpacked"),
    ],
)
def test_a_segment_that_tells_another_story_is_refused(tmp_path: Path, payloads: list, message: str) -> None:
    ends = {"end": 1 if payloads[-1] != "end" or len(payloads) == 2 else len(payloads) - 1, "end1": 1}
    path = file_with(
        tmp_path,
        *(payload(p) if isinstance(p, int) else end_payload(ends[p]) if isinstance(p, str) else p for p in payloads),
    )

    with pytest.raises(BadRecording, match=rf"\.wal at byte \d+: .*{message}"):
        list(read_segment(path))


def test_another_format_is_left_for_the_code_that_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observer.store.segment.VERSION", 9)
    header = header_bytes(HEADER)
    monkeypatch.undo()
    path = file_with(tmp_path, header=header)

    for read in (read_header, scan_segment, lambda p: list(read_segment(p))):
        with pytest.raises(BadRecording, match="of format 9; this code reads format 1"):
            read(path)


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.wal"
    path.write_bytes(b"PAR1" * 20)

    with pytest.raises(BadRecording, match="no segment file"):
        read_header(path)


def test_a_payload_is_a_codec_and_plain_zstd_of_msgpack() -> None:
    batch = make_batch(3)

    packed = pack(batch, zstandard.ZstdCompressor(level=1))

    assert packed[0] == ZSTD
    assert zstandard.decompress(packed[1:]) == encode(batch)

"""One file of the log: how it is laid out and how it is read back.

    header   magic 8 | version u16 | body length u16 | CRC-32 of these two and the body u32 | `SegmentHeader` as JSON
    frames   length u32 | CRC-32 u32 | payload: codec u8, then a batch (msgpack, zstd level 1)
    end      a frame with codec END that counts the batches; a sealed file has it, so a cut anywhere is noticed

Numbers are little-endian. A frame's CRC covers its length and payload and starts from the segment's id: a zero-filled
tail (usual after a power cut) or a block left over from another file never reads as a frame. Length 0 is forbidden.

A file is called `<ns>-<random>.open` while it is written and `.wal` once sealed; names sort in order of time.
`observer.store.segment_writer` writes it, `observer.store.recovery` seals what a crash left open.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from observer.kit.errors import BadRecording
from observer.store.batch import Batch, decode, encode
from observer.store.filesystem import REAL, FileSystem

OPEN, SEALED = ".open", ".wal"
MAGIC = b"MLXRLSEG"
VERSION = 1
END, ZSTD = 0, 1  # codecs

_PREFIX = struct.Struct("<8sHHI")
_VERSION_AND_LENGTH = struct.Struct("<HH")
_FRAME = struct.Struct("<II")
_COUNT = struct.Struct("<BQ")


class SegmentHeader(msgspec.Struct, frozen=True):
    """Who wrote a segment, when, and where it stands in its run.

    Attributes:
        segment_id: the file's name without its ending; unique over all runs.
        run_id: the run, also the name of its folder.
        boot_id: of the machine's current boot ("" where unknown); `mono_ns` of one boot can be compared.
        code_version: which code wrote it.
        wall_ns, mono_ns: both clocks when it was opened.
        first_batch: number of its first batch.
    """

    segment_id: str
    run_id: str
    boot_id: str
    code_version: str
    wall_ns: int
    mono_ns: int
    first_batch: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment holds, by its checksums alone.

    Attributes:
        header: None where not even that is whole.
        batches: whole ones, up to the first flaw.
        valid_bytes: header, whole batches and the end mark.
        total_bytes: of the file.
        is_ended: whether the end mark is there.
        flaw: what stands at `valid_bytes`; "" where nothing does.
    """

    header: SegmentHeader | None
    batches: int
    valid_bytes: int
    total_bytes: int
    is_ended: bool
    flaw: str


def pack(batch: Batch, compressor: zstandard.ZstdCompressor) -> bytes:
    """A batch as a frame's payload."""
    return bytes((ZSTD,)) + compressor.compress(encode(batch))


def end_payload(batches: int) -> bytes:
    """The payload of the end mark."""
    return _COUNT.pack(END, batches)


def seed_of(segment_id: str) -> int:
    """Where the CRC of a segment's frames starts."""
    return zlib.crc32(segment_id.encode())


def frame(payload: bytes, seed: int) -> bytes:
    """A payload with its length and checksum."""
    length = len(payload).to_bytes(4, "little")
    crc = zlib.crc32(payload, zlib.crc32(length, seed))
    return b"".join((length, crc.to_bytes(4, "little"), payload))


def header_bytes(header: SegmentHeader) -> bytes:
    """The start of a segment file."""
    body = msgspec.json.encode(header)
    return _PREFIX.pack(MAGIC, VERSION, len(body), _header_crc(VERSION, body)) + body


def _header_crc(version: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_VERSION_AND_LENGTH.pack(version, len(body))))


def read_header(path: Path, fs: FileSystem = REAL) -> SegmentHeader:
    """Who wrote a segment and when.

    Raises:
        BadRecording: the file does not start like a segment.
    """
    with fs.open_read(path) as file:
        header, _, flaw = _header(path, file)
    if header is None:
        raise _refused(path, 0, flaw)
    return header


def read_segment(path: Path, fs: FileSystem = REAL) -> Iterator[Batch]:
    """Read a sealed segment, batch by batch in order; memory holds one batch at a time.

    Raises:
        BadRecording: anything is not as it was written (a flipped bit, a cut, a missing batch); names file and offset.
    """
    with fs.open_read(path) as file:
        header, start, flaw = _header(path, file)
        if header is None:
            raise _refused(path, 0, flaw)
        decompressor = zstandard.ZstdDecompressor()
        batches = 0
        is_ended = False
        for offset, payload, flaw in _frames(file, seed_of(header.segment_id), start):
            if flaw or is_ended:
                raise _refused(path, offset, flaw or "bytes behind the end mark")
            if payload[0] == END:
                if payload != end_payload(batches):
                    raise _refused(path, offset, f"an end mark that does not count {batches} batches")
                is_ended = True
                continue
            batch = _unpack(path, offset, payload, decompressor)
            if batch.number != header.first_batch + batches:
                raise _refused(path, offset, f"batch {batch.number}, expected {header.first_batch + batches}")
            batches += 1
            yield batch
        if not is_ended:
            raise _refused(path, _size_of(file), "the file ends without its end mark")


def scan_segment(path: Path, fs: FileSystem = REAL) -> Scan:
    """Find the part of a segment that is whole, without unpacking it; works on a file that is still written.

    Raises:
        BadRecording: another version of the format; what is whole in it is not for this code to say.
    """
    with fs.open_read(path) as file:
        total = _size_of(file)
        header, valid, flaw = _header(path, file)
        if header is None:
            return Scan(None, 0, 0, total, is_ended=False, flaw=flaw)
        batches = 0
        is_ended = False
        for offset, payload, found in _frames(file, seed_of(header.segment_id), valid):
            flaw = found or ("bytes behind the end mark" if is_ended else "")
            if flaw:
                break
            is_ended = payload[0] == END
            batches += not is_ended
            valid = offset + _FRAME.size + len(payload)
    return Scan(header, batches, valid, total, is_ended, flaw)


def _size_of(file: BinaryIO) -> int:
    """Size of an open file; the position stays."""
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def _header(path: Path, file: BinaryIO) -> tuple[SegmentHeader | None, int, str]:
    """(header, where the frames start, "") or (None, 0, what is wrong)."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None, 0, f"{len(prefix)} bytes, too few for a header"
    magic, version, length, crc = _PREFIX.unpack(prefix)
    body = file.read(length)
    if magic != MAGIC:
        return None, 0, "no segment file (wrong first bytes)"
    if len(body) != length or _header_crc(version, body) != crc:
        return None, 0, "a damaged header"
    if version != VERSION:
        raise BadRecording(
            f"{path} is whole and of format {version}; this code reads format {VERSION}. "
            "Let the version of mlx-rl that wrote it finish it, or set the file aside."
        )
    return msgspec.json.decode(body, type=SegmentHeader), _PREFIX.size + length, ""


def _frames(file: BinaryIO, seed: int, offset: int) -> Iterator[tuple[int, bytes, str]]:
    """(offset, payload, "") of each frame; last, where the file does not end after a frame, (offset, b"", flaw)."""
    left = _size_of(file) - offset
    while left:
        prefix = file.read(_FRAME.size)
        if len(prefix) < _FRAME.size:
            yield offset, b"", f"{left} bytes, too few for a frame"
            return
        length, crc = _FRAME.unpack(prefix)
        if length == 0 or length > left - _FRAME.size:
            yield offset, b"", f"a frame of {length} bytes where {left - _FRAME.size} are left"
            return
        payload = file.read(length)
        if zlib.crc32(payload, zlib.crc32(prefix[:4], seed)) != crc:
            yield offset, b"", "a frame whose checksum does not match"
            return
        yield offset, payload, ""
        offset += _FRAME.size + length
        left -= _FRAME.size + length


def _unpack(path: Path, offset: int, payload: bytes, decompressor: zstandard.ZstdDecompressor) -> Batch:
    if payload[0] != ZSTD:
        raise _refused(path, offset, f"codec {payload[0]}, which this code does not know")
    try:
        return decode(decompressor.decompress(memoryview(payload)[1:]))
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise _refused(path, offset, f"a batch that cannot be unpacked ({error})") from error


def _refused(path: Path, offset: int, flaw: str) -> BadRecording:
    return BadRecording(
        f"{path} at byte {offset}: {flaw}. The batches before it are whole; "
        "restore the file, or set it aside and accept a gap."
    )

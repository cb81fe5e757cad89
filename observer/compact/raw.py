"""Raw archive files: every frame of one venue in one hour of one segment, as it came off the socket.

A file is one zstd frame (`zstd -d` opens it; it carries a checksum). Inside: records, each a length (u32,
little-endian) and msgpack. First a `RawHeader`, then the notes that name every connection, instrument and market, so
that a file can be read alone; then frames and notes in order of time; last a `RawEnd` that counts the frames.

Level 9 with a window of 1 MiB was measured on the frames of 96 markets interleaved: 12.7 % of their bytes at 107 MB/s
and 3 MB of memory. The usual 4 MiB window takes 11 MB and saves nothing (12.8 %); level 15 saves one point at 7 MB/s;
sorting by market saves another and loses the order of arrival. Random hashes are 5.7 % that nothing saves.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from observer.kit.errors import BadRecording
from observer.store.batch import Note
from observer.store.segment import SegmentHeader

FORMAT = "mlx-rl-raw/1"
SUFFIX = ".zst"
LEVEL, _WINDOW_LOG, _TABLE_LOG = 9, 20, 19
_LENGTH = struct.Struct("<I")


class RawHeader(msgspec.Struct, frozen=True, array_like=True, tag="raw"):
    """What a file holds: which venue, and which segment of which run it was taken from."""

    format: str
    venue: str
    run_id: str
    segment_id: str
    first_batch: int


class Frame(msgspec.Struct, frozen=True, array_like=True, tag="frame"):
    """One message off a socket.

    Attributes:
        recv_ns, conn: when, and on which connection.
        payload: as it came.
        refused: why, where the decoder refused it.
        fetched: number of the instrument whose book by REST this is; -1 for a message.
    """

    recv_ns: int
    conn: int
    payload: bytes
    refused: str = ""
    fetched: int = -1


class RawEnd(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The last record: how many frames came before."""

    frames: int


RawRecord = RawHeader | Frame | Note

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RawHeader | RawEnd | Frame | Note)


@dataclass
class RawWriter:
    """One raw file in the making, written as it comes so that memory holds none of it.

    Attributes:
        path: the file, under a temporary name.
        frames, payload_bytes: what is in it.
        min_ns, max_ns: first and last time of frames and notes.
    """

    path: Path
    venue: str
    segment: SegmentHeader
    frames: int = 0
    payload_bytes: int = 0
    min_ns: int = 2**63 - 1
    max_ns: int = -(2**63)
    _file: BinaryIO = field(init=False, repr=False)
    _zstd: zstandard.ZstdCompressionWriter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, window_log=_WINDOW_LOG, hash_log=_TABLE_LOG, chain_log=_TABLE_LOG, write_checksum=True
        )
        self._file = self.path.open("wb")
        self._zstd = zstandard.ZstdCompressor(compression_params=parameters).stream_writer(self._file, closefd=False)
        segment = self.segment
        self._put(RawHeader(FORMAT, self.venue, segment.run_id, segment.segment_id, segment.first_batch))

    def frame(self, frame: Frame) -> None:
        """Add a frame."""
        self._put(frame)
        self.frames += 1
        self.payload_bytes += len(frame.payload)
        self._see(frame.recv_ns)

    def note(self, note: Note, at_ns: int | None) -> None:
        """Add a note; `at_ns` is None for one that only names something."""
        self._put(note)
        if at_ns is not None:
            self._see(at_ns)

    def close(self) -> None:
        """End the file."""
        self._put(RawEnd(self.frames))
        self._zstd.close()
        self._file.close()

    def _put(self, record: RawHeader | RawEnd | Frame | Note) -> None:
        data = _encoder.encode(record)
        self._zstd.write(_LENGTH.pack(len(data)) + data)

    def _see(self, at_ns: int) -> None:
        self.min_ns, self.max_ns = min(self.min_ns, at_ns), max(self.max_ns, at_ns)


def read_raw(path: Path) -> Iterator[RawRecord]:
    """Read a raw file, record by record in its order, the header first; memory holds one record.

    Raises:
        BadRecording: the file is not as it was written, or is none of this format.
    """
    frames, is_begun, is_ended = 0, False, False
    with path.open("rb") as file:
        try:
            for data in _records(zstandard.ZstdDecompressor().stream_reader(file)):
                record = _decoder.decode(data)
                if is_ended:
                    raise _damaged(path, "records behind the last one")
                if isinstance(record, RawEnd):
                    is_ended = record.frames == frames
                    if not is_ended:
                        raise _damaged(path, f"{frames} frames where {record.frames} were written")
                    continue
                if isinstance(record, RawHeader) == is_begun or (not is_begun and record.format != FORMAT):
                    raise _damaged(path, f"no header of {FORMAT} at its start, and only there")
                is_begun = True
                frames += isinstance(record, Frame)
                yield record
        except (zstandard.ZstdError, msgspec.MsgspecError) as error:
            raise _damaged(path, str(error)) from error
    if not is_ended:
        raise _damaged(path, "it ends before its last record")


def _records(stream: zstandard.ZstdDecompressionReader) -> Iterator[bytes]:
    while len(prefix := stream.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(prefix)
        data = stream.read(length)
        if len(data) < length:
            return
        yield data


def _damaged(path: Path, what: str) -> BadRecording:
    return BadRecording(
        f"{path} is damaged: {what}. Restore it from a copy; see what else is: mlx-rl data verify --data-dir ..."
    )

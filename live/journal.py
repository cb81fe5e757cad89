"""The journal: what a session saw, decided, sent and got, one JSON line each, chained by hashes.

Every line names the hash of the line before it and carries its own, so a changed, removed, reordered or inserted
line is found. The last line is a footer that counts the lines; a file without one was cut short or never
finished, and is called that. A chain is no signature: whoever can rewrite the whole file can rewrite the chain
too, so the last hash is printed at the end of a session and `verify` takes it.

A line: {"n": 7, "prev": "<hash of line 6>", "kind": "tick", …, "hash": "<hash of this line without it>"}.
Numbers are written so that they read back to the same bits; a missing number (NaN) is null.

Crash promise: one line is one `write`, so kill -9 loses nothing that `append` returned for. A power cut loses at
most what came after the last order (fsync "orders"), nothing ("always"), or what the system held back ("never").
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from observer.kit.errors import ToolkitError, UsageError

FORMAT = "mlx-rl-journal/1"
GENESIS = "0" * 64
HEADER, FOOTER = "header", "footer"

Fsync = Literal["orders", "always", "never"]

_HASH_LEN = len(',"hash":""}') + 64


class JournalBroken(ToolkitError):
    """A journal is not what was written."""


class JournalUnfinished(ToolkitError):
    """A journal has no footer: the session died, or the file was cut."""


class Journal:
    """Append-only writer of one session; a context manager that leaves a footer only after a clean end.

    Args:
        path: a file that does not exist yet.
        header: what the session is: arms with model hashes, router, law, dataset, code.
        fsync: when to force lines to the disk.
    """

    def __init__(self, path: Path, header: dict[str, Any], *, fsync: Fsync = "orders") -> None:
        self.path, self.fsync = Path(path), fsync
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError:
            raise UsageError(f"{self.path} exists; a journal is never written over. Name another file.") from None
        self.lines, self.last_hash, self._end = 0, GENESIS, 0
        self.append(HEADER, {"format": FORMAT, **header}, must_last=True)

    def append(self, kind: str, body: dict[str, Any], *, must_last: bool = False) -> None:
        """Write one line; return when the system has it, or when the disk has it where the policy says so.

        Args:
            kind: what the line is.
            body: plain data without the keys n, prev, kind, hash.
            must_last: forced to disk under "orders": the line must be there before what it announces happens.

        Raises:
            JournalBroken: the line could not be written whole; the file is cut back to the last whole line.
        """
        line, self_hash = encode(self.lines, self.last_hash, kind, body)
        try:
            written, why = os.write(self._fd, line), "is the disk full? Free some space."
        except OSError as error:
            written, why = 0, f"{error.strerror}."
        if written != len(line):
            os.ftruncate(self._fd, self._end)
            raise JournalBroken(f"{self.path}: wrote {written} of {len(line)} bytes; {why}")
        self.lines, self.last_hash, self._end = self.lines + 1, self_hash, self._end + len(line)
        if self.fsync == "always" or (must_last and self.fsync == "orders"):
            os.fsync(self._fd)

    def close(self, footer: dict[str, Any] | None = None) -> None:
        """End the file; with `footer` it counts as finished."""
        if footer is not None:
            self.append(FOOTER, {"lines": self.lines, **footer}, must_last=True)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close({} if kind is None else None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found in a journal whose every whole line is right."""

    lines: int
    last_hash: str
    is_finished: bool
    torn_bytes: int  # of a last line that was not written whole


def encode(n: int, prev: str, kind: str, body: dict[str, Any]) -> tuple[bytes, str]:
    """Return one line, newline included, and its hash."""
    text = json.dumps({"n": n, "prev": prev, "kind": kind, **body}, separators=(",", ":"), allow_nan=False)
    self_hash = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"hash":"{self_hash}"}}\n'.encode(), self_hash


def read(path: Path, *, unfinished: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal, header first, footer last, checking the chain on the way.

    Args:
        path: the journal.
        unfinished: also accept a journal without a footer, up to its last whole line.

    Raises:
        JournalBroken: a line was changed, removed, inserted or moved, or the file is no journal.
        JournalUnfinished: no footer, and `unfinished` was not given. Raised after the last whole line.
    """
    kind, n, size = "", 0, 0
    for record, n_bytes in _scan(Path(path)):
        kind, n, size = record["kind"], n + 1, size + n_bytes
        yield record
    if kind != FOOTER and not unfinished:
        torn = Path(path).stat().st_size - size
        raise JournalUnfinished(
            f"{path} has no footer: unfinished after {n} whole lines"
            + (f" and {torn} bytes of another" if torn else "")
            + ". The session died or the file was cut; pass --unfinished to use the whole lines."
        )


def verify(path: Path, *, last_hash: str | None = None) -> Verdict:
    """Check every line of a journal; `last_hash` is the one that the session printed at its end.

    Raises:
        JournalBroken: a line is not what was written, or the last hash is another.
    """
    lines, found, kind, size = 0, GENESIS, "", 0
    for record, n_bytes in _scan(Path(path)):
        lines, found, kind, size = lines + 1, record["hash"], record["kind"], size + n_bytes
    if last_hash is not None and found != last_hash:
        raise JournalBroken(f"{path} ends in {found[:12]}…; {last_hash[:12]}… was expected: the file was rewritten.")
    return Verdict(lines, found, kind == FOOTER, Path(path).stat().st_size - size)


def _scan(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each whole line's record and its length in bytes, checking the chain on the way."""
    n, prev, kind = 0, GENESIS, ""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Give the file that --journal named.") from None
    with file:
        for line in file:
            if kind == FOOTER:
                raise JournalBroken(f"{path}, line {n + 1}: something follows the footer.")
            if not line.endswith(b"\n"):
                break  # torn: it was never acknowledged
            record = _decode(line, n, prev, path)
            if n == 0 and (record["kind"] != HEADER or record.get("format") != FORMAT):
                raise JournalBroken(f"{path} does not begin as a journal of format {FORMAT}.")
            n, prev, kind = n + 1, record["hash"], record["kind"]
            if kind == FOOTER and record.get("lines") != n - 1:
                raise JournalBroken(f"{path}: the footer counts {record.get('lines')} lines; there are {n - 1}.")
            yield record, len(line)
    if n == 0:
        raise JournalBroken(f"{path} holds no whole line, so it is no journal.")


def _decode(line: bytes, n: int, prev: str, path: Path) -> dict[str, Any]:
    """Check one whole line against its own hash and its place in the chain, and return it as data."""
    where = f"{path}, line {n + 1}"
    text, tail = line[: -_HASH_LEN - 1], line[-_HASH_LEN - 1 : -1]
    if not (tail.startswith(b',"hash":"') and tail.endswith(b'"}')):
        raise JournalBroken(f"{where}: no hash at its end; the line was changed.")
    claimed = tail[len(b',"hash":"') : -2]
    computed = hashlib.sha256(text + b"}").hexdigest()
    if claimed != computed.encode():
        raise JournalBroken(f"{where}: its content does not have the hash it carries; the line was changed.")
    record = json.loads(text + b"}")
    if record["n"] != n or record["prev"] != prev:
        raise JournalBroken(f"{where}: it is record {record['n']} and does not follow the line before it.")
    return {**record, "hash": computed}


def numbers(values: NDArray[np.floating]) -> list[float | None]:
    """An array as JSON numbers that read back to the same bits, NaN as null."""
    return [None if value != value else value for value in values.ravel().tolist()]


def array(values: list[float | None], shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """The array that `numbers` wrote, float64."""
    made = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return made if shape is None else made.reshape(shape)

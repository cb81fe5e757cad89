"""Standard output and error that never make their writer wait.

A terminal stopped by Ctrl-S, or a pipe that nobody reads, holds up whoever writes to it, and a recorder must not be
held up. While `Outlets` is entered, what is written to `sys.stdout` and `sys.stderr` is handed to threads that write.
Progress that finds no reader is left out, and that is said once there is one; a result is never cut.
"""

import io
import os
import sys
import threading
import time
from collections import deque
from typing import Self, TextIO

PROGRESS_CHARS = 256 << 10  # of progress may wait; the same is in the JSON log


class Outlet(io.TextIOBase):
    """A text stream in front of another one, emptied into it by a thread.

    Args:
        stream: where the text goes.
        limit_chars: more than this does not wait, it is left out; None: everything waits.

    Attributes:
        failure: the first error of writing; None while it works.
    """

    def __init__(self, stream: TextIO, limit_chars: int | None = None) -> None:
        self.stream, self._limit_chars = stream, limit_chars
        self.failure: OSError | None = None
        self._waiting: deque[str] = deque()
        self._n_chars = self._n_left_out = 0
        self._is_closed = False
        self._changed = threading.Condition()
        stream.flush()  # what is in its buffer comes first
        threading.Thread(target=self._run, name="outlet", daemon=True).start()

    def write(self, text: str) -> int:
        """Hand text over; returns at once."""
        with self._changed:
            if self._limit_chars is not None and self._n_chars + len(text) > self._limit_chars and self._waiting:
                self._n_left_out += 1
                return len(text)
            if self._n_left_out:
                text = f"({self._n_left_out} texts were left out here: nobody read them)\n{text}"
                self._n_left_out = 0
            self._waiting.append(text)
            self._n_chars += len(text)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing: it is written as soon as somebody reads."""

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """The stream's."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """Yes."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's."""
        return self.stream.encoding or "utf-8"

    def drain(self, timeout_s: float | None) -> bool:
        """Take no more and wait until all is written, or for so long; returns whether it is."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._n_chars, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                text = self._waiting[0]
            try:
                self._put(text)
            except OSError as error:  # a terminal that is gone, a pipe that was closed, a full disk
                self.failure = self.failure or error
            with self._changed:
                self._waiting.popleft()
                self._n_chars -= len(text)
                self._changed.notify_all()

    def _put(self, text: str) -> None:
        """Write, past the stream's own buffer: its lock, held by a thread that waits, would break Python's end."""
        try:
            fd = self.stream.fileno()
        except OSError:  # no file, as under a test
            self.stream.write(text)
            self.stream.flush()
            return
        data = text.encode(self.encoding, "backslashreplace")
        while data:
            data = data[os.write(fd, data) :]


class Outlets:
    """Both outlets of the process; a context manager.

    Attributes:
        out, err: the outlets, while it is entered.
        patience_s: at the end, readers are waited for so long in all; None: until they have read everything.
    """

    def __init__(self) -> None:
        self.patience_s: float | None = None

    def __enter__(self) -> Self:
        self.out, self.err = Outlet(sys.stdout), Outlet(sys.stderr, PROGRESS_CHARS)
        sys.stdout, sys.stderr = self.out, self.err
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self.out.stream, self.err.stream
        until_s = None if self.patience_s is None else time.monotonic() + self.patience_s
        for outlet in (self.err, self.out):
            outlet.drain(None if until_s is None else max(0.0, until_s - time.monotonic()))

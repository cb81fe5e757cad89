"""Where a recording goes first: `put` hands a batch over and returns at once, a thread writes it to the log.

The event loop is never held up by the disk. What waits is bounded (`observer.store.shed_queue`), what a full disk means
is decided in `observer.store.segment_log`, and what the chosen durability promises is printed at start: `PROMISE`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from observer.kit.errors import StorageFailed, UsageError
from observer.store.batch import Batch, Note
from observer.store.filesystem import REAL, FileSystem
from observer.store.segment_log import LogRules, LogState, SegmentLog
from observer.store.shed_queue import ShedQueue
from observer.store.watermarks import Watermarks

Durability = Literal["tick", "1s", "os"]
SYNC_S: dict[str, float | None] = {"tick": 0.0, "1s": 1.0, "os": None}

_KILL = "kill -9 loses at most the tick in hand"
_FULL = "a full disk pauses the recording with a gap row and damages nothing"
PROMISE: dict[str, str] = {
    "tick": f"While the disk keeps up, {_KILL}; a power cut loses at most the tick in hand; {_FULL}.",
    "1s": f"While the disk keeps up, {_KILL}; a power cut loses at most 1 s and a tick; {_FULL}.",
    "os": f"While the disk keeps up, {_KILL}; a power cut loses at most the open segment; {_FULL}.",
}


@dataclass(frozen=True, slots=True)
class SpoolState:
    """A snapshot for health checks and metrics.

    Attributes:
        log: what is on the disk.
        queued_batches, queued_bytes: what waits for the disk (bytes of memory, roughly).
        shed_raw, shed_events: rows left out because the disk was too slow.
        failure: why recording stopped; "" while it works.
    """

    log: LogState
    queued_batches: int
    queued_bytes: int
    shed_raw: int
    shed_events: int
    failure: str


class Spool:
    """The log of one run, below `folder/run_id`.

    Args:
        folder: `DIR/spool`; recover what lies there first (`observer.store.recovery.recover`).
        run_id: name of this run, new for each start.
        preamble: the notes that name every connection, instrument and market alive now. Called by `put`, in its
            thread, so it must be cheap: keep a tuple and replace it when something changes. Each segment starts with
            what it returned at the `put` before the segment's first batch, that is, with what was alive when that
            batch began; whatever began in the batch itself must be among the batch's own notes.
        durability: when batches are forced to the disk; see `PROMISE`.
        segment_bytes, segment_s: when a segment is sealed (segment_s: at multiples of it UTC, a little later).
        queue_bytes: memory that may wait for the disk.
        stall_s: the disk counts as failed when it took no batch for so long.
        watermarks: what a filling disk means.
        fs: the file system.

    Raises:
        UsageError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str,
        preamble: Callable[[], Sequence[Note]],
        *,
        durability: Durability = "1s",
        segment_bytes: int = 64 << 20,
        segment_s: int = 900,
        queue_bytes: int = 64 << 20,
        stall_s: float = 120.0,
        watermarks: Watermarks = Watermarks(),  # noqa: B008 - frozen
        fs: FileSystem = REAL,
    ) -> None:
        rules = LogRules(SYNC_S[durability], segment_bytes, segment_s, watermarks)
        try:
            self._log = SegmentLog(folder, run_id, rules, fs)
        except OSError as error:
            raise UsageError(
                f"{folder} cannot hold a recording ({error.strerror}). Pass another --local-dir, or make it writable."
            ) from error
        self._queue = ShedQueue(queue_bytes, stall_s)
        self._preamble = preamble
        self._alive: Sequence[Note] = preamble()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Hand a batch over; never waits. Its number is given by the log. It must not be touched afterwards.

        Raises:
            StorageFailed: the disk failed; the process must end with an error and be started again.
        """
        self._raise_failure()
        alive, self._alive = self._alive, self._preamble()
        try:
            self._queue.put(batch, alive)
        except StorageFailed as error:
            self._failure = error
            raise

    def state(self) -> SpoolState:
        """Where things stand; cheap, from any thread."""
        shed = self._queue.shed_rows
        return SpoolState(
            log=self._log.state,
            queued_batches=len(self._queue),
            queued_bytes=self._queue.queued_bytes,
            shed_raw=shed["raw"],
            shed_events=shed["events"],
            failure="" if self._failure is None else str(self._failure),
        )

    def close(self, timeout_s: float = 4.0) -> None:
        """Write what waits, seal the segment, end the thread.

        Raises:
            StorageFailed: the disk failed, or did not take it all in time; the next start recovers what is whole.
        """
        self._queue.close()
        self._thread.join(timeout_s)
        self._raise_failure()
        if self._thread.is_alive():
            raise StorageFailed(
                f"The disk did not take the last {len(self._queue)} batches within {timeout_s:.0f} s; the segment "
                f"{self._log.state.segment or 'in hand'} is left open and recovered at the next start."
            )

    def _raise_failure(self) -> None:
        if self._failure is not None:
            is_told = isinstance(self._failure, StorageFailed)
            raise StorageFailed(
                str(self._failure) if is_told else f"Writing the log stopped with {self._failure!r}; start again."
            ) from self._failure

    def _run(self) -> None:
        log, queue = self._log, self._queue
        try:
            while not queue.is_finished:
                waiting = queue.take(log.due_in_s(time.monotonic()))
                if waiting is None:
                    log.maintain(time.monotonic())
                else:
                    log.write(waiting.batch, waiting.preamble, time.monotonic(), is_last=not len(queue))
            log.close()
        except Exception as error:  # noqa: BLE001 - the next put must raise it, whatever it is: nothing is written now
            self._failure = error

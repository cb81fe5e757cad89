"""The queue between the event loop and the disk: `put` never waits, and memory is bounded by leaving things out.

Normally it is empty. When the disk is slower than the market it fills up to its limit; then raw frames are left out of
the waiting batches, newest first, then their events. Ticks and notes are kept whatever happens; if not one batch was
taken for `stall_s`, the disk counts as failed.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from observer.kit.errors import StorageFailed
from observer.store.batch import Batch, Note
from observer.store.shedding import (
    event_memory_bytes,
    other_memory_bytes,
    raw_memory_bytes,
    shed_events,
    shed_raw,
)  # fmt: skip

TOO_SLOW = "the disk is too slow"


@dataclass(slots=True)
class Waiting:
    """A batch that waits for the disk, with the notes that were true when it began."""

    batch: Batch
    preamble: Sequence[Note]
    raw_bytes: int
    event_bytes: int
    other_bytes: int
    put_s: float


class ShedQueue:
    """A bounded queue for one producer and one consumer.

    Attributes:
        queued_bytes: about what waits, in memory.
        shed_rows: rows left out so far, by kind.
    """

    def __init__(self, limit_bytes: int, stall_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.queued_bytes = 0
        self.shed_rows = {"raw": 0, "events": 0}
        self._limit_bytes = limit_bytes
        self._stall_s = stall_s
        self._clock_s = clock_s
        self._queue: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, batch: Batch, preamble: Sequence[Note]) -> None:
        """Add a batch, at once; it belongs to the queue from here on.

        Raises:
            StorageFailed: the oldest batch has waited for `stall_s`.
        """
        now_s = self._clock_s()
        waiting = Waiting(
            batch, preamble, raw_memory_bytes(batch), event_memory_bytes(batch), other_memory_bytes(batch), now_s
        )
        with self._changed:
            if self._is_closed:
                raise ValueError("a batch came after the log was closed")
            self._queue.append(waiting)
            self.queued_bytes += waiting.raw_bytes + waiting.event_bytes + waiting.other_bytes
            if len(self._queue) > 1:  # one batch alone is never too much
                self._shed()
            waited_s = now_s - self._queue[0].put_s
            self._changed.notify()
        if waited_s > self._stall_s:
            raise StorageFailed(
                f"The disk has not taken a batch for {waited_s:.0f} s (limit {self._stall_s:.0f} s). "
                "Recording stops here; check the disk and start again."
            )

    def take(self, timeout_s: float) -> Waiting | None:
        """The oldest batch; None if none came within the time, or the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed, timeout_s)
            if not self._queue:
                return None
            waiting = self._queue.popleft()
            self.queued_bytes -= waiting.raw_bytes + waiting.event_bytes + waiting.other_bytes
            return waiting

    @property
    def is_finished(self) -> bool:
        """Whether it is closed and everything was taken."""
        return self._is_closed and not self._queue

    def close(self) -> None:
        """Take no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _shed(self) -> None:
        """Get below the limit if leaving out raw frames, then events, can do it."""
        for waiting in reversed(self._queue):
            if self.queued_bytes <= self._limit_bytes:
                return
            self.queued_bytes -= waiting.raw_bytes
            self.shed_rows["raw"] += len(waiting.batch.raws)
            waiting.raw_bytes = 0
            shed_raw(waiting.batch, TOO_SLOW)
        for waiting in reversed(self._queue):
            if self.queued_bytes <= self._limit_bytes:
                return
            self.queued_bytes -= waiting.event_bytes
            self.shed_rows["events"] += len(waiting.batch.events)
            waiting.event_bytes = 0
            shed_events(waiting.batch, TOO_SLOW)

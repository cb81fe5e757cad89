"""The queue in front of the disk: bounded, honest, never waiting."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.kit.errors import StorageFailed
from observer.store.batch import BOOK, Batch, Dropped, Quarantined
from observer.store.shed_queue import ShedQueue
from observer.store.shedding import event_memory_bytes, shed_raw
from tests.samples.batches import make_batch


def test_batches_come_out_as_they_went_in() -> None:
    queue = ShedQueue(1 << 30, 60)
    for index in range(3):
        queue.put(make_batch(index), ())

    out = [queue.take(0) for _ in range(4)]

    assert [None if w is None else w.batch.mono_ns for w in out] == [make_batch(i).mono_ns for i in range(3)] + [None]
    assert queue.queued_bytes == 0


def test_raw_goes_first_then_events_and_ticks_never() -> None:
    queue = ShedQueue(6_000, 60)
    for index in range(8):
        queue.put(make_batch(index, raws=5, events=3), ())

    waiting = [w for w in (queue.take(0) for _ in range(8)) if w]

    assert all(len(w.batch.ticks) == 1 for w in waiting)
    assert not any(w.batch.raws for w in waiting)  # ticks alone are over the limit
    assert not any(w.batch.events for w in waiting)
    assert queue.shed_rows == {"raw": 40, "events": 24}
    dropped = [note for w in waiting for note in w.batch.notes if isinstance(note, Dropped)]
    assert sum(note.rows for note in dropped if note.what == "raw") == 40
    assert sum(note.rows for note in dropped if note.what == "events") == 24


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.one_of(st.tuples(st.integers(0, 30), st.integers(0, 30)), st.none()), max_size=40),
    limit=st.integers(0, 60_000),
)
def test_every_row_comes_out_or_is_counted_and_memory_is_bounded(steps: list, limit: int) -> None:
    queue = ShedQueue(limit, 60)
    put: list[Batch] = []
    out: list[Batch] = []
    for step in steps:
        if step is not None:
            put.append(make_batch(len(put), raws=step[0], events=step[1]))
            queue.put(put[-1], ())
            needed = 3_600 * len(queue)  # a tick and its notes, each
            assert queue.queued_bytes <= max(limit, needed) or len(queue) == 1
        elif waiting := queue.take(0):
            out.append(waiting.batch)
    while waiting := queue.take(0):
        out.append(waiting.batch)

    dropped = [note for batch in out for note in batch.notes if isinstance(note, Dropped)]
    told = {kind: sum(note.rows for note in dropped if note.what == kind) for kind in ("raw", "events")}
    assert [id(batch) for batch in out] == [id(batch) for batch in put]
    assert sum(len(batch.raws) for batch in out) + told["raw"] == sum(step[0] for step in steps if step)
    assert sum(len(batch.events) for batch in out) + told["events"] == sum(step[1] for step in steps if step)
    assert (told, queue.queued_bytes) == (queue.shed_rows, 0)


def test_events_are_kept_while_leaving_out_raw_frames_is_enough() -> None:
    queue = ShedQueue(30_000, 60)
    for index in range(4):
        queue.put(make_batch(index, raws=20, events=3), ())

    waiting = [w for w in (queue.take(0) for _ in range(4)) if w]

    assert 0 < sum(not w.batch.raws for w in waiting) < 4
    assert waiting[0].batch.raws  # the newest go first: one hole, not many
    assert all(len(w.batch.events) == 3 for w in waiting)


def test_what_is_left_out_is_told_with_its_span() -> None:
    batch = make_batch(5, raws=4)
    first, last = batch.raws[0][1], batch.raws[-1][1]
    batch.notes.append(Quarantined(2, 0, "bad price"))

    shed_raw(batch, "why")

    assert batch.raws == []
    assert batch.notes[1:] == [Quarantined(-1, 0, "bad price"), Dropped("raw", 4, first, last, "why")]


def test_one_batch_alone_is_never_too_much() -> None:
    queue = ShedQueue(1, 60)
    queue.put(make_batch(0), ())

    waiting = queue.take(0)

    assert waiting is not None
    assert len(waiting.batch.raws) == 3


def test_a_large_book_counts_by_its_levels() -> None:
    batch = make_batch(0, events=0)
    batch.events = [(BOOK, 0, 0, 1, 1, 1, [(1, 1)] * 100, [(2, 1)] * 50)]

    assert event_memory_bytes(batch) > 150 * 100


def test_a_disk_that_takes_nothing_for_too_long_has_failed() -> None:
    now_s = 0.0
    queue = ShedQueue(1 << 30, 120, lambda: now_s)
    queue.put(make_batch(0), ())
    now_s = 119.0
    queue.put(make_batch(1), ())
    now_s = 121.0

    with pytest.raises(StorageFailed, match=r"not taken a batch for 121 s \(limit 120 s\)"):
        queue.put(make_batch(2), ())


def test_after_closing_nothing_is_taken_in_and_what_waits_comes_out() -> None:
    queue = ShedQueue(1 << 30, 60)
    queue.put(make_batch(0), ())
    queue.close()

    with pytest.raises(ValueError, match="closed"):
        queue.put(make_batch(1), ())
    assert not queue.is_finished
    assert queue.take(5) is not None
    assert queue.take(5) is None
    assert queue.is_finished

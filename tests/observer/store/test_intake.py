"""The queue in front of the disk: bounded, honest, never waiting."""

import pytest

from observer.kit.errors import StorageFailed
from observer.store.batch import BOOK, Dropped, Quarantined
from observer.store.intake import Intake
from observer.store.shedding import event_memory_bytes, shed_raw
from tests.samples.batches import make_batch


def test_batches_come_out_as_they_went_in() -> None:
    intake = Intake(1 << 30, 60)
    for index in range(3):
        intake.put(make_batch(index), ())

    out = [intake.take(0) for _ in range(4)]

    assert [None if w is None else w.batch.mono_ns for w in out] == [make_batch(i).mono_ns for i in range(3)] + [None]
    assert intake.queued_bytes == 0


def test_raw_goes_first_then_events_and_ticks_never() -> None:
    intake = Intake(6_000, 60)
    for index in range(8):
        intake.put(make_batch(index, raws=5, events=3), ())

    waiting = [w for w in (intake.take(0) for _ in range(8)) if w]

    assert all(len(w.batch.ticks) == 1 for w in waiting)
    assert not any(w.batch.raws for w in waiting)  # ticks alone are over the limit
    assert not any(w.batch.events for w in waiting)
    assert intake.shed_rows == {"raw": 40, "events": 24}
    dropped = [note for w in waiting for note in w.batch.notes if isinstance(note, Dropped)]
    assert sum(note.rows for note in dropped if note.what == "raw") == 40
    assert sum(note.rows for note in dropped if note.what == "events") == 24


def test_events_are_kept_while_leaving_out_raw_frames_is_enough() -> None:
    intake = Intake(30_000, 60)
    for index in range(4):
        intake.put(make_batch(index, raws=20, events=3), ())

    waiting = [w for w in (intake.take(0) for _ in range(4)) if w]

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
    intake = Intake(1, 60)
    intake.put(make_batch(0), ())

    waiting = intake.take(0)

    assert waiting is not None
    assert len(waiting.batch.raws) == 3


def test_a_large_book_counts_by_its_levels() -> None:
    batch = make_batch(0, events=0)
    batch.events = [(BOOK, 0, 0, 1, 1, 1, [(1, 1)] * 100, [(2, 1)] * 50)]

    assert event_memory_bytes(batch) > 150 * 100


def test_a_disk_that_takes_nothing_for_too_long_has_failed() -> None:
    now_s = 0.0
    intake = Intake(1 << 30, 120, lambda: now_s)
    intake.put(make_batch(0), ())
    now_s = 119.0
    intake.put(make_batch(1), ())
    now_s = 121.0

    with pytest.raises(StorageFailed, match=r"not taken a batch for 121 s \(limit 120 s\)"):
        intake.put(make_batch(2), ())


def test_after_closing_nothing_is_taken_in_and_what_waits_comes_out() -> None:
    intake = Intake(1 << 30, 60)
    intake.put(make_batch(0), ())
    intake.close()

    with pytest.raises(ValueError, match="closed"):
        intake.put(make_batch(1), ())
    assert not intake.is_finished
    assert intake.take(5) is not None
    assert intake.take(5) is None
    assert intake.is_finished

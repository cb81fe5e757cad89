"""From sealed segments to the recording: whole, once, and repeatable after a stop at any step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observer.compact.compactor import Compactor, compact
from observer.compact.raw import Frame, read_raw
from observer.compact.runs import is_recorded_into
from observer.kit.errors import UsageError
from observer.records import Tape
from observer.store.archive import EVENTS, RAW, archived_hours
from observer.store.files import FolderLock, sha256_of
from observer.store.instance_lock import InstanceLock
from observer.store.reader import Recording
from observer.store.verify import verify
from tests.observer.compact.scripted import START_NS, ScriptedRecorder, one_book, two_books, window

RUN_A, RUN_B = "20270115T070000Z-aaaaaa", "20270115T080000Z-bbbbbb"


def second(s: float) -> int:
    return START_NS + round(s * 10**9)


@pytest.fixture
def recorder(tmp_path: Path) -> ScriptedRecorder:
    return ScriptedRecorder(tmp_path, RUN_A)


def play(recorder: ScriptedRecorder, until_s: float, *listings: Any) -> None:
    """List these markets, give each book, and let them move; one segment."""
    books = [instrument for listing in listings for instrument in listing.instruments]
    recorder.list(*listings)
    for instrument in books:
        recorder.book(instrument)
    recorder.run(until_s, *books)


def ticks_of(recorder: ScriptedRecorder, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, cells and ladders of a market as they were handed to the log, read in the plainest way."""
    times, cells, ladders, ladder = [], [], [], None
    for batch in recorder.batches:
        for market, tick_ns, tick_cells, tick_ladder in batch.ticks:
            if market == number:
                ladder = tick_ladder if tick_ladder is not None else ladder
                times.append(tick_ns)
                cells.append([np.nan if c is None else c for c in tick_cells])
                ladders.append([np.nan if x is None else x for x in ladder])
    return np.array(times), np.array(cells), np.array(ladders).reshape(len(times), 4, 10, 2)


def same(tape: Tape, recorder: ScriptedRecorder, number: int) -> bool:
    times, cells, ladders = ticks_of(recorder, number)
    assert tape.ladder is not None
    return (
        np.array_equal(tape.recv_ns, times)
        and np.array_equal(tape.rows[:, :12], cells, equal_nan=True)
        and np.array_equal(tape.ladder.price, ladders[..., 0], equal_nan=True)
        and np.array_equal(tape.ladder.size, ladders[..., 1], equal_nan=True)
    )


def files_of(root: Path) -> dict[str, str]:
    """Every file that is no lock and nothing private, with its hash."""
    there = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith("lock"))
    return {str(p.relative_to(root)): sha256_of(p) for p in there if ".compact" not in p.parts}


def test_a_window_over_several_segments_is_one_tape_equal_to_its_ticks(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = two_books(window("m", 0, 60))
    play(recorder, 20, listing)
    recorder.roll()
    recorder.run(40, *listing.instruments)
    recorder.roll()
    recorder.run(70, *listing.instruments)
    recorder.stop()

    done = compact(tmp_path, START_NS)

    (tape,) = Recording(tmp_path).tapes()
    assert same(tape, recorder, 0)
    assert (done.segments, done.deleted, done.windows, done.ticks, done.held) == (3, 3, 1, len(tape), 0)
    assert len(tape) > 110
    assert verify(tmp_path).problems == []


def test_the_archives_hold_every_frame_and_the_segments_are_gone(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listings = [two_books(window("a", 0, 20)), one_book(window("b", 0, 20))]
    play(recorder, 30, *listings)
    recorder.stop()
    compact(tmp_path, START_NS)

    for venue, sent in recorder.frames.items():
        records = [r for path in sorted(tmp_path.glob(f"raw/venue={venue}/**/*.zst")) for r in read_raw(path)]
        assert [(r.recv_ns, r.payload) for r in records if isinstance(r, Frame)] == sent
    assert not list(tmp_path.glob("spool/*/wal/*"))
    assert {where.split("/")[0] for where in archived_hours(tmp_path, EVENTS)} == {"venue=test", "venue=mirror"}


def test_down_mirrors_up_in_quotes_and_depth_where_one_book_serves_both(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    play(recorder, 30, one_book(window("m", 0, 20)))
    recorder.stop()
    compact(tmp_path, START_NS)

    (tape,) = Recording(tmp_path).tapes()
    _, cells, ladders = ticks_of(recorder, 0)
    assert tape.ladder is not None
    np.testing.assert_allclose(tape.rows[:, 2], 1 - cells[:, 1], atol=1e-9)
    np.testing.assert_array_equal(tape.rows[:, 6], cells[:, 5])
    np.testing.assert_allclose(tape.ladder.price[:, 3], 1 - ladders[:, 0, :, 0], atol=1e-9)
    np.testing.assert_array_equal(tape.ladder.size[:, 2], ladders[:, 1, :, 1])
    assert np.isnan(ladders[:, 2:]).all()


def test_a_window_waits_until_every_tick_of_it_is_sealed(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 30))
    play(recorder, 20, listing)
    recorder.roll()
    recorder.run(31, *listing.instruments)
    recorder.write()  # open: holds the rest of the window
    compactor = Compactor(tmp_path)

    first = compactor.run_once(second(10_000))
    recorder.roll()
    recorder.run(31.4, *listing.instruments)
    recorder.write()
    second_pass = compactor.run_once(second(10_000))
    recorder.run(40, *listing.instruments)
    recorder.stop()
    third = compactor.run_once(second(10_000))

    assert [(d.windows, d.waiting, d.held, d.open, d.deleted) for d in (first, second_pass, third)] == [
        (0, 1, 1, 1, 0), (0, 1, 2, 1, 0), (1, 0, 0, 0, 3),
    ]  # fmt: skip
    assert first.next_close_ns == second(30)
    (tape,) = Recording(tmp_path).tapes()
    assert same(tape, recorder, 0)


def test_a_stopped_recorders_unfinished_window_waits_for_its_close(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    play(recorder, 20, two_books(window("m", 0, 900)))
    recorder.stop()
    compactor = Compactor(tmp_path)

    early, late = compactor.run_once(second(600)), compactor.run_once(second(902))

    assert (early.windows, early.held, late.windows, late.deleted) == (0, 1, 1, 1)
    (gap,) = Recording(tmp_path).gaps()
    assert (gap.reason, gap.end_ns) == ("recording ends early", second(900))


def test_while_the_recorder_lives_its_newest_run_is_not_over(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    """Between two segments none is open for a moment."""
    play(recorder, 20, two_books(window("m", 0, 900)))
    recorder.roll()

    with InstanceLock(tmp_path):
        during = compact(tmp_path, second(10_000))

    assert (during.windows, during.waiting) == (0, 1)
    assert compact(tmp_path, second(10_000)).windows == 1


def test_ticks_of_two_runs_are_one_tape_with_a_gap(tmp_path: Path) -> None:
    first = ScriptedRecorder(tmp_path, RUN_A)
    play(first, 20, two_books(window("m", 0, 60)))
    first.roll()
    again = ScriptedRecorder(tmp_path, RUN_B, start_s=30)
    again.list(two_books(window("other", 0, 60)))  # numbers differ from run to run
    play(again, 65, two_books(window("m", 0, 60)))
    again.stop()

    compact(tmp_path, START_NS)

    recording = Recording(tmp_path)
    tape = recording.tape("m")
    times = np.concatenate([ticks_of(first, 0)[0], ticks_of(again, 1)[0]])
    assert np.array_equal(tape.recv_ns, times)
    assert [(g.market_id, g.reason) for g in recording.gaps()] == [("m", "collector down")]
    assert recording.gaps()[0].start_ns == ticks_of(first, 0)[0][-1]
    assert recording.gaps()[0].end_ns == ticks_of(again, 1)[0][0]


def test_a_second_pass_and_a_new_compactor_change_nothing(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    waits, closes = two_books(window("waits", 0, 900)), two_books(window("closes", 0, 20))
    play(recorder, 30, waits, closes)
    recorder.roll()
    recorder.run(40, *waits.instruments)
    recorder.write()
    compactor = Compactor(tmp_path)
    compactor.run_once(START_NS)
    before = files_of(tmp_path)

    same_one, new_one = compactor.run_once(START_NS), compact(tmp_path, START_NS)

    assert files_of(tmp_path) == before
    assert (same_one.windows, new_one.windows, new_one.refused) == (0, 0, 0)
    assert (new_one.waiting, new_one.held) == (1, 1)


def test_a_damaged_segment_is_set_aside_and_its_whole_batches_are_kept(
    recorder: ScriptedRecorder, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    play(recorder, 30, two_books(window("m", 0, 20)))
    path = recorder.stop()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    path.write_bytes(damaged)

    done = compact(tmp_path, second(100))

    (tape,) = Recording(tmp_path).tapes()
    whole = ticks_of(recorder, 0)[0]
    assert 5 < len(tape) < len(whole)
    assert np.array_equal(tape.recv_ns, whole[: len(tape)])
    assert (done.damaged, done.deleted) == ([path.name], 0)
    assert (path.parent.parent / "bad" / path.name).read_bytes() == damaged
    assert "a frame whose checksum does not match" in capsys.readouterr().err
    assert compact(tmp_path, second(100)).segments == 0


def test_a_segment_without_a_readable_start_is_set_aside_at_once(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    play(recorder, 30, two_books(window("m", 0, 20)))
    good = recorder.roll()
    (good.parent / "9.wal").write_bytes(b"nonsense")

    done = compact(tmp_path, second(100))

    assert (done.damaged, done.segments, done.windows) == (["9.wal"], 1, 1)


def test_one_compactor_at_a_time(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    (tmp_path / ".compact").mkdir()
    lock = FolderLock(tmp_path / ".compact")
    lock.take()

    with pytest.raises(UsageError, match="is being compacted by another process, most likely the recorder's own"):
        compact(tmp_path, START_NS)
    lock.release()
    with pytest.raises(UsageError, match="is no folder. Pass --local-dir"):
        compact(tmp_path / "nothing", START_NS)


def test_an_archived_file_that_is_gone_is_made_again_while_its_segment_is_there(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    play(recorder, 20, two_books(window("m", 0, 900)))
    recorder.stop()
    compact(tmp_path, START_NS)
    before = files_of(tmp_path)
    for path in (next(tmp_path.glob("raw/venue=test/**/*.zst")), next(tmp_path.glob("events/**/*.parquet"))):
        path.unlink()

    compact(tmp_path, START_NS)

    assert files_of(tmp_path) == before


def test_a_long_wait_is_worked_off_in_pieces(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 41))
    play(recorder, 1, listing)
    for until_s in range(2, 42):
        recorder.roll()
        recorder.run(until_s, *listing.instruments)
    recorder.run(50)
    recorder.stop()

    done = compact(tmp_path, START_NS)

    (tape,) = Recording(tmp_path).tapes()
    assert same(tape, recorder, 0)
    assert (done.segments, done.deleted, done.refused) == (41, 41, 0)


def test_segments_over_an_hour_lie_in_both_hours(tmp_path: Path) -> None:
    recorder = ScriptedRecorder(tmp_path, RUN_A, start_s=3590)
    play(recorder, 3610, two_books(window("m", 3590, 3605)))
    recorder.stop()
    compact(tmp_path, START_NS)

    for name in (RAW, EVENTS):
        hours = {where[-2:] for where in archived_hours(tmp_path, name)}
        assert hours == {"07", "08"}, name
    assert verify(tmp_path).problems == []


def test_the_lock_of_a_recorder_that_is_gone_counts_for_nothing(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    play(recorder, 20, two_books(window("m", 0, 900)))
    recorder.roll()
    with InstanceLock(tmp_path):
        assert is_recorded_into(tmp_path)
    (tmp_path / ".observer.lock").write_text("")
    assert not is_recorded_into(tmp_path)
    (tmp_path / ".observer.lock").write_text(f"{2**22 - 1}\n")

    assert not is_recorded_into(tmp_path)
    assert compact(tmp_path, second(10_000)).windows == 1

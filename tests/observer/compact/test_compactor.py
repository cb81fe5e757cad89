"""From sealed segments to the recording: whole, once, and repeatable after a stop at any step."""

import contextlib
import os
import shutil
from collections.abc import Callable
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
from observer.store.outcomes import outcomes_id
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


class Stopped(BaseException):
    """The machine stopped here."""


class Machine:
    """Stops at the n-th change of the disk; from then on nothing changes it any more."""

    CALLS = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "open")

    def __init__(self, patch: pytest.MonkeyPatch, stop_at: int) -> None:
        self.steps, self._stop_at = 0, stop_at
        self._locks: list[int] = []
        for name in self.CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name), name))

    def _counted(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return call(*args, **kwargs)
            self.steps += 1
            if self.steps >= self._stop_at:
                raise Stopped
            found = call(*args, **kwargs)
            if name == "open" and str(args[0]).endswith(".lock"):
                self._locks.append(found)
            return found

        return counted

    def end(self) -> None:
        """The process is gone, and its locks with it."""
        for fd in self._locks:
            with contextlib.suppress(OSError):
                if os.readlink(f"/dev/fd/{fd}").endswith(".lock"):
                    os.close(fd)


def scene(root: Path) -> None:
    """Two runs, three segments: a window within one, one over two, one over two runs, an outcome and a feed."""
    first = ScriptedRecorder(root, RUN_A)
    feed = first.feed("spot", "spot-x")
    first.book(feed)
    early, long = two_books(window("early", 0, 10)), two_books(window("long", 0, 30))
    play(first, 15, early, long)
    first.roll()
    first.intake.outcome("early", 1.0, "venue")
    first.run(20, *long.instruments, feed)
    first.roll()
    again = ScriptedRecorder(root, RUN_B, start_s=22)
    play(again, 36, two_books(window("long", 0, 30)))
    again.stop()


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_stop_at_any_step_leaves_what_the_next_pass_completes(tmp_path: Path, every: int) -> None:
    scene(tmp_path / "scene")
    shutil.copytree(tmp_path / "scene", tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch, 10**9)
        compact(tmp_path / "whole", START_NS)
    expected, steps = files_of(tmp_path / "whole"), machine.steps

    for stop_at in range(1, steps + 1, every):
        root = tmp_path / "cut"
        shutil.copytree(tmp_path / "scene", root)
        with pytest.MonkeyPatch.context() as patch:
            machine = Machine(patch, stop_at)
            with pytest.raises(Stopped):
                compact(root, START_NS)
        machine.end()
        compact(root, START_NS)

        found = files_of(root)
        shutil.rmtree(root)
        assert found == expected, f"stopped at step {stop_at} of {steps}"
    assert steps > 100


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


@pytest.fixture(scope="module")
def ten_segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in ten segments: windows that overlap, follow each other, and span the restart; a feed; outcomes."""
    root = tmp_path_factory.mktemp("ten")
    long, cuts = two_books(window("long", 5, 75)), [two_books(window(f"m{i}", 12 * i, 12 * i + 12)) for i in range(7)]
    first = ScriptedRecorder(root, RUN_A)
    feed = first.feed("spot", "spot-x")
    first.book(feed)
    play(first, 6, long, *cuts[:4])
    for until_s in (14, 23, 31, 38):
        first.roll()
        first.run(until_s, feed, *long.instruments, *(i for cut in cuts[:4] for i in cut.instruments))
    first.intake.outcome("m0", 1.0, "venue")
    first.stop()
    again = ScriptedRecorder(root, RUN_B, start_s=41)
    play(again, 44, two_books(window("long", 5, 75)), one_book(window("mirrored", 41, 70)), *cuts[4:])
    for until_s in (52, 63, 71, 95):
        again.roll()
        again.intake.outcome(f"m{int(until_s) // 12 - 1}", 0.0, "venue")
        again.run(until_s, *(i for cut in cuts[4:] for i in cut.instruments))
    again.stop()
    return root


@pytest.mark.parametrize("seed", range(4))
def test_when_it_is_compacted_makes_no_difference(ten_segments: Path, tmp_path: Path, seed: int) -> None:
    at_once = Path(shutil.copytree(ten_segments, tmp_path / "at_once"))
    compact(at_once, START_NS)
    rng, bit_by_bit = np.random.default_rng(seed), tmp_path / "bit_by_bit"
    segments = sorted(ten_segments.glob("spool/*/wal/*.wal"), key=lambda path: path.name)
    compactor: Compactor | None = None
    for path in segments:
        place = bit_by_bit / path.relative_to(ten_segments)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        is_last = path == [p for p in segments if p.parent == path.parent][-1]
        still_open = place.parent / "9.open"
        still_open.unlink(missing_ok=True) if is_last else still_open.touch()
        if rng.random() < 0.6:
            compactor = compactor if compactor and rng.random() < 0.5 else Compactor(bit_by_bit)
            compactor.run_once(START_NS)
    last = compact(bit_by_bit, START_NS)

    assert (last.held, last.open) == (0, 0)
    assert Recording(bit_by_bit).dataset_id == Recording(at_once).dataset_id
    assert outcomes_id(bit_by_bit) == outcomes_id(at_once) != ""
    archives = [
        {n: h for n, h in files_of(r).items() if n.startswith(("raw", "events"))} for r in (at_once, bit_by_bit)
    ]
    assert archives[0] == archives[1]
    assert len(Recording(at_once).markets()) == 9


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

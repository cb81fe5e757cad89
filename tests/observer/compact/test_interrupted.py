"""Stopped at any step, or run at any time: what compaction leaves is the same."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observer.compact.compactor import Compactor, compact
from observer.store.outcomes import outcomes_id
from observer.store.reader import Recording
from tests.observer.compact.scripted import START_NS, ScriptedRecorder, one_book, two_books, window
from tests.observer.compact.test_compactor import RUN_A, RUN_B, files_of, play


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

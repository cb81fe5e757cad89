"""A wall clock that jumps by half a minute or by ninety days moves no tick, and each jump is written down.

The real observer records while its wall clock is stepped by +30 s, -30 s and +90 days, one after the other. Ticks must
lie on consecutive multiples of half a second, without a hole and without a double, and each step must be a note.
"""

import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

from observer.kit.clock import NS_PER_S
from observer.store.batch import ClockStep, Lateness
from scripts.loopback import exchange, logged, observer
from scripts.proofs import Measurement

OFFSETS_S = (0, 30, -30, 90 * 86_400)
PHASE_S = 4.0
TICK_NS = NS_PER_S // 2
_FILE = "MLX_RL_PROOF_WALL_OFFSET"


def measure() -> Measurement:
    """Ticks off the grid, missing or double, and steps that were not noted."""
    return _run("steady")


def control() -> Measurement:
    """A recorder that believes the wall clock: its grid must break."""
    return _run("gullible")


def _run(how: str) -> Measurement:
    with tempfile.TemporaryDirectory() as name:
        folder, offset = Path(name) / "data", Path(name) / "offset"
        _step(offset, 0)
        environment = {_FILE: str(offset), "MLX_RL_PROOF_HOW": how}
        flags = ("--markets", "btc", "--venues", "polymarket")
        with (
            exchange("--venues", "polymarket", "--coins", "BTC") as served,
            observer(folder, served.url, *flags, env=environment, module="scripts.proofs.clock_steps") as running,
        ):
            for seconds in OFFSETS_S:
                _step(offset, seconds)
                time.sleep(PHASE_S)
            running.stop()
        notes = [note for batch in logged(folder) for note in batch.notes]
    ticks = [note.tick_ns for note in notes if isinstance(note, Lateness)]
    steps = [note.by_ns for note in notes if isinstance(note, ClockStep)]
    off_grid = sum(tick % TICK_NS != 0 for tick in ticks)
    broken = sum(b - a != TICK_NS for a, b in itertools.pairwise(ticks))
    due = [(b - a) * NS_PER_S for a, b in itertools.pairwise(OFFSETS_S)]
    noted = len(steps) == len(due) and all(abs(s - d) < NS_PER_S for s, d in zip(steps, due, strict=True))
    enough = len(ticks) >= PHASE_S * len(OFFSETS_S)
    bad = off_grid + broken + (0 if noted else 1)
    detail = {"ticks": len(ticks), "off_grid": off_grid, "broken": broken, "steps_s": [s / NS_PER_S for s in steps]}
    return Measurement(bad, 0, "broken ticks and unnoted steps", bad == 0 and enough, detail)


def _step(file: Path, seconds: int) -> None:
    """Set the offset as a whole: a file that is read half written would be a step that nobody made."""
    fresh = file.with_suffix(".new")
    fresh.write_text(str(seconds * NS_PER_S))
    fresh.replace(file)


def _observe() -> int:
    """The observer under a wall clock that a file can step."""
    from observer.capture import clock as clock_module
    from observer.capture import session
    from observer.cli.observe import main

    file = Path(os.environ[_FILE])

    def wall_ns() -> int:
        return time.time_ns() + int(file.read_text())

    clock = clock_module.Clock(wall_ns=wall_ns)
    if os.environ["MLX_RL_PROOF_HOW"] == "gullible":
        clock.now_ns = wall_ns  # type: ignore[method-assign]
    session.clock_of = lambda exchange: clock  # type: ignore[assignment]
    return main()


if __name__ == "__main__":
    sys.exit(_observe())

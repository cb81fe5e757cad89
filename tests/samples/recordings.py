"""Small recordings on disk for tests: made-up tapes written through the real store."""

from collections.abc import Iterable
from pathlib import Path

from observer.records import Tape
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


def record(root: Path, tapes: Iterable[tuple[Tape, float | None]]) -> Path:
    """Write tapes and, where known, their payoffs as synthetic outcomes; return the recording's folder."""
    with RecordingWriter(root) as writer:
        for tape, payoff in tapes:
            writer.write_tape(tape)
            if payoff is not None:
                writer.write_outcome(tape.market.market_id, payoff, "synthetic", "test")
    return root


def make_recording(root: Path, windows: int = 12, n_ticks: int = 60, **tape_options: object) -> Path:
    """`windows` consecutive made-up windows, Up and Down winning in turn."""
    tapes = ((make_tape(7, n_ticks, index=i, **tape_options), float(i % 2)) for i in range(windows))  # type: ignore[arg-type]
    return record(root, tapes)

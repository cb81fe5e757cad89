"""What a person sees: progress on stderr, results on stdout, one JSON object on request."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

from observer.kit.clock import duration


class Progress:
    """A long job's line on stderr: what, how far, how long still.

    On a terminal the line rewrites itself; in a log it prints at most every `every_s` seconds.
    """

    def __init__(self, what: str, total: int, *, every_s: float = 5.0) -> None:
        self.what, self.total, self.every_s = what, max(1, total), every_s
        self.started = self.printed = time.monotonic()
        self.live = sys.stderr.isatty()

    def update(self, done: int, note: str = "") -> None:
        """Tell that `done` of `total` units are finished."""
        now = time.monotonic()
        last = done >= self.total
        if not last and now - self.printed < (0.2 if self.live else self.every_s):
            return
        self.printed = now
        took = now - self.started
        eta = took / done * (self.total - done) if done else 0.0
        line = f"{self.what} {done}/{self.total} {done / self.total:4.0%} {duration(took)} eta {duration(eta)} {note}"
        sys.stderr.write(f"\r{line:<110}" + ("\n" if last else "") if self.live else line + "\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """Write one line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Lay rows out in aligned plain-text columns; numbers to the right, text to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(header)]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]

    def line(values: Sequence[str]) -> str:
        parts = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)]
        return "  ".join(parts).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths]), *(line(row) for row in cells)])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return str(value)


def emit_json(result: dict[str, Any]) -> None:
    """Print one JSON object, alone, on stdout; NaN and infinity become null."""
    print(json.dumps(finite(result), indent=2, sort_keys=False))


def finite(value: Any) -> Any:
    """Make a result safe for strict JSON: NumPy scalars become Python's, NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in cast(dict[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in cast(Sequence[Any], value)]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value

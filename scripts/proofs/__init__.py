"""Proofs: every claim the README makes, as something a stranger can run.

A proof is one file with a `measure()` and a `control()`, both returning a `Measurement`, and one line in
`TABLE`. The control breaks on purpose what the proof protects, so it must come back with `holds=False`; a
proof whose control holds is itself broken.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """What a proof found: the figure, the bar it is held against, and whether it clears it."""

    value: float
    bar: float
    unit: str
    holds: bool
    detail: dict[str, Any] = field(default_factory=dict)


class NotRunHere(Exception):
    """Raised by a proof that this machine cannot run, with what is missing: it then neither holds nor fails."""

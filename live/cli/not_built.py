"""Doors that stand in the design and not yet in the code: they say so and exit 2."""

from collections.abc import Sequence

from observer.kit.console import say
from observer.kit.errors import NotBuilt


def not_built(what: str, instead: str) -> NotBuilt:
    """The error of a door that is not there yet: what it is, and what to do instead."""
    return NotBuilt(f"{what} is not built yet. {instead}")


def dashboard(argv: Sequence[str] | None = None) -> int:
    """Stand in for the dashboard's door."""
    return _say(not_built("dashboard", "Watch the terminal table of `mlx-rl run`, or read its journal."))


def _say(error: NotBuilt) -> int:
    say(f"error: {error}")
    return 2

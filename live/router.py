"""The A/B router: which arm trades a market window.

An arm is drawn once per window, by a hash of salt and market id, and keeps the window until its position is
flat and the window is released. The draw needs no state, so a restarted process draws the same; the ramp is
the chance of the second arm, and a new ramp touches only windows that are assigned after it.

The propensity, the chance with which the drawn arm was drawn, is known before anything acts, which is what
makes a later comparison honest.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from observer.kit.errors import ToolkitError, UsageError
from observer.records import FLAT

Mode = Literal["single", "hybrid"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who trades a window, and how likely that was."""

    market_id: str
    arm: str
    propensity: float  # chance of this arm, as drawn from, in (0, 1]
    draw: float  # the hash as a number in [0, 1)
    ramp: float  # chance of the second arm at the time


def draw(salt: str, market_id: str) -> float:
    """Hash salt and market id to a number in [0, 1), the same in every process and on every machine."""
    digest = hashlib.sha256(f"{salt}\0{market_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class Router:
    """Assigns windows to arms.

    Args:
        arms: names; one for mode "single", two for "hybrid" (the established arm first).
        ramp: chance of the second arm, in [0, 1]; without meaning for a single arm.
        salt: changes every draw; the same salt repeats them.
    """

    def __init__(self, arms: Sequence[str], *, ramp: float = 0.5, salt: str = "") -> None:
        if not 1 <= len(arms) <= 2 or len(set(arms)) != len(arms):
            raise UsageError(f"the router takes one arm, or two of different names; it was given {list(arms)}.")
        self.arms = tuple(arms)
        self.mode: Mode = "single" if len(arms) == 1 else "hybrid"
        self.salt = salt
        self.set_ramp(ramp)
        self._open: dict[str, Assignment] = {}

    def set_ramp(self, ramp: float) -> None:
        """Change the second arm's chance for windows assigned from now on."""
        if not 0 <= ramp <= 1:
            raise UsageError(f"the ramp is {ramp}; it is the second arm's share of windows, from 0 to 1.")
        self.ramp = float(ramp)

    def assign(self, market_id: str) -> Assignment:
        """Return the window's assignment, drawing it the first time."""
        known = self._open.get(market_id)
        if known is not None:
            return known
        number = draw(self.salt, market_id)
        if self.mode == "single":
            made = Assignment(market_id, self.arms[0], 1.0, number, 0.0)
        else:
            is_second = number < self.ramp
            chance = self.ramp if is_second else 1 - self.ramp
            made = Assignment(market_id, self.arms[int(is_second)], chance, number, self.ramp)
        self._open[market_id] = made
        return made

    def release(self, market_id: str, position: int) -> None:
        """Let a finished window go.

        Raises:
            ToolkitError: the window still holds a position; another arm must never close what one has opened.
        """
        if position != FLAT:
            arm = self._open[market_id].arm
            raise ToolkitError(f"{market_id} is not flat: arm {arm} keeps it. Close or settle the position first.")
        self._open.pop(market_id, None)

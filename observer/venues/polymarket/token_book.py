"""One token's book as a connection follows it, and its levels out of a message."""

from observer.book import BID
from observer.kit.decimals import SCALE, SCALED, BadNumber
from observer.ports import Instrument, Level
from observer.records import UNKNOWN_NS
from observer.venues.polymarket.words import LevelText

_MAX_WAITING = 5_000

Waiting = tuple[int, int, int, int, int]  # order time, venue time, side, price, size


class TokenBook:
    """What a connection knows of one token.

    Attributes:
        applied_ns: time of its last change that counted; an older REST book would take it back.
        floor_ns: time of the last REST book; older changes are in it already.
        waiting: changes that came while the book was unknown; a REST book is behind the socket by its travel time.
        n_stale: REST books in a row that were too old.
    """

    __slots__ = ("applied_ns", "book", "floor_ns", "instrument", "n_stale", "waiting")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.book = instrument, instrument.book
        self.applied_ns = self.floor_ns = UNKNOWN_NS
        self.waiting: list[Waiting] = []
        self.n_stale = 0

    def wait(self, change: Waiting) -> None:
        """Keep a change for when the book is known again."""
        if len(self.waiting) >= _MAX_WAITING:
            self.applied_ns = max(self.applied_ns, *(at_ns for at_ns, *_ in self.waiting))  # no older book will do
            self.waiting.clear()
        self.waiting.append(change)


def levels_of(texts: list[LevelText], side: int) -> list[Level]:
    """Levels best first, without those of size zero.

    Raises:
        BadNumber: a text that is no number, a price outside (0, 1), or a price twice.
    """
    levels = [(SCALED[level.price], SCALED[level.size]) for level in texts]
    levels.sort(reverse=side == BID)
    if levels and not (0 < levels[0][0] < SCALE and 0 < levels[-1][0] < SCALE):
        raise BadNumber("price outside (0, 1)")
    sizes = dict(levels)
    if len(sizes) < len(levels):
        raise BadNumber("price twice")
    return levels if all(sizes.values()) else [level for level in levels if level[1]]


def reason_of(error: Exception) -> str:
    """A short reason without the values, so that equal faults are counted together."""
    if isinstance(error, BadNumber):
        text = str(error)
        return text if text.startswith("price ") else "bad number"
    return type(error).__name__

"""Times as venues state them, held against our clock before anyone relies on them."""

from observer.kit.clock import NS_PER_S
from observer.ports import Line
from observer.records import UNKNOWN_NS

FIRST_NS = 1_577_836_800 * NS_PER_S  # 2020-01-01
AHEAD_NS = NS_PER_S  # how far a venue's clock may be ahead of ours


def believed(line: Line, venue_ns: int) -> int:
    """The time, or `UNKNOWN_NS` where it cannot be right: before 2020, or more than a second ahead of us.

    The frame is refused then, and what else it says still counts: a wrong clock, ours perhaps, makes no price wrong.
    """
    if FIRST_NS < venue_ns < line.recv_ns + AHEAD_NS:
        return venue_ns
    if venue_ns != UNKNOWN_NS:
        line.refuse("time before 2020" if venue_ns <= FIRST_NS else "time ahead of ours")
    return UNKNOWN_NS

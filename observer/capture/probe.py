"""A book by REST, read by a venue's own decoder and held against the one we keep."""

from collections.abc import Sequence
from typing import Any

from observer.book import ASK, BID
from observer.ports import Instrument, Level, StreamPlan, Venue
from observer.records import UNKNOWN_NS

_LEVELS = 5


class Probe:
    """A line that keeps the one book it is told and lets everything else pass."""

    number = -1
    recv_ns = 2**62  # late enough for a decoder to believe any time that the venue states

    def __init__(self) -> None:
        self.found: tuple[list[Level], list[Level], int] | None = None

    def book(
        self, instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level], venue_ns: int, seq: int = -1
    ) -> None:
        """Keep it."""
        self.found = (list(bids), list(asks), venue_ns)

    def level(self, *_: Any, **__: Any) -> None:
        """Nothing to keep."""

    trade = price = top = lost = lost_all = refuse = unknown = send = fetch = outcome = changed = level


def same_book(venue: Venue, plan: StreamPlan, instrument: Instrument, payload: bytes) -> bool | None:
    """Whether the best five levels of a REST answer are those of the instrument's book.

    None where it tells nothing: it holds no book, or a different one of before the last change, out of some cache.
    """
    probe = Probe()
    venue.decoder(plan, probe).snapshot(instrument, payload)
    if probe.found is None:
        return None
    bids = sorted((level for level in probe.found[0] if level[1]), reverse=True)[:_LEVELS]
    asks = sorted(level for level in probe.found[1] if level[1])[:_LEVELS]
    if bids == instrument.book.top(BID, _LEVELS) and asks == instrument.book.top(ASK, _LEVELS):
        return True
    return None if UNKNOWN_NS < probe.found[2] < instrument.venue_ns else False

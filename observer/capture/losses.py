"""What the disk did not take, and telling again what is unknown since.

Where events were left out (a disk too slow, or too full), nobody who reads the log knows a book from there to its next
whole one, which may be a day away. So once nothing is left out any more every book is told again, some at a time. Where
ticks were left out, the next one of each market carries its ladder. Where raw frames were, connections are opened anew
beside the old ones: a venue's own words must begin with whole books too, or they cannot be read again.
"""

from collections.abc import Callable

from observer.book import ASK, BID
from observer.capture.intake import Intake
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S
from observer.records import UNKNOWN_NS
from observer.store.batch import BOOK
from observer.store.spool import SpoolState
from observer.store.watermarks import Level

QUIET_NS = 5 * NS_PER_S  # without a loss, where batches still wait for the disk
RENEW_NS = 30 * NS_PER_S  # without a lost frame before connections are opened anew
TOLD_LEVELS = 5_000  # at a time: a few milliseconds
_ALL = 2**31


class Losses:
    """Watches what the disk left out.

    Args:
        intake, ticker: whose books and ticks they are.
        renew: opens every connection anew.

    Attributes:
        rows: left out so far, by kind.
        last_ns: when the last of them was noticed; 0 before the first.
    """

    def __init__(self, intake: Intake, ticker: Ticker, renew: Callable[[], None]) -> None:
        self.rows = {"raw": 0, "events": 0, "ticks": 0, "notes": 0}
        self.last_ns = 0
        self._intake, self._ticker, self._renew = intake, ticker, renew
        self._are_books_due = self._are_frames_due = False
        self._untold: list[int] = []  # instruments

    def look(self, state: SpoolState) -> None:
        """Look at the disk's counters, before each tick; cheap."""
        rows = _left_out(state)
        now_ns = self._intake.clock.now_ns()
        if rows != self.rows:
            if rows["ticks"] != self.rows["ticks"]:
                self._ticker.forget()
            if rows["events"] != self.rows["events"]:
                self._are_books_due = True
                self._untold.clear()
            self._are_frames_due |= rows["raw"] != self.rows["raw"]
            self.rows, self.last_ns = rows, now_ns
            return
        quiet_ns = now_ns - self.last_ns
        if self._are_books_due and (state.queued_batches <= 1 or quiet_ns >= QUIET_NS):
            self._are_books_due = False
            self._untold = [number for number, one in self._intake.instruments.items() if one.book.is_valid]
        if self._are_frames_due and state.log.level < Level.NO_RAW and quiet_ns >= RENEW_NS:
            self._are_frames_due = False
            self._renew()

    def tell(self) -> None:
        """Tell some of the books that are not told yet; one that was lost meanwhile is told by its venue."""
        intake, room = self._intake, TOLD_LEVELS
        while self._untold and room > 0:
            instrument = intake.instruments.get(self._untold.pop())
            if instrument is None or not instrument.book.is_valid:
                continue
            bids, asks = (tuple(instrument.book.top(side, _ALL)) for side in (BID, ASK))
            intake.events.append(
                (BOOK, instrument.owner, instrument.number, intake.clock.now_ns(), UNKNOWN_NS, -1, bids, asks)
            )
            room -= len(bids) + len(asks) + 1


def _left_out(state: SpoolState) -> dict[str, int]:
    skipped = dict(state.log.skipped_rows)
    return {
        "raw": state.shed_raw + skipped.get("raw", 0), "events": state.shed_events + skipped.get("events", 0),
        "ticks": skipped.get("ticks", 0), "notes": skipped.get("notes", 0),
    }  # fmt: skip

"""The tick grid: every half second, what each open market looked like.

A tick at time t shows the books as the frames up to t left them. Ticks lie on multiples of the spacing, counted by the
recorder's clock, so they neither drift nor bunch; one that is taken late says how late.
"""

from dataclasses import dataclass, field
from typing import Any

from observer.book import ASK, BID
from observer.capture.intake import Intake
from observer.kit.decimals import SCALE
from observer.ports import Instrument, Listing
from observer.records import BOOK_LEVELS, DOWN, UP
from observer.store.batch import Lateness

_DEPTH = 5
_PAD = [None] * (2 * BOOK_LEVELS)


@dataclass(slots=True)
class OpenMarket:
    """A market on the grid since `since_ns`, with what its last tick looked like."""

    number: int
    listing: Listing
    up: Instrument | None
    down: Instrument | None
    since_ns: int
    versions: tuple[int, int] = (-1, -1)
    cells: list[float | None] = field(default_factory=list[float | None])


class Ticker:
    """Takes the ticks of all open markets; the next one is due at `intake.due_ns`.

    Args:
        intake: where ticks go.
        tick_ns: spacing of the grid.
    """

    def __init__(self, intake: Intake, tick_ns: int) -> None:
        self._intake, self.tick_ns = intake, tick_ns
        self.markets: dict[str, OpenMarket] = {}
        intake.due_ns = self._after(intake.clock.now_ns())
        intake.before = self.catch_up

    def add(self, listing: Listing, number: int) -> None:
        """Put a market on the grid; ticks are taken while its window is open."""
        books = {instrument.token: instrument for instrument in listing.instruments}
        market = OpenMarket(number, listing, books.get(UP), books.get(DOWN), self._intake.clock.now_ns())
        self.markets[listing.market.market_id] = market

    def drop(self, market_id: str) -> OpenMarket | None:
        """Take a market off the grid."""
        return self.markets.pop(market_id, None)

    def forget(self) -> None:
        """Ticks were not written: the next one of each market carries its ladder, whatever the one before was."""
        for market in self.markets.values():
            market.versions = (-1, -1)

    def catch_up(self, now_ns: int) -> None:
        """Take every tick that is due at `now_ns`, oldest first; called before each frame and by the timer."""
        intake = self._intake
        while now_ns >= intake.due_ns:
            tick_ns = intake.due_ns
            if now_ns - tick_ns > 20 * self.tick_ns:  # asleep: a gap, not a burst of equal rows
                intake.due_ns = self._after(now_ns)
                intake.dropped("ticks", (intake.due_ns - tick_ns) // self.tick_ns, tick_ns, now_ns, "asleep")
                return
            intake.due_ns = tick_ns + self.tick_ns
            self._take(tick_ns, now_ns - tick_ns)

    def _take(self, tick_ns: int, late_ns: int) -> None:
        intake = self._intake
        ticks = intake.ticks
        before = len(ticks)
        for market in self.markets.values():
            window = market.listing.market
            if window.open_ns <= tick_ns <= window.close_ns:
                self._row(market, tick_ns, ticks)
        late_ns = int(late_ns / intake.clock.speed)
        intake.notes.append(Lateness(tick_ns, late_ns))
        intake.counters.late_ns.append(late_ns)
        intake.counters.ticks += 1
        intake.counters.tick_rows += len(ticks) - before

    def _row(self, market: OpenMarket, tick_ns: int, ticks: list[Any]) -> None:
        """Add one market's row; none while no book of it is known, for an unknown book is a gap, not an empty one."""
        up, down = market.up, market.down
        is_known = (up is not None and up.book.is_valid) or (down is not None and down.book.is_valid)
        if not is_known:
            return
        versions = (up.book.version if up else 0, down.book.version if down else 0)
        if versions == market.versions:
            ticks.append((market.number, tick_ns, market.cells, None))
            return
        market.versions = versions
        sides = [_top(instrument, side) for instrument in (up, down) for side in (BID, ASK)]
        market.cells = _cells(sides)
        ladder: list[float | None] = []
        for levels in sides:
            for price, size in levels:
                ladder.append(price / SCALE)
                ladder.append(size / SCALE)
            ladder += _PAD[2 * len(levels) :]
        ticks.append((market.number, tick_ns, market.cells, ladder))

    def _after(self, now_ns: int) -> int:
        return (now_ns // self.tick_ns + 1) * self.tick_ns


def _top(instrument: Instrument | None, side: int) -> list[tuple[int, int]]:
    return instrument.book.top(side, BOOK_LEVELS) if instrument is not None else []


def _cells(sides: list[list[tuple[int, int]]]) -> list[float | None]:
    """The twelve book columns of a tick row: best prices, their sizes, the sum over the best five levels."""
    best: list[float | None] = [levels[0][0] / SCALE if levels else None for levels in sides]
    sizes = [levels[0][1] / SCALE if levels else None for levels in sides]
    depth = [sum(size for _, size in levels[:_DEPTH]) / SCALE if levels else None for levels in sides]
    return best + sizes + depth

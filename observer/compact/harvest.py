"""What the windows of the recording need from one segment, small enough to be held until they close.

Ticks are kept packed, market by market: 200 markets of a quarter of an hour are some 30 MB instead of 270.
"""

from array import array
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from observer.compact.feeds import Books, FeedSampler, Name, Prices
from observer.compact.names import Names
from observer.records import BOOK_LEVELS, SIDES
from observer.store.batch import TRADE, Batch, Dropped, GapSeen, Lateness, MarketEnded, MarketSeen, OutcomeSeen
from observer.store.pause import DISK_FULL
from observer.store.segment import SegmentHeader
from observer.store.trades import Trades

N_CELLS = 3 * len(SIDES)
_LADDER = (len(SIDES), BOOK_LEVELS, 2)  # prices and sizes of a ladder
_LEVEL = 1
_UNKNOWN: list[float | None] = [None] * (len(SIDES) * BOOK_LEVELS * 2)  # a ladder that nobody wrote
_BLOCK_TICKS = 240  # packed together: two minutes of one market


@dataclass(frozen=True, slots=True)
class PackedTicks:
    """A block of one market's ticks.

    Attributes:
        ticks, ladders: how many.
        data: times, cells, ladders and their places, compressed.
    """

    ticks: int
    ladders: int
    data: bytes

    def unpack(self) -> "Ticks":
        """Back to arrays."""
        raw = zstandard.ZstdDecompressor().decompress(self.data)
        times, rest = np.split(np.frombuffer(raw, np.int64), [self.ticks])
        places, rest = np.split(rest, [self.ladders])
        cells, ladder = np.split(rest.view(np.float64), [self.ticks * N_CELLS])
        return Ticks(times, cells.reshape(self.ticks, N_CELLS), ladder.reshape(self.ladders, *_LADDER), places)


@dataclass(frozen=True, slots=True)
class Ticks:
    """T ticks with L ladders: (T,) times, (T, 12) cells, (L, S, K, 2) ladders, (L,) the tick each came with."""

    tick_ns: NDArray[np.int64]
    cells: NDArray[np.float64]
    ladder: NDArray[np.float64]
    ladder_at: NDArray[np.int64]


class _TickColumns:
    """One market's ticks while a segment is read; all but the last few are packed."""

    def __init__(self, *, is_lost: bool) -> None:
        self._blocks: list[PackedTicks] = []
        self._is_lost = is_lost
        self._clear()

    def lose(self) -> None:
        """Ticks were not written: one without a ladder may mean a ladder of theirs, so it has none."""
        self._is_lost = True

    def add(self, tick_ns: int, cells: list[float | None], ladder: list[float | None] | None) -> None:
        if ladder is None and self._is_lost:
            ladder = _UNKNOWN
        self._is_lost = False
        if ladder is not None:
            self._places.append(len(self._times))
            self._ladders.extend(nan if value is None else value for value in ladder)
        self._times.append(tick_ns)
        self._cells.extend(nan if value is None else value for value in cells)
        if len(self._times) == _BLOCK_TICKS:
            self._pack()

    def close(self) -> list[PackedTicks]:
        if self._times:
            self._pack()
        return self._blocks

    def _pack(self) -> None:
        raw = b"".join(part.tobytes() for part in (self._times, self._places, self._cells, self._ladders))
        data = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
        exact = bytes(memoryview(data))  # the library's own result holds on to the room that incompressible data needs
        self._blocks.append(PackedTicks(len(self._times), len(self._places), exact))
        self._clear()

    def _clear(self) -> None:
        self._times, self._places, self._cells, self._ladders = (array(code) for code in "qqdd")


@dataclass
class Harvest:
    """What one segment holds for the recording.

    Attributes:
        path, header: the segment.
        next_batch: number of the batch that follows it.
        frontier_ns: time of its last tick; 0 without one.
        flaw: why it could not be read to its end; "" where it could.
        markets: market number -> its note.
        ticks: market number -> its ticks, in blocks.
        trades: instrument number -> TRADE events of a market's token.
        ended: markets that were let go.
        gaps: spans in which books were unknown, or events not written.
        outcomes: how markets ended. Of both, what is not in the recording yet.
        prices, feed_trades: of the underlyings.
        is_written: whether these are in the recording.
    """

    path: Path
    header: SegmentHeader
    next_batch: int = 0
    frontier_ns: int = 0
    flaw: str = ""
    markets: dict[int, MarketSeen] = field(default_factory=dict[int, MarketSeen])
    ticks: dict[int, list[PackedTicks]] = field(default_factory=dict[int, list[PackedTicks]])
    trades: dict[int, list[tuple[Any, ...]]] = field(default_factory=dict[int, list[tuple[Any, ...]]])
    ended: list[str] = field(default_factory=list[str])
    gaps: list[GapSeen] = field(default_factory=list[GapSeen])
    outcomes: list[OutcomeSeen] = field(default_factory=list[OutcomeSeen])
    prices: dict[Name, Prices] = field(default_factory=dict[Name, Prices])
    feed_trades: dict[Name, Trades] = field(default_factory=dict[Name, Trades])
    is_written: bool = False

    @property
    def run_id(self) -> str:
        """The run that wrote it."""
        return self.header.run_id


class Harvester:
    """Takes the batches of one segment and returns its harvest.

    Args:
        path, header: the segment.
        books: of the underlyings, as they stood before it; moved on in place.
    """

    def __init__(self, path: Path, header: SegmentHeader, books: Books) -> None:
        self._harvest = Harvest(path, header, header.first_batch)
        self._feeds = FeedSampler(books)
        self._ticks: dict[int, _TickColumns] = {}
        self._are_ticks_lost = False

    def take(self, batch: Batch, names: Names) -> None:
        """Add what a batch holds; `names` must have learnt from its notes."""
        found = self._harvest
        found.next_batch = batch.number + 1
        for note in batch.notes:
            if isinstance(note, Lateness):
                found.frontier_ns = max(found.frontier_ns, note.tick_ns)
            elif isinstance(note, MarketEnded):
                found.ended.append(note.market_id)
            elif isinstance(note, GapSeen):
                found.gaps.append(note)
            elif isinstance(note, Dropped) and note.what == "events":
                found.gaps.append(GapSeen(-1, "", note.start_ns, note.end_ns, f"events not written: {note.reason}"))
            elif isinstance(note, Dropped) and note.what == "ticks" and note.reason == DISK_FULL:
                self._are_ticks_lost = True
                for columns in self._ticks.values():
                    columns.lose()
            elif isinstance(note, OutcomeSeen):
                found.outcomes.append(note)
        for number, tick_ns, cells, ladder in batch.ticks:
            if number not in self._ticks:
                self._ticks[number] = _TickColumns(is_lost=self._are_ticks_lost)
            self._ticks[number].add(tick_ns, cells, ladder)
        for event in batch.events:
            if event[0] == TRADE:
                seen = names.instruments.get(event[2])
                if seen is not None and seen.token:
                    found.trades.setdefault(event[2], []).append(event)
        self._feeds.take(batch, names)

    def close(self, names: Names, flaw: str) -> Harvest:
        """The harvest, once every batch was taken."""
        found = self._harvest
        found.flaw = flaw
        found.markets = dict(names.markets)
        found.ticks = {number: columns.close() for number, columns in self._ticks.items() if number in names.markets}
        found.prices, found.feed_trades = self._feeds.close()
        return found

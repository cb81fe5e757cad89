"""What has been read and not yet been written: which windows are whole, what else waits, which segments are done.

A window is whole when nobody can add to it any more: every run that named it has let it go, with all its gaps told, or
is over; and every run that is not over is sealed to a time beyond its close. With no such run (the recorder is down),
its close must lie before the last sealed tick, or before now.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from observer.compact.harvest import Harvest
from observer.compact.runs import Run
from observer.compact.window import Piece, Told
from observer.kit.clock import NS_PER_S
from observer.records import DOWN, UP
from observer.store.batch import GapSeen, MarketSeen, OutcomeSeen

SETTLE_NS = 2 * NS_PER_S  # after its close a market's last tick and trades are surely sealed
_REMEMBER_NS = 3600 * NS_PER_S  # a window's gap may be told so long after its close


@dataclass(slots=True)
class Named:
    """A market that runs have named; `is_settled` once it was written, was there already, or had nothing to write."""

    market_id: str
    open_ns: int
    close_ns: int
    seen: dict[str, MarketSeen] = field(default_factory=dict[str, MarketSeen])  # by run
    left: set[str] = field(default_factory=set[str])  # runs that have let it go
    is_settled: bool = False


class Pending:
    """Harvests and the markets they name.

    Attributes:
        harvests: by segment, as long as the segment is there.
    """

    def __init__(self) -> None:
        self.harvests: dict[Path, Harvest] = {}
        self._markets: dict[str, Named] = {}
        self._frontiers: dict[str, int] = {}
        self._sealed_to_ns = 0
        self._unfinished: set[str] = set()  # runs

    def add(self, harvest: Harvest) -> None:
        """Take in what a segment holds."""
        self.harvests[harvest.path] = harvest
        frontier = self._frontiers.get(harvest.run_id, 0)
        self._frontiers[harvest.run_id] = max(frontier, harvest.frontier_ns)
        for seen in harvest.markets.values():
            market_id, open_ns, close_ns = (seen.row[name] for name in ("market_id", "open_ns", "close_ns"))
            named = self._markets.setdefault(market_id, Named(market_id, open_ns, close_ns))
            named.open_ns, named.close_ns = open_ns, close_ns  # as it was described last
            named.seen[harvest.run_id] = seen
        # A segment names all that is alive, so what an earlier one of the run named and it does not was let go too.
        named_here = {seen.row["market_id"] for seen in harvest.markets.values()}
        for market_id, named in self._markets.items():
            if harvest.run_id in named.seen and (market_id in harvest.ended or market_id not in named_here):
                named.left.add(harvest.run_id)

    def see(self, runs: list[Run], now_ns: int) -> None:
        """Learn up to which time everything is sealed and read."""
        self._unfinished = {
            run.run_id
            for run in runs
            if run.open or run.is_recording or any(path not in self.harvests for path in run.segments)
        }
        latest = max([now_ns, *self._frontiers.values()])
        self._sealed_to_ns = min((self._frontiers.get(run_id, 0) for run_id in self._unfinished), default=latest)

    def forget_missing(self, runs: list[Run]) -> None:
        """Forget segments that are gone and runs that have left the spool."""
        there = {path for run in runs for path in run.segments}
        for path in [path for path in self.harvests if path not in there]:
            del self.harvests[path]
        run_ids = {run.run_id for run in runs}
        self._frontiers = {run_id: ns for run_id, ns in self._frontiers.items() if run_id in run_ids}

    def is_due(self) -> bool:
        """Whether there is something to write now: a whole window, or what a segment that waits for no window holds."""
        waiting = self._with_rows()
        needed = {piece.harvest.path for pieces in waiting.values() for piece in pieces if piece.has_rows}
        return any(self.is_whole(market_id) for market_id in waiting) or any(
            not harvest.is_written or any(self.ready_notes(harvest, set()))
            for path, harvest in self.harvests.items()
            if path not in needed
        )

    def whole(self) -> list[tuple[str, list[Piece]]]:
        """Windows to write now, oldest first, with their pieces in order of time; without a row, with no piece."""
        waiting = self._with_rows()
        names = [name for name, market in self._markets.items() if not market.is_settled and self.is_whole(name)]
        names.sort(key=lambda name: (self._markets[name].open_ns, name))
        return [(name, waiting.get(name, [])) for name in names]

    def is_whole(self, market_id: str) -> bool:
        """Whether nobody can add to a window any more."""
        market = self._markets[market_id]
        is_left = market.left.issuperset(market.seen.keys() & self._unfinished)
        return is_left and market.close_ns + SETTLE_NS <= self._sealed_to_ns

    def told_gaps(self) -> dict[str, list[Told]]:
        """Every gap that was told, by market."""
        told: dict[str, list[Told]] = {}
        for harvest in self.harvests.values():
            for gap in harvest.gaps:
                for market, _, end_ns in self.gaps_of(harvest.run_id, gap):
                    seen = market.seen[harvest.run_id]
                    token = 0 if gap.ins < 0 else UP if gap.ins == seen.up else DOWN
                    told.setdefault(market.market_id, []).append(Told(gap.start_ns, end_ns, token))
        return told

    def gaps_of(self, run_id: str, gap: GapSeen) -> Iterator[tuple[Named, int, int]]:
        """(market, start, end) of each window that a gap touches, the span cut to the window."""
        for market in self._markets.values():
            seen = market.seen.get(run_id)
            if seen is not None and (gap.ins < 0 or gap.ins in (seen.up, seen.down)):
                start_ns, end_ns = max(gap.start_ns, market.open_ns), min(gap.end_ns, market.close_ns)
                if start_ns < end_ns:
                    yield market, start_ns, end_ns

    def ready_notes(self, harvest: Harvest, settled: set[str]) -> tuple[list[GapSeen], list[OutcomeSeen]]:
        """A segment's gaps and outcomes whose windows are in the recording or never will be.

        Args:
            harvest: the segment's.
            settled: markets that are just being settled.
        """

        def is_settled(market_id: str) -> bool:
            return market_id in settled or self._is_settled(market_id)

        gaps = [g for g in harvest.gaps if all(is_settled(m.market_id) for m, _, _ in self.gaps_of(harvest.run_id, g))]
        return gaps, [outcome for outcome in harvest.outcomes if is_settled(outcome.market_id)]

    def settle(self, market_ids: set[str]) -> None:
        """These windows are in the recording, or have nothing to be written: their ticks are no longer needed."""
        for market_id in market_ids:
            self._markets[market_id].is_settled = True
        for harvest in self.harvests.values():
            for number, seen in harvest.markets.items():
                if seen.row["market_id"] in market_ids:
                    harvest.ticks.pop(number, None)

    def finished(self) -> list[Harvest]:
        """Segments of which everything has been written, in order of time."""
        needed = {p.harvest.path for pieces in self._with_rows().values() for p in pieces if p.has_rows}
        done = [
            harvest
            for path, harvest in self.harvests.items()
            if path not in needed and harvest.is_written and not harvest.gaps and not harvest.outcomes
            if all(self._is_settled(market_id) for market_id in harvest.ended)
        ]
        return sorted(done, key=_order)

    def drop(self, harvest: Harvest) -> None:
        """A segment is gone; markets that are long over and that no other segment names are forgotten with it."""
        del self.harvests[harvest.path]
        named = {seen.row["market_id"] for other in self.harvests.values() for seen in other.markets.values()}
        for name, market in list(self._markets.items()):
            if market.is_settled and name not in named and market.close_ns + _REMEMBER_NS < self._sealed_to_ns:
                del self._markets[name]

    def waiting(self) -> tuple[int, int]:
        """How many windows with rows are not whole yet, and when the first of them closes (0: none)."""
        closes = [self._markets[name].close_ns for name in self._with_rows()]
        return len(closes), min(closes, default=0)

    def _is_settled(self, market_id: str) -> bool:
        """Whether a window is in the recording or never will be."""
        return market_id not in self._markets or self._markets[market_id].is_settled

    def _with_rows(self) -> dict[str, list[Piece]]:
        """Unsettled markets with rows, with every segment that names them, in order of time."""
        pieces: dict[str, list[Piece]] = {}
        for harvest in sorted(self.harvests.values(), key=_order):
            for number, seen in harvest.markets.items():
                if not self._markets[seen.row["market_id"]].is_settled:
                    pieces.setdefault(seen.row["market_id"], []).append(Piece(harvest, number))
        return {name: of_market for name, of_market in pieces.items() if any(piece.has_rows for piece in of_market)}


def _order(harvest: Harvest) -> tuple[str, int]:
    return harvest.run_id, harvest.header.first_batch

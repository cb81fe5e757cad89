"""One market's window, put together from the segments that hold its ticks, screened, and written.

Ticks of two runs (the recorder was started again in between) are one tape with a gap. Nothing is repaired: a tick that
breaks a law of the store is left out and counted, as an importer would (`observer.store.screen`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.compact.feeds import trades_of
from observer.compact.harvest import N_CELLS, Harvest, PackedTicks, Ticks
from observer.importers.source import inside, lawful_trades
from observer.kit.decimals import SCALE
from observer.records import BOOK_LEVELS, BUY, DOWN, SELL, SIDES, UP, Ladder, Market
from observer.store.batch import MarketSeen
from observer.store.checks import PRICE_COLUMNS
from observer.store.market_rows import market_from
from observer.store.refusals import (
    COLLECTOR_DOWN,
    ENDS_EARLY,
    IN_A_GAP,
    LADDER_DIFFERS,
    NO_QUOTE,
    NO_TICKS,
    SAME_TRADE,
    STARTS_LATE,
    ImportReport,
)
from observer.store.screen import Gap, empty_rows, mirror_down, screen
from observer.store.trades import Trades, with_flow
from observer.store.writer import RecordingWriter

_SILENCES = (NO_TICKS, STARTS_LATE, ENDS_EARLY)
UP_BID, UP_ASK, DOWN_BID, DOWN_ASK = range(len(SIDES))
_SIDES_OF = {UP: (UP_BID, UP_ASK), DOWN: (DOWN_BID, DOWN_ASK)}


@dataclass(frozen=True, slots=True)
class Told:
    """A gap that the recorder told, up to a window's close; `token` is whose book was unknown, 0 where it was none."""

    start_ns: int
    end_ns: int
    token: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A market's share of one segment: the segment's harvest, and the market's number in it."""

    harvest: Harvest
    number: int

    @property
    def seen(self) -> MarketSeen:
        """The market as this segment names it."""
        return self.harvest.markets[self.number]

    @property
    def ticks(self) -> list[PackedTicks]:
        """Its ticks in this segment, in blocks."""
        return self.harvest.ticks.get(self.number, [])

    @property
    def has_rows(self) -> bool:
        """Whether this segment holds a tick of it, or a trade of its tokens."""
        trades = self.harvest.trades
        return bool(self.ticks) or self.seen.up in trades or self.seen.down in trades


def write_window(writer: RecordingWriter, report: ImportReport, pieces: Sequence[Piece], told: Sequence[Told]) -> bool:
    """Write one market; False where it has no usable tick, so that nothing is written.

    Args:
        writer, report: where it goes, and where it is counted.
        pieces: its share of every segment that names it, in order of time; may be none.
        told: gaps that the recorder told. What ticks show of a book in its gap was not known to be lost when they were
            taken, and is left out. Silence that one of them explains is not counted again.

    Raises:
        BadRecording: the window breaks a law that no choice of ticks can mend; nothing of it is written.
    """
    if not any(piece.ticks for piece in pieces):
        return False
    market = market_from(pieces[-1].seen.row)
    name = market.market_id
    recv_ns, rows, ladder, restarts = _ticks(pieces)
    is_lost = _forget(recv_ns, rows, ladder, told)
    if pieces[-1].seen.is_mirrored:
        mirror_down(rows)
        _mirror_ladder(ladder)
    differs = ~is_lost & ~_ladder_agrees(rows, ladder)
    for reason, is_refused in ((IN_A_GAP, is_lost), (LADDER_DIFFERS, differs)):
        report.seen["tick"] += int(np.sum(is_refused))
        report.refuse("tick", reason, name, int(np.sum(is_refused)))
    lawful = ~(is_lost | differs)
    if not np.isfinite(rows[lawful][:, PRICE_COLUMNS]).any():
        report.seen["tick"] += int(lawful.sum())
        report.refuse("tick", NO_QUOTE, name, int(lawful.sum()))
        return False
    depth = Ladder(ladder.price[lawful], ladder.size[lawful])
    screened = screen(market, recv_ns[lawful], rows[lawful], report, ladder=depth)
    if screened.tape is None:
        return False
    trades = _trades(market, pieces, report)
    writer.write_tape(with_flow(screened.tape, trades), trades)
    report.kept["trade"] += len(trades)
    for gap in _told_once(market, screened.gaps, restarts, told):
        writer.write_gap(gap.market_id, gap.start_ns, gap.end_ns, gap.reason)
    return True


def _ticks(
    pieces: Sequence[Piece],
) -> tuple[NDArray[np.int64], NDArray[np.float64], Ladder, list[tuple[int, int]]]:
    """Times, rows and ladders of all pieces, and the spans in which the recorder was started again."""
    blocks = [(piece.harvest.run_id, packed.unpack()) for piece in pieces for packed in piece.ticks]
    recv_ns = np.concatenate([ticks.tick_ns for _, ticks in blocks])
    rows = empty_rows(len(recv_ns))
    rows[:, :N_CELLS] = np.concatenate([ticks.cells for _, ticks in blocks])
    restarts: list[tuple[int, int]] = []
    ladders: list[NDArray[np.float64]] = []
    last, run_id, last_ns = _no_ladder(), blocks[0][0], 0
    for of_run, ticks in blocks:
        if of_run != run_id:
            last, run_id = _no_ladder(), of_run
            restarts.append((last_ns, int(ticks.tick_ns[0])))
        filled = _filled(ticks, last)
        last, last_ns = filled[-1:], int(ticks.tick_ns[-1])
        ladders.append(filled)
    whole = np.concatenate(ladders)
    ladder = Ladder(np.ascontiguousarray(whole[..., 0]), np.ascontiguousarray(whole[..., 1]))
    return recv_ns, rows, ladder, restarts


def _forget(
    recv_ns: NDArray[np.int64], rows: NDArray[np.float64], ladder: Ladder, told: Sequence[Told]
) -> NDArray[np.bool_]:
    """Take back, in place, what ticks show of books in their gaps; (T,) whether a tick lost its last quote by it."""
    was_quoted = _is_quoted(rows)
    for gap in told:
        unknown = (gap.start_ns < recv_ns) & (recv_ns <= gap.end_ns)
        for side in _SIDES_OF.get(gap.token, ()):
            rows[unknown, side : N_CELLS : len(SIDES)] = np.nan
            ladder.price[unknown, side] = ladder.size[unknown, side] = np.nan
    return was_quoted & ~_is_quoted(rows)


def _is_quoted(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.any(np.isfinite(rows[:, PRICE_COLUMNS]), axis=1)


def _no_ladder() -> NDArray[np.float64]:
    return np.full((1, len(SIDES), BOOK_LEVELS, 2), np.nan)


def _filled(ticks: Ticks, before: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, S, K, 2) the ladder of each tick: its own, else the last one there was."""
    latest = np.zeros(len(ticks.tick_ns), np.int64)
    latest[ticks.ladder_at] = np.arange(1, len(ticks.ladder_at) + 1)
    return np.concatenate([before, ticks.ladder])[np.maximum.accumulate(latest)]


def _mirror_ladder(ladder: Ladder) -> None:
    """Fill Down's levels, in place, where both tokens share one book (see `screen.mirror_down`)."""
    for down, up in ((DOWN_BID, UP_ASK), (DOWN_ASK, UP_BID)):
        ladder.price[:, down] = np.round(1 - ladder.price[:, up], 6)
        ladder.size[:, down] = ladder.size[:, up]


def _ladder_agrees(rows: NDArray[np.float64], ladder: Ladder) -> NDArray[np.bool_]:
    """(T,) whether a tick's depth begins at its quotes; it does not where a batch between was not written."""
    touch, quotes = ladder.price[:, :, 0], rows[:, PRICE_COLUMNS]
    return np.all((touch == quotes) | (np.isnan(touch) & np.isnan(quotes)), axis=1)


def _trades(market: Market, pieces: Sequence[Piece], report: ImportReport) -> Trades:
    """The window's trades in order of arrival, each id once; those outside the window belong to others or to none."""
    rows: list[tuple[int, int, int, int, int, int]] = []
    known: set[tuple[int, str]] = set()
    repeated = 0
    for piece in pieces:
        for token, number in ((UP, piece.seen.up), (DOWN, piece.seen.down)):
            for _, _, _, recv_ns, venue_ns, side, price, size, trade_id in piece.harvest.trades.get(number, ()):
                if not market.open_ns <= recv_ns <= market.close_ns:
                    continue
                report.seen["trade"] += 1
                if (token, trade_id) in known:
                    repeated += 1
                    continue
                known.add((token, trade_id))
                if piece.seen.is_mirrored and side == SELL:  # there a taker who sells Up is one who buys Down
                    rows.append((recv_ns, venue_ns, BUY, SCALE - price, size, DOWN))
                else:
                    rows.append((recv_ns, venue_ns, side, price, size, token))
    report.refuse("trade", SAME_TRADE, market.market_id, repeated)
    rows.sort(key=lambda row: row[0])
    tokens = np.array([row[5] for row in rows], np.int8)
    plain = trades_of((row[:5] for row in rows), 0)
    trades = Trades(plain.recv_ns, plain.venue_ns, tokens, plain.side, plain.price, plain.size)
    return inside(market, lawful_trades(trades, report, market.market_id), report)


def _told_once(market: Market, gaps: list[Gap], restarts: list[tuple[int, int]], told: Sequence[Told]) -> list[Gap]:
    """The gaps without silences that the recorder has told of, and restarts under their own name."""
    down = [
        Gap(market.market_id, start_ns, end_ns, COLLECTOR_DOWN) for start_ns, end_ns in restarts if end_ns > start_ns
    ]
    spans = [*((gap.start_ns, gap.end_ns) for gap in told), *restarts]
    return down + [gap for gap in gaps if not (gap.reason in _SILENCES and _explained(gap, spans, market.tick_ns))]


def _explained(gap: Gap, spans: Sequence[tuple[int, int]], tick_ns: int) -> bool:
    return any(start_ns <= gap.start_ns + tick_ns and gap.end_ns <= end_ns + tick_ns for start_ns, end_ns in spans)

"""Row-by-row refusal of what a source recorded badly, before the writer's laws are applied.

A row that breaks a law is left out and counted with its reason; the time it covered becomes a gap. No number
of a kept row is changed, except that size and depth of a quote that is not there become NaN.
T rows as the source has them, C tick columns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.kit.errors import BadRecording
from observer.records import N_COLUMNS, SIDES, Ladder, Market, Tape
from observer.store.checks import PRICE_COLUMNS, SIZE_COLUMNS, bad_price, bad_size, crossed, window_unit_complaint
from observer.store.refusals import (
    AFTER_CLOSE,
    BACKWARDS,
    BAD_PRICE,
    BAD_SIZE,
    BEFORE_OPEN,
    CROSSED,
    DUPLICATE,
    ENDS_EARLY,
    NO_TICKS,
    STARTS_LATE,
    ImportReport,
)

GAP_AFTER_TICKS = 5


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of a market's window from which nothing usable was recorded."""

    market_id: str
    start_ns: int
    end_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Screened:
    """What is left of a window: a tape, or None where no row was lawful, and the gaps."""

    tape: Tape | None
    gaps: list[Gap]


def screen(
    market: Market,
    recv_ns: NDArray[np.int64],
    rows: NDArray[np.float64],
    report: ImportReport,
    *,
    ladder: Ladder | None = None,
    gap_after_ns: int | None = None,
    gap_reason: str = NO_TICKS,
    on_change: bool = False,
) -> Screened:
    """Refuse unlawful rows of one window, count them in `report`, and find the gaps.

    Args:
        market: the window.
        recv_ns: (T,) int64, in the order recorded.
        rows: (T, C) float64; the flow columns are filled from trades afterwards.
        report: receives what was seen, kept and refused.
        ladder: recorded depth of the same rows.
        gap_after_ns: silence longer than this is a gap; default five nominal ticks.
        gap_reason: what to call such a silence.
        on_change: the source stored a row only when a quote changed, so silence at either end is no gap.

    Raises:
        BadRecording: the numbers are in the wrong units, which no choice of rows can mend.
    """
    name = market.market_id
    if complaint := window_unit_complaint(rows[:, PRICE_COLUMNS], rows[:, SIZE_COLUMNS]):
        raise BadRecording(f"market {name}: {complaint}")
    report.seen["tick"] += len(recv_ns)
    lawful = _refuse(report, name, np.ones(len(recv_ns), bool), recv_ns < market.open_ns, BEFORE_OPEN)
    lawful = _refuse(report, name, lawful, recv_ns > market.close_ns, AFTER_CLOSE)
    latest = np.maximum.accumulate(np.where(lawful, recv_ns, np.iinfo(np.int64).min))
    before = np.concatenate([[np.iinfo(np.int64).min], latest[:-1]])
    lawful = _refuse(report, name, lawful, recv_ns == before, DUPLICATE)
    lawful = _refuse(report, name, lawful, recv_ns < before, BACKWARDS)
    in_time, in_time_ns = lawful, recv_ns[lawful]

    broken: dict[str, NDArray[np.bool_]] = {}
    for reason, is_broken in ((BAD_PRICE, bad_price(rows)), (BAD_SIZE, bad_size(rows)), (CROSSED, crossed(rows))):
        broken[reason] = lawful & is_broken
        lawful = _refuse(report, name, lawful, is_broken, reason)

    limit = GAP_AFTER_TICKS * market.tick_ns if gap_after_ns is None else gap_after_ns
    gaps = _silences(market, in_time_ns, limit, gap_reason, ends=not on_change)
    for reason, is_broken in broken.items():
        gaps += _runs(market, in_time_ns, is_broken[in_time], reason)
    gaps.sort(key=lambda gap: (gap.start_ns, gap.end_ns, gap.reason))
    report.gaps.update(gap.reason for gap in gaps)

    if not lawful.any():
        return Screened(None, gaps)
    kept = np.ascontiguousarray(rows[lawful])
    missing = np.isnan(kept[:, PRICE_COLUMNS])
    kept[:, SIZE_COLUMNS][np.tile(missing, 2)] = np.nan
    report.kept["tick"] += len(kept)
    report.missing_quotes += int(missing.sum())
    depth = None if ladder is None else Ladder(ladder.price[lawful], ladder.size[lawful])
    return Screened(Tape(market, recv_ns[lawful], kept, depth), gaps)


def empty_rows(n_ticks: int) -> NDArray[np.float64]:
    """(T, C) rows in which nothing is recorded yet."""
    return np.full((n_ticks, N_COLUMNS), np.nan)


def mirror_down(rows: NDArray[np.float64]) -> None:
    """Fill the Down token, in place, on a venue where both tokens share one book.

    There a bid for Up at p *is* an offer of Down at 1 − p, so prices mirror exactly and sizes carry over.
    """
    up_bid, up_ask, down_bid, down_ask = range(len(SIDES))
    rows[:, down_bid] = np.round(1 - rows[:, up_ask], 6)
    rows[:, down_ask] = np.round(1 - rows[:, up_bid], 6)
    for block in (4, 8):
        rows[:, block + down_bid] = rows[:, block + up_ask]
        rows[:, block + down_ask] = rows[:, block + up_bid]


def _refuse(
    report: ImportReport, name: str, lawful: NDArray[np.bool_], is_broken: NDArray[np.bool_], reason: str
) -> NDArray[np.bool_]:
    """Count the still lawful rows that break this law, and return those that do not."""
    report.refuse("tick", reason, name, int(np.sum(lawful & is_broken)))
    return lawful & ~is_broken


def _silences(market: Market, recv_ns: NDArray[np.int64], limit_ns: int, reason: str, *, ends: bool) -> list[Gap]:
    """Spans without any tick; a window without a tick is one gap from open to close."""
    name = market.market_id
    if len(recv_ns) == 0:
        return [Gap(name, market.open_ns, market.close_ns, NO_TICKS)]
    gaps = [
        Gap(name, int(recv_ns[i]), int(recv_ns[i + 1]), reason) for i in np.flatnonzero(np.diff(recv_ns) > limit_ns)
    ]
    if ends and recv_ns[0] - market.open_ns > limit_ns:
        gaps.append(Gap(name, market.open_ns, int(recv_ns[0]), STARTS_LATE))
    if ends and market.close_ns - recv_ns[-1] > limit_ns:
        gaps.append(Gap(name, int(recv_ns[-1]), market.close_ns, ENDS_EARLY))
    return gaps


def _runs(market: Market, recv_ns: NDArray[np.int64], is_broken: NDArray[np.bool_], reason: str) -> list[Gap]:
    """One gap per run of refused rows, from its first row to the row that ends it, or to its last row's own end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_broken, [False]]).astype(np.int8)))
    ends = np.append(recv_ns, min(int(recv_ns[-1]) + market.tick_ns, market.close_ns) if len(recv_ns) else 0)
    return [
        Gap(market.market_id, int(recv_ns[a]), int(ends[b]), reason)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]

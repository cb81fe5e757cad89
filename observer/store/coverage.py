"""What a recording covers and what it lacks: by market, by series, and what its imports refused.

Reads every tick once, one tape in memory. Of outcomes only the kind is looked at, never how a market ended.
"""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from observer.kit.clock import NS_PER_S, iso
from observer.kit.console import Progress
from observer.records import REFERENCE, Tape, mid_up
from observer.store.checks import PRICE_COLUMNS
from observer.store.manifest import LOGS, read_index
from observer.store.outcomes import read_outcomes
from observer.store.reader import Recording
from observer.store.screen import Gap


@dataclass(frozen=True, slots=True)
class MarketCoverage:
    """One market's recording in numbers.

    Attributes:
        ticks: rows recorded.
        spacing_s: median seconds between ticks, NaN for a single tick.
        covered_frac: share of the window outside recorded gaps.
        missing_frac: share of the four quotes that the ticks lack.
        mid_low, mid_high: range of the Up token's mid, NaN where it never had one.
        referenced_frac: share of ticks with a price of the underlying.
        gaps: spans recorded as missing; `gaps_s` seconds they cover.
        outcome: kind of the recorded outcome, "none" where there is none.
    """

    market_id: str
    series: str
    open: str
    window_s: float
    ticks: int
    spacing_s: float
    covered_frac: float
    missing_frac: float
    mid_low: float
    mid_high: float
    referenced_frac: float
    gaps: int
    gaps_s: float
    outcome: str


@dataclass(frozen=True, slots=True)
class SeriesCoverage:
    """The markets of one series, summed up; fractions are means over markets, the spacing is their median."""

    series: str
    markets: int
    ticks: int
    first: str
    last: str
    spacing_s: float
    covered_frac: float
    missing_frac: float
    referenced_frac: float
    gaps: int
    official: int
    inferred: int
    synthetic: int
    none: int


def report(recording: Recording) -> dict[str, Any]:
    """Everything `mlx-rl data report` shows, as plain data."""
    gaps: dict[str, list[Gap]] = defaultdict(list)
    for gap in recording.gaps():
        gaps[gap.market_id].append(gap)
    outcomes = {market_id: outcome.kind for market_id, outcome in read_outcomes(recording.root).items()}
    total = len(recording.markets())
    progress = Progress("reading", total)
    markets: list[MarketCoverage] = []
    for i, tape in enumerate(recording.tapes()):
        name = tape.market.market_id
        markets.append(_of_market(tape, gaps.get(name, []), outcomes.get(name, "none")))
        if total > 1000:
            progress.update(i + 1)
    by_series: dict[str, list[MarketCoverage]] = defaultdict(list)
    for market in markets:
        by_series[market.series].append(market)
    return {
        "data_dir": str(recording.root),
        "dataset_id": recording.dataset_id,
        "markets_total": len(markets),
        "ticks_total": sum(market.ticks for market in markets),
        "gaps_by_reason": dict(Counter(gap.reason for spans in gaps.values() for gap in spans).most_common()),
        "references": [{"symbol": symbol, "source": source} for symbol, source in recording.references()],
        "series": [asdict(_of_series(name, by_series[name])) for name in sorted(by_series)],
        "imports": _imports(recording),
        "markets": [asdict(market) for market in markets],
        "gap_spans": {
            name: [[gap.start_ns, gap.end_ns, gap.reason] for gap in spans] for name, spans in sorted(gaps.items())
        },
    }


def nothing(data_dir: Path) -> dict[str, Any]:
    """The report on a folder in which no window has closed yet."""
    empty = {name: [] for name in ("references", "series", "imports", "markets")}
    return {
        "data_dir": str(data_dir), "dataset_id": "none yet: no window has closed", "markets_total": 0, "ticks_total": 0,
        "gaps_by_reason": {}, "gap_spans": {}, **empty,
    }  # fmt: skip


def _of_market(tape: Tape, gaps: list[Gap], outcome: str) -> MarketCoverage:
    market, mid = tape.market, mid_up(tape.rows)
    known = mid[np.isfinite(mid)]
    window_s = (market.close_ns - market.open_ns) / NS_PER_S
    gaps_s = _union_s(gaps)
    return MarketCoverage(
        market_id=market.market_id,
        series=market.series,
        open=iso(market.open_ns),
        window_s=window_s,
        ticks=len(tape),
        spacing_s=float(np.median(np.diff(tape.recv_ns))) / NS_PER_S if len(tape) > 1 else float("nan"),
        covered_frac=1 - gaps_s / window_s,
        missing_frac=float(np.isnan(tape.rows[:, PRICE_COLUMNS]).mean()),
        mid_low=float(known.min()) if len(known) else float("nan"),
        mid_high=float(known.max()) if len(known) else float("nan"),
        referenced_frac=float(np.isfinite(tape.rows[:, REFERENCE]).mean()),
        gaps=len(gaps),
        gaps_s=gaps_s,
        outcome=outcome,
    )


def _of_series(name: str, markets: list[MarketCoverage]) -> SeriesCoverage:
    kinds = Counter(market.outcome for market in markets)
    spacings = [market.spacing_s for market in markets if market.ticks > 1]
    return SeriesCoverage(
        series=name,
        markets=len(markets),
        ticks=sum(market.ticks for market in markets),
        first=min(market.open for market in markets),
        last=max(market.open for market in markets),
        spacing_s=float(np.median(spacings)) if spacings else float("nan"),
        covered_frac=float(np.mean([market.covered_frac for market in markets])),
        missing_frac=float(np.mean([market.missing_frac for market in markets])),
        referenced_frac=float(np.mean([market.referenced_frac for market in markets])),
        gaps=sum(market.gaps for market in markets),
        official=kinds["official"],
        inferred=kinds["inferred"],
        synthetic=kinds["synthetic"],
        none=kinds["none"],
    )


def _union_s(gaps: list[Gap]) -> float:
    """Seconds covered by gaps, overlaps counted once."""
    total_ns, reached = 0, -(2**63)
    for gap in sorted(gaps, key=lambda one: one.start_ns):
        total_ns += max(0, gap.end_ns - max(gap.start_ns, reached))
        reached = max(reached, gap.end_ns)
    return total_ns / NS_PER_S


def _imports(recording: Recording) -> list[dict[str, Any]]:
    """The import logs, in the order of their names."""
    folder = recording.root / LOGS
    return [json.loads((folder / name).read_text()) for name in sorted(read_index(recording.root).logs)]

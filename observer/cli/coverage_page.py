"""The coverage report as one HTML page: tables and drawn strips, no script, nothing loaded from elsewhere."""

from collections import defaultdict
from html import escape
from typing import Any

import numpy as np

from observer.kit.clock import NS_PER_S, iso, parse_iso

_BINS = 240
_WIDTH, _HEIGHT = 960, 64
_WORST = 200
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.1rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1.2rem 0 .2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px;display:block;overflow-x:auto}
th,td{padding:.25rem .5rem;border-bottom:1px solid #e3e7ee;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left} th{color:#5b6678;font-weight:600} code{font-size:12px;color:#5b6678}
.note{color:#5b6678;font-size:13px} .key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em}
"""
_COVERED, _GAP, _GROUND = "#2f6db5", "#d9534f", "#eef1f6"


def page(result: dict[str, Any]) -> str:
    """Lay out what `observer.store.coverage.report` found."""
    series = [_strip(row, result) for row in result["series"]]
    refused = [
        [log["importer"], row["kind"], row["reason"], row["count"], len(row["where"])]
        for log in result["imports"]
        for row in log["refused"]
    ]
    worst = sorted(result["markets"], key=lambda market: (market["covered_frac"], market["market_id"]))[:_WORST]
    of_all = f" ({_WORST} least covered of {result['markets_total']})" if len(worst) < result["markets_total"] else ""
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8><title>Coverage</title>",
            f"<style>{_STYLE}</style>",
            "<h1>What this recording covers</h1>",
            f"<p>{result['markets_total']:,} markets, {result['ticks_total']:,} ticks.<br>",
            f"<code>dataset {escape(result['dataset_id'])}</code></p>",
            "<h2>Series</h2>",
            _table(result["series"], _SERIES),
            "<h2>Coverage over time</h2>",
            "<p class=note>Height: share of the open markets' time.",
            f"<span class=key style='background:{_COVERED}'></span>recorded",
            f"<span class=key style='background:{_GAP}'></span>gap",
            f"<span class=key style='background:{_GROUND}'></span>no market open</p>",
            *series,
            "<h2>Refused at import</h2>",
            _plain(refused, ["import", "record", "because", "count", "places"]) if refused else "<p>Nothing.</p>",
            "<h2>Gaps</h2>",
            _plain(list(result["gaps_by_reason"].items()), ["because", "spans"])
            if result["gaps_by_reason"]
            else "<p>None.</p>",
            f"<h2>Markets{of_all}</h2>",
            _table(worst, _MARKETS),
            *(_recorder(result["recorder"]) if result["recorder"] is not None else ()),
            "</html>\n",
        ]
    )


_SERIES = {
    "series": "series", "markets": "markets", "ticks": "ticks", "spacing_s": "spacing s", "covered_frac": "covered",
    "missing_frac": "missing quotes", "referenced_frac": "referenced", "gaps": "gaps", "official": "official",
    "inferred": "inferred", "synthetic": "synthetic", "none": "no outcome",
}  # fmt: skip
_MARKETS = {
    "market_id": "market", "open": "open", "ticks": "ticks", "spacing_s": "spacing s", "covered_frac": "covered",
    "missing_frac": "missing quotes", "mid_low": "lowest mid", "mid_high": "highest mid", "gaps": "gaps",
    "gaps_s": "gap s", "outcome": "outcome",
}  # fmt: skip


RECORDED = {
    "venue": "venue", "frames": "frames", "payload_bytes": "frames' bytes", "raw_bytes": "raw bytes",
    "raw_frac": "of them", "events": "event rows", "events_bytes": "event bytes", "refused": "refused",
    "reconnects": "reconnects", "gaps": "gaps", "gaps_s": "gaps s",
}  # fmt: skip
_LISTS = (
    ("refused", "Frames refused (kept raw)", {"venue": "venue", "reason": "because", "frames": "frames"}),
    ("closed", "Connections that ended", {"venue": "venue", "reason": "because", "times": "times"}),
    ("gaps", "Books unknown", {"venue": "venue", "reason": "because", "spans": "spans", "seconds": "seconds"}),
    ("dropped", "Not written", {"what": "what", "reason": "because", "rows": "rows"}),
)


def _recorder(found: dict[str, Any]) -> list[str]:
    """What the live recorder adds."""
    lists = [
        part
        for name, title, columns in _LISTS
        for part in (f"<h3>{title}</h3>", _table(found[name], columns) if found[name] else "<p>None.</p>")
    ]
    return [
        "<h2>Recorded live</h2>",
        f"<p>{escape(found['first'])} to {escape(found['last'])}: {found['ticks']:,} ticks of the grid, late by p50 "
        f"{found['late_ms_p50']:.3g} ms, p99 {found['late_ms_p99']:.3g} ms, at most {found['late_ms_max']:.3g} ms; "
        f"{found['clock_steps']:,} steps of the wall clock.</p>",
        _table(found["venues"], RECORDED),
        *lists,
    ]


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    cells = [[_cell(name, row[name]) for name in columns] for row in rows]
    return _plain(cells, list(columns.values()))


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1%}" if name.endswith("_frac") else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(rows: list[Any], header: list[str]) -> str:
    head = "".join(f"<th>{escape(name)}" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in row) for row in rows)
    return f"<table><tr>{head}{body}</table>"


def _strip(series: dict[str, Any], result: dict[str, Any]) -> str:
    """One series as a bar per slice of time: how much of its open markets' time was recorded, and how much was not."""
    markets = [market for market in result["markets"] if market["series"] == series["series"]]
    opens = np.array([parse_iso(market["open"]) for market in markets])
    closes = opens + np.array([round(market["window_s"] * NS_PER_S) for market in markets])
    edges = np.linspace(opens.min(), closes.max(), _BINS + 1)
    open_s = _spread(list(zip(opens, closes, strict=True)), edges)
    gaps: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for market in markets:
        gaps[market["market_id"]] = [(a, b) for a, b, _ in result["gap_spans"].get(market["market_id"], [])]
    gap_s = _spread([span for spans in gaps.values() for span in _union(spans)], edges)
    share = np.divide(gap_s, open_s, out=np.zeros(_BINS), where=open_s > 0)
    step = _WIDTH / _BINS
    bars: list[str] = []
    for i in np.flatnonzero(open_s > 0):
        missing = _HEIGHT * min(1.0, float(share[i]))
        bars.append(_bar(i * step, missing, step, _HEIGHT - missing, _COVERED))
        if missing > 0:
            bars.append(_bar(i * step, 0, step, missing, _GAP))
    start, end = iso(int(opens.min()))[:16], iso(int(closes.max()))[:16]
    return (
        f"<h3>{escape(series['series'])}</h3>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + 18}' width='100%' shape-rendering=crispEdges role=img "
        f"aria-label='coverage of {escape(series['series'])}'>"
        f"<rect width='{_WIDTH}' height='{_HEIGHT}' fill='{_GROUND}'/>{''.join(bars)}"
        f"<g font-size='12' fill='#5b6678'><text y='{_HEIGHT + 14}'>{start}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 14}' text-anchor='end'>{end} UTC</text></g></svg>"
    )


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f"<rect x='{x:.2f}' y='{y:.2f}' width='{width + 0.05:.2f}' height='{height:.2f}' fill='{colour}'/>"


def _union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same time without overlaps."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _spread(spans: list[tuple[int, int]], edges: np.ndarray) -> np.ndarray:
    """Time that the spans have in each slice, ns."""
    if not spans:
        return np.zeros(len(edges) - 1)
    start, end = np.array(spans, dtype=np.float64).T
    # The time of all spans that lies before an edge; its differences are the slices'.
    before = np.array([np.clip(edge - start, 0, end - start).sum() for edge in edges])
    return np.diff(before)

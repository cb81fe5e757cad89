"""The report as one HTML file that needs nothing else: text, tables and interactive pictures.

Plotly's script is written into the page once (about 4.8 MB); nothing is fetched when the page is opened.
"""

from html import escape
from pathlib import Path
from typing import Any

from mlx_rl.evaluation.report import figures
from mlx_rl.evaluation.report.text import show_contrast, show_evaluation, trained_lines
from mlx_rl.evaluation.runs import Runs
from observer.kit.clock import NS_PER_S, iso

STYLE = """
body{margin:0;background:#f5f7fa;color:#1f2933;font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:36px 0 10px}
.sub{color:#52606d;margin:0 0 20px}
.card{background:#fff;border:1px solid #e4e7eb;border-radius:8px;padding:16px 18px;margin:0 0 16px}
.word{font-size:22px;font-weight:650}
.good{color:#15803d}.bad{color:#b91c1c}.open{color:#b45309}
.warn{border-left:4px solid #d97706;background:#fffbeb;padding:8px 14px;margin:0 0 10px;border-radius:4px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;color:#52606d;font-weight:600;border-bottom:2px solid #e4e7eb;padding:6px 10px 6px 0}
td{border-bottom:1px solid #eef1f4;padding:6px 10px 6px 0;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.note{color:#52606d;font-size:14px}
pre{white-space:pre-wrap;font-size:12.5px;background:#fff;border:1px solid #e4e7eb;border-radius:8px;padding:14px}
"""
GOOD, BAD = ("BETTER", "NOT WORSE", "DEPLOY"), ("WORSE", "INVALID")


def write_evaluation(path: Path, result: dict[str, Any], runs: Runs) -> None:
    """Write one model's report, with the comparison where `result` holds one."""
    names = [result["model"]]
    parts = [_head(f"How good is {result['model']}?", result), _model_cards(result)]
    if result.get("comparison"):
        parts.append(_comparison_card(result["comparison"]))
        names.append(result["comparison"]["theirs"])
    parts += [_warnings(result), *_model_pictures(result, runs, names)]
    parts.append(f"<h2>The same in figures</h2><pre>{escape(show_evaluation(result))}</pre>")
    write_page(path, f"{result['model']}: evaluation", parts)


def write_comparison(path: Path, result: dict[str, Any], runs: Runs) -> None:
    """Write the report on two models."""
    found = result["comparison"]
    names = [found["ours"], found["theirs"]]
    parts = [_head(f"{found['ours']} or {found['theirs']}?", result), _comparison_card(found), _warnings(result)]
    parts.append(_picture(figures.equity(runs, names)))
    for name in names:
        model = result["models"][name]
        parts += [f"<h2>{escape(name)}</h2>", _model_cards(model), *_model_pictures(model, runs, [name])]
    write_page(path, f"{found['ours']} against {found['theirs']}", parts)


def write_page(path: Path, title: str, parts: list[str]) -> None:
    """Write the parts between one header, with Plotly's script, and one footer."""
    from plotly.offline import get_plotlyjs

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main>{''.join(parts)}</main></body></html>\n",
        encoding="utf-8",
    )


def _model_cards(result: dict[str, Any]) -> str:
    deployment = result["deployment"]
    reasons = "".join(f"<div class=note>{escape(reason)}</div>" for reason in deployment["reasons"])
    return (
        f"<div class=card><div class=note>against doing nothing, after all costs</div>{_word(result['verdict'])}"
        f"<div>{escape(result['verdict']['reason'])}</div></div>"
        f"<div class=card><div class='word {_tone(deployment['word'])}'>{deployment['word']}</div>{reasons}</div>"
    )


def _comparison_card(found: dict[str, Any]) -> str:
    text = show_contrast(found).split("\n", 1)[1]
    return (
        f"<div class=card><div class=note>{escape(found['ours'])} against {escape(found['theirs'])}, paired by window"
        f"</div>{_word(found['verdict'])}<div style='white-space:pre-line'>{escape(text)}</div></div>"
    )


def _word(verdict: dict[str, Any]) -> str:
    needed = verdict["windows_needed"]
    more = f" <span class=note>(clock windows needed: {needed:,})</span>" if needed else ""
    return f"<div class='word {_tone(verdict['word'])}'>{verdict['word']}{more}</div>"


def _tone(word: str) -> str:
    return "good" if word in GOOD else "bad" if word in BAD else "open"


def _head(title: str, result: dict[str, Any]) -> str:
    w, law = result["windows"], result["law"]
    latency = "at the next tick" if law["latency_s"] is None else f"{law['latency_s']} s later"
    outcomes = ", ".join(f"{n} {kind}" for kind, n in w["outcomes"].items())
    return (
        f"<h1>{escape(title)}</h1><p class=sub>{w['judged']} market windows in {w['clock_windows']} clock windows, "
        f"{iso(w['first_open_ns'])[:16].replace('T', ' ')} to {iso(w['last_close_ns'])[:16].replace('T', ' ')} UTC "
        f"({escape(', '.join(w['series']))}). {law['size_shares']:g} shares per position, filled {latency} with "
        f"{law['fills']} fills, {escape(law['fees'])} fees. Outcomes: {outcomes}. "
        f"Recording {escape(w['dataset_id'][:12] or 'in memory')}.</p>"
        + "".join(f"<p class=note>{escape(line)}.</p>" for line in trained_lines(result))
    )


def _warnings(result: dict[str, Any]) -> str:
    return "".join(f"<div class=warn>{escape(text)}</div>" for text in result["warnings"])


def _model_pictures(result: dict[str, Any], runs: Runs, names: list[str]) -> list[str]:
    tick_s = runs.exam.markets[0].tick_ns / NS_PER_S
    attention = _picture(figures.attention(result, tick_s))
    calibration = _picture(figures.calibration(result))
    return [
        _picture(figures.equity(runs, names)),
        _picture(figures.against(result)),
        _table(result["against"]),
        _picture(figures.waterfall(result)),
        calibration or "<p class=note>No decision had a market price, so nothing can be calibrated.</p>",
        _calibration_note(result),
        _picture(figures.skill_by_time(result)),
        _picture(figures.confusion(result)),
        attention or "<p class=note>This model offers no attention weights, so that picture is left out.</p>",
    ]


def _calibration_note(result: dict[str, Any]) -> str:
    found = result["calibration"].get("reliability")
    if not found:
        return ""
    ours, market = found["policy"], found["market"]
    return (
        f"<p class=note>Mean distance from the diagonal: {ours['ece']:.3f} for {escape(result['model'])} "
        f"({ours['ece_if_right']:.3f} is what pure chance leaves with this many windows), {market['ece']:.3f} for the "
        f"market ({market['ece_if_right']:.3f}).</p>"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    head = "<tr><th>trader<th class=n>its net, USD/window<th class=n>trades/window<th class=n>model less it"
    head += "<th class=n>interval, ≥ 95 %<th>the model is<th>note</tr>"
    body = []
    for row in rows:
        if "difference_usd" not in row:
            body.append(f"<tr><td>{escape(row['trader'])}<td colspan=5><td class=note>{escape(row['note'])}</tr>")
            continue
        d = row["difference_usd"]
        body.append(
            f"<tr><td>{escape(row['trader'])}<td class=n>{row['net_usd_per_window']:+.3f}"
            f"<td class=n>{row['trades_per_window']:.2f}<td class=n>{d['mean']:+.3f}"
            f"<td class=n>{d['low']:+.2f} to {d['high']:+.2f}<td>{escape(row['verdict'])}"
            f"<td class=note>{escape(row['note'])}</tr>"
        )
    return f"<div class=card><table>{head}{''.join(body)}</table></div>"


def _picture(figure: Any) -> str:
    if figure is None:
        return ""
    chart = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True}
    )
    return f"<div class=card>{chart}</div>"

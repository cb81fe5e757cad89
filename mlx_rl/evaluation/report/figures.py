"""The pictures of the report, as Plotly figures. Titles say in plain words what to look for.

Every figure takes plain results or the runs they came from and returns a figure, or None where there is nothing
to show.
"""

from typing import Any

import numpy as np

from mlx_rl.evaluation.assess import ORACLE_ROW
from mlx_rl.evaluation.runs import Runs
from observer.kit.clock import NS_PER_MS
from observer.records import ACTIONS

INK, GRID, MUTED = "#1f2933", "#e4e7eb", "#7b8794"
BLUE, ORANGE, GREEN, RED, GREY = "#1f6feb", "#d97706", "#15803d", "#b91c1c", "#9aa5b1"
MOST_POINTS = 2000  # of a line; more cannot be seen


def layout(title: str, x: str, y: str, height: int = 380, *, has_legend: bool = True) -> dict[str, Any]:
    """The look that all figures share; a legend goes between the title and the picture."""
    axis = {"gridcolor": GRID, "zerolinecolor": MUTED, "linecolor": GRID, "ticks": "outside", "tickcolor": GRID}
    return {
        "title": {
            "text": title,
            "font": {"size": 16, "color": INK},
            "x": 0,
            "xref": "container",
            "pad": {"l": 12},
            "y": 0.96,
            "yanchor": "top",
        },
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
        "height": height,
        "margin": {"l": 70, "r": 24, "t": 88 if has_legend else 60, "b": 60},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "showlegend": has_legend,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
    }


def equity(runs: Runs, names: list[str]) -> Any:
    """Profit piling up over the windows: before costs, after each cost, and what random timing would have made."""
    import plotly.graph_objects as go

    order = np.argsort([m.close_ns for m in runs.exam.markets], kind="stable")
    markets = [runs.exam.markets[i] for i in order]
    ends_ns = [min(m.open_ns for m in markets), *(m.close_ns for m in markets)]  # all begin with nothing earned
    when = np.array([ns // NS_PER_MS for ns in ends_ns], dtype="datetime64[ms]")
    keep = np.unique(np.linspace(0, len(order), min(len(order) + 1, MOST_POINTS)).astype(int))
    figure = go.Figure()

    def line(name: str, per_window: np.ndarray, **style: Any) -> None:
        total = np.concatenate([[0.0], np.cumsum(per_window[order])])[keep]
        figure.add_scatter(x=when[keep], y=np.round(total, 3), name=name, mode="lines", line=style)

    first = runs.models[names[0]]
    random = np.pad(np.cumsum(first.random_net[:, order], axis=1), ((0, 0), (1, 0)))[:, keep]
    if random.any():
        low, high = np.quantile(random, [0.05, 0.95], axis=0)
        figure.add_scatter(x=when[keep], y=high, mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip")
        figure.add_scatter(
            x=when[keep], y=low, mode="lines", line={"width": 0}, fill="tonexty", fillcolor="rgba(154,165,177,0.25)",
            name=f"random timing, turnover of {names[0]} (5–95 %)", hoverinfo="skip",
        )  # fmt: skip
    for name, color in zip(names, (BLUE, ORANGE), strict=False):
        ledger = runs.models[name].plays[runs.is_base].ledger
        if len(names) == 1:
            gross = ledger["gross"].astype(float)
            line("before costs", gross, color=GREY, dash="dot")
            line("after spread and slippage", gross - ledger["spread"] - ledger["slippage"], color=ORANGE)
        line(f"{name}, after all costs", ledger["net"].astype(float), color=color, width=3)
    figure.add_hline(y=0, line={"color": MUTED, "width": 1}, annotation_text="doing nothing", annotation_font_size=11)
    figure.update_layout(**layout("Profit over the windows, and what costs take", "window close, UTC", "USD in total"))
    return figure


def against(result: dict[str, Any]) -> Any:
    """The model's advantage over every trader, with its interval."""
    import plotly.graph_objects as go

    rows = [row for row in result["against"] if "difference_usd" in row and row["trader"] != ORACLE_ROW][::-1]
    d = [row["difference_usd"] for row in rows]
    color = {"BETTER": GREEN, "WORSE": RED}
    figure = go.Figure()
    figure.add_scatter(
        x=[v["mean"] for v in d], y=[row["trader"] for row in rows], mode="markers",
        marker={"size": 10, "color": [color.get(row["verdict"], BLUE) for row in rows]},
        error_x={
            "type": "data", "symmetric": False, "color": MUTED, "thickness": 1.5,
            "array": [v["high"] - v["mean"] for v in d], "arrayminus": [v["mean"] - v["low"] for v in d],
        },
        text=[row["verdict"] for row in rows], hovertemplate="%{y}: %{x:.3f} USD per window<br>%{text}<extra></extra>",
        showlegend=False,
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    look = layout(
        f"What {result['model']} earns above each trader (right of the line: more)",
        "USD per window, with the interval of 95 % or more", "", height=120 + 38 * len(rows),
    )  # fmt: skip
    look["margin"] = {"l": 180, "r": 24, "t": 56, "b": 64}
    figure.update_layout(**look)
    return figure


def waterfall(result: dict[str, Any]) -> Any:
    """From gross to net, USD per window, under three assumptions about hidden depth."""
    import plotly.graph_objects as go

    names = ["before costs", "spread", "slippage", "fees", "left"]
    figure = go.Figure()
    for (which, fall), color in zip(result["waterfall"].items(), (GREY, BLUE, ORANGE), strict=False):
        y = [fall["gross"], -fall["spread"], -fall["slippage"], -fall["fees"], fall["net"]]
        text = [f"{v:+.2f}" if abs(v) >= 0.005 else "0" for v in y]
        figure.add_bar(
            x=names, y=y, name=f"{which} fills", marker_color=color, text=text,
            textposition="outside", textfont={"size": 11}, cliponaxis=False,
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    figure.update_layout(**layout("Where the money goes", "", "USD per window"), barmode="group")
    return figure


def calibration(result: dict[str, Any]) -> Any:
    """Stated probability against how often it came true, model and market."""
    if not result["calibration"].get("decisions"):
        return None
    import plotly.graph_objects as go

    found = result["calibration"]["reliability"]
    market = found["market"]
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": MUTED, "dash": "dash"}, name="right on average")
    figure.add_scatter(
        x=market["stated"], y=market["high"], mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip"
    )
    figure.add_scatter(
        x=market["stated"], y=market["low"], mode="lines", line={"width": 0}, fill="tonexty",
        fillcolor="rgba(217,119,6,0.15)", name="95 % band if the market's price is right", hoverinfo="skip",
    )  # fmt: skip
    for name, data, color in ((result["model"], found["policy"], BLUE), ("market price", market, ORANGE)):
        figure.add_scatter(
            x=data["stated"], y=data["seen"], name=name, mode="lines+markers", line={"color": color},
            customdata=data["windows"],
            hovertemplate="stated %{x:.2f}, happened %{y:.2f}<br>%{customdata} windows<extra></extra>",
        )  # fmt: skip
    look = layout(
        "When it says 70 %, does it happen 70 % of the time?", "stated probability of Up", "share that ended Up"
    )
    shown = [v for data in found.values() for key in ("stated", "seen", "low", "high") for v in data[key]]
    reach = [max(-0.03, min(shown) - 0.05), min(1.03, max(shown) + 0.05)]
    look["xaxis"]["range"], look["yaxis"]["range"] = reach, reach
    figure.update_layout(**look)
    return figure


def skill_by_time(result: dict[str, Any]) -> Any:
    """How much better than the market's price the probabilities are, by time to the close."""
    rows = result["calibration"].get("by_time_left", [])
    if not rows:
        return None
    import plotly.graph_objects as go

    gains = [row["gain_nats"] for row in rows]
    figure = go.Figure()
    figure.add_bar(
        x=[row["when"] for row in rows], y=[g["mean"] for g in gains], marker_color=[INK] + [BLUE] * (len(rows) - 1),
        error_y={
            "type": "data", "symmetric": False, "color": MUTED, "array": [g["high"] - g["mean"] for g in gains],
            "arrayminus": [g["mean"] - g["low"] for g in gains],
        },
        customdata=[row["verdict"] for row in rows],
        hovertemplate="%{x}: %{y:.4f} nats<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    title = "Is its probability better than the market's price? (above the line: yes)"
    figure.update_layout(**layout(title, "time to the close", "log-loss saved, nats", has_legend=False))
    return figure


def confusion(result: dict[str, Any]) -> Any:
    """Actions taken against the best in hindsight."""
    import plotly.graph_objects as go

    counts = np.array(result["confusion"]["counts"], dtype=float)
    share = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    text = [[f"{share[i, j]:.1%}<br>{int(counts[i, j]):,} ticks" for j in range(3)] for i in range(3)]
    figure = go.Figure(
        go.Heatmap(
            z=share, x=list(ACTIONS), y=list(ACTIONS), text=text, texttemplate="%{text}", colorscale="Blues",
            zmin=0, zmax=1, colorbar={"title": {"text": "share of<br>column"}, "tickformat": ".0%"},
            hovertemplate="took %{y}, best was %{x}<br>%{text}<extra></extra>",
        )
    )  # fmt: skip
    look = layout(
        "What it did where hindsight preferred each action",
        "best action in hindsight",
        "action taken",
        height=400,
        has_legend=False,
    )
    look["yaxis"]["autorange"] = "reversed"
    figure.update_layout(**look)
    return figure


def attention(result: dict[str, Any], tick_s: float) -> Any:
    """How far back the policy looks."""
    weights = result["attention_by_lag"]
    if weights is None:
        return None
    import plotly.graph_objects as go

    lags = list(range(len(weights)))
    figure = go.Figure()
    figure.add_bar(
        x=lags, y=weights, marker_color=BLUE, customdata=[lag * tick_s for lag in lags], showlegend=False,
        hovertemplate="%{x} ticks (%{customdata:.1f} s) ago: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(
        y=1 / len(weights),
        line={"color": MUTED, "dash": "dash"},
        annotation_text="looking everywhere alike",
        annotation_position="top left",
    )
    x = f"ticks ago (one tick is {tick_s:g} s)"
    look = layout("How far back it looks", x, "mean attention", has_legend=False)
    look["yaxis"].update(tickformat=".0%", range=[0, 1.25 * max(weights)])
    look["xaxis"]["zeroline"] = False
    figure.update_layout(**look)
    return figure

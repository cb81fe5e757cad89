"""The pictures of the page show the figures of the answer, read back from what a browser would draw."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.mlx_rl.evaluation.judged import Door, ask

ORACLE = "oracle (hindsight)"


def pictures(page: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Title -> trace name -> trace of every picture in a page; where titles repeat, the last one's."""
    out: dict[str, dict[str, dict[str, Any]]] = {}
    text, decoder = page.read_text(), json.JSONDecoder()
    for start in re.finditer(r'Plotly\.newPlot\(\s*"[0-9a-f-]{36}",\s*', text):
        traces, end = decoder.raw_decode(text, start.end())
        layout, _ = decoder.raw_decode(text, text.index("{", end))
        out[layout["title"]["text"]] = {trace.get("name", ""): trace for trace in traces}
    return out


def numbers(data: Any) -> np.ndarray:
    """What Plotly wrote: a list, or bytes in base64 with their type and shape."""
    if not isinstance(data, dict):
        return np.asarray(data)
    flat = np.frombuffer(base64.b64decode(data["bdata"]), data["dtype"])
    return flat.reshape([int(n) for n in data["shape"].split(",")]) if "shape" in data else flat


@pytest.fixture(scope="module", params=["evaluate", "compare"])
def drawn(request: pytest.FixtureRequest, twins: Path) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """One model's part of an answer, and its pictures; on the page of compare the base model's come last."""
    door: Door = request.param
    page = twins / f"{door}.html"
    found = ask(door, twins, "--html", str(page))
    return found if door == "evaluate" else found["models"]["base"], pictures(page)


def test_profit_piles_up_to_what_each_cost_leaves(drawn: Any) -> None:
    result, page = drawn
    lines = page["Profit over the windows, and what costs take"]
    fall, windows = result["waterfall"]["base"], result["windows"]["judged"]
    left = {
        "before costs": fall["gross"],
        "after spread and slippage": fall["gross"] - fall["spread"] - fall["slippage"],
        f"{result['model']}, after all costs": result["net_usd_per_window"]["mean"],
    }

    assert min(fall["spread"], fall["slippage"], fall["fees"]) > 0.05  # else two lines could be one
    for name, per_window in left.items():
        line = numbers(lines[name]["y"])
        assert (len(line), line[0]) == (windows + 1, 0)
        assert line[-1] == pytest.approx(windows * per_window, abs=0.001)
    nets, beforehand = (np.diff(numbers(lines[name]["y"])) for name in list(left)[:0:-1])
    assert (nets < beforehand).all()  # fees are paid in every window


def test_the_confusion_picture_shares_out_each_column_of_the_counts(drawn: Any) -> None:
    result, page = drawn
    counts = np.array(result["confusion"]["counts"])
    (heat,) = page["What it did where hindsight preferred each action"].values()
    shown = numbers(heat["z"])

    assert shown == pytest.approx(counts / np.maximum(counts.sum(axis=0), 1))
    assert shown.sum(axis=0) == pytest.approx([1, 1, 1])
    assert not np.allclose(shown, shown.T)
    assert [[f"{n:,} ticks" for n in row] for row in counts.tolist()] == [
        [text.split("<br>")[1] for text in row] for row in heat["text"]
    ]
    assert (heat["x"], heat["y"]) == (["HOLD", "BUY", "SELL"],) * 2


def test_the_money_bars_are_the_waterfall(drawn: Any) -> None:
    result, page = drawn
    bars = page["Where the money goes"]

    assert set(bars) == {"optimistic fills", "base fills", "pessimistic fills"}
    for which, fall in result["waterfall"].items():
        costs = [-fall["spread"], -fall["slippage"], -fall["fees"]]
        assert numbers(bars[f"{which} fills"]["y"]) == pytest.approx([fall["gross"], *costs, fall["net"]])


def test_the_advantage_over_each_trader_is_drawn_with_its_interval(drawn: Any) -> None:
    result, page = drawn
    rows = [r for r in result["against"] if "difference_usd" in r and r["trader"] != ORACLE][::-1]
    (points,) = page[f"What {result['model']} earns above each trader (right of the line: more)"].values()
    x, above, below = (numbers(d) for d in (points["x"], points["error_x"]["array"], points["error_x"]["arrayminus"]))
    ends = np.array([[row["difference_usd"][end] for end in ("low", "mean", "high")] for row in rows])

    assert points["y"] == [row["trader"] for row in rows]
    assert np.stack([x - below, x, x + above], axis=1) == pytest.approx(ends)


def test_the_probability_pictures_are_the_calibration(drawn: Any) -> None:
    result, page = drawn
    found = result["calibration"]
    curves = page["When it says 70 %, does it happen 70 % of the time?"]
    (bars,) = page["Is its probability better than the market's price? (above the line: yes)"].values()

    for name, data in (
        (result["model"], found["reliability"]["policy"]),
        ("market price", found["reliability"]["market"]),
    ):
        assert numbers(curves[name]["x"]) == pytest.approx(data["stated"])
        assert numbers(curves[name]["y"]) == pytest.approx(data["seen"])
    assert numbers(bars["y"]) == pytest.approx([row["gain_nats"]["mean"] for row in found["by_time_left"]])

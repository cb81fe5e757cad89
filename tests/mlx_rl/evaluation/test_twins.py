"""Two series that open together count as one observation, in every figure that a verdict is read from."""

from pathlib import Path
from typing import Any

import pytest

from tests.mlx_rl.evaluation.judged import LAW, ask

UNSEEN = 12  # clock windows


@pytest.fixture(scope="module")
def both(twins: Path) -> dict[str, Any]:
    """Judged on both series."""
    return ask("compare", twins)


@pytest.fixture(scope="module")
def one(twins: Path) -> dict[str, Any]:
    """Judged on one of them alone."""
    return ask("compare", twins, "--market", "NULL")


def counts(found: dict[str, Any]) -> tuple[int, int]:
    return found["n_windows"], found["n_clusters"]


def without_counts(found: dict[str, Any]) -> dict[str, Any]:
    """The mean, its error, every bound and every part, as plain numbers."""
    kept = {key: value for key, value in found.items() if key not in ("n_windows", "n_nonzero", "parts")}
    return {**kept, **{f"{name} {k}": end for name, ends in found["parts"].items() for k, end in enumerate(ends)}}


@pytest.mark.parametrize("name", ["base", "transformer"])
def test_a_twin_of_every_window_makes_no_model_surer(both: dict[str, Any], one: dict[str, Any], name: str) -> None:
    more, less = both["models"][name], one["models"][name]

    assert (both["windows"]["judged"], both["windows"]["clock_windows"]) == (2 * UNSEEN, UNSEEN)
    assert counts(more["net_usd_per_window"]) == (2 * UNSEEN, UNSEEN)
    assert without_counts(more["net_usd_per_window"]) == pytest.approx(without_counts(less["net_usd_per_window"]))
    assert more["verdict"] == less["verdict"]
    assert more["sharpe_per_window"] == pytest.approx(less["sharpe_per_window"])
    rows = [row["difference_usd"] for row in more["against"] if "difference_usd" in row]
    assert [counts(row) for row in rows] == [(2 * UNSEEN, UNSEEN)] * len(rows)
    gains = [row["gain_nats"] for row in more["calibration"]["by_time_left"]]
    assert all(row["n_clusters"] <= UNSEEN for row in gains)


def test_a_twin_of_every_window_makes_no_comparison_surer(both: dict[str, Any], one: dict[str, Any]) -> None:
    more, less = both["comparison"], one["comparison"]

    assert counts(more["difference_usd_per_window"]) == (2 * UNSEEN, UNSEEN)
    assert less["difference_usd_per_window"]["se"] > 0
    assert without_counts(more["difference_usd_per_window"]) == pytest.approx(
        without_counts(less["difference_usd_per_window"])
    )
    assert more["verdict"] == less["verdict"]


def test_the_worst_that_a_window_can_bring_is_part_of_every_interval(both: dict[str, Any]) -> None:
    # A position of 20 shares can lose 20 USD; of two models one may lose what the other wins, so their difference 40.
    size = LAW.size_shares
    net, difference = both["models"]["base"]["net_usd_per_window"], both["comparison"]["difference_usd_per_window"]
    others = [row["difference_usd"] for row in both["models"]["base"]["against"][2:] if "difference_usd" in row]

    assert (net["worst"], difference["worst"]) == (size, 2 * size)
    assert {row["worst"] for row in others} == {2 * size}
    for found in (net, difference, *others):
        assert set(found["parts"]) == {"clusters", "autocorrelation", "blocks", "worst_case"}
        lows, highs = zip(*found["parts"].values(), strict=True)
        assert (found["low"], found["high"]) == (min(lows), max(highs))
    assert difference["low"] == difference["parts"]["worst_case"][0]  # here it is the widest

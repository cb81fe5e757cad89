"""Every flag of the judging doors changes what it says it changes, and not only what the report prints."""

from pathlib import Path
from typing import Any

import pytest

from tests.mlx_rl.evaluation.conftest import CLOCK_WINDOWS
from tests.mlx_rl.evaluation.judged import Door, ask, of_transformer


@pytest.fixture(scope="module", params=["evaluate", "compare"])
def door(request: pytest.FixtureRequest) -> Door:
    return request.param


@pytest.fixture(scope="module")
def plain(twins: Path, door: Door) -> dict[str, Any]:
    """The transformer, judged as it was trained."""
    found = ask(door, twins)
    assert not any("another money law" in text for text in found["warnings"])
    return of_transformer(door, found)


def asked(twins: Path, door: Door, key: str, value: object, *flags: str) -> dict[str, Any]:
    """The transformer, judged under another law, which the answer must name."""
    found = ask(door, twins, *flags)
    assert found["law"][key] == value
    assert any(f"another money law: {key} " in text and f"(here {value})" in text for text in found["warnings"])
    return of_transformer(door, found)


def test_size(twins: Path, door: Door, plain: dict[str, Any]) -> None:
    found = asked(twins, door, "size_shares", 10.0, "--size", "10")

    # Half of the 20 shares it was trained with: half as much can be lost, and half as much changes hands.
    assert (plain["net_usd_per_window"]["worst"], found["net_usd_per_window"]["worst"]) == (20, 10)
    assert found["verdict"]["margin"] == pytest.approx(plain["verdict"]["margin"] / 2)
    assert found["behaviour"]["turnover_usd_per_window"] == pytest.approx(
        plain["behaviour"]["turnover_usd_per_window"] / 2, rel=0.01
    )


def test_latency(twins: Path, door: Door, plain: dict[str, Any]) -> None:
    found = asked(twins, door, "latency_s", 60.0, "--latency-s", "60")

    # An order is in flight for four ticks of 15 s in place of one, and so long there is nothing to decide.
    assert found["behaviour"]["decisions"] < 0.5 * plain["behaviour"]["decisions"]
    assert found["waterfall"]["base"]["trades"] < 0.5 * plain["waterfall"]["base"]["trades"]


def test_fees(twins: Path, door: Door, plain: dict[str, Any]) -> None:
    found = asked(twins, door, "fees", "free", "--fees", "free")

    assert plain["waterfall"]["base"]["fees"] > 1
    assert [fall["fees"] for fall in found["waterfall"].values()] == [0, 0, 0]
    assert found["break_even"]["fee_multiple"] is None


def test_fills(twins: Path, door: Door, plain: dict[str, Any]) -> None:
    found = asked(twins, door, "fills", "pessimistic", "--fills", "pessimistic")
    net = {which: fall["net"] for which, fall in plain["waterfall"].items()}

    assert len(set(net.values())) == 3
    assert plain["net_usd_per_window"]["mean"] == pytest.approx(net["base"])
    assert found["net_usd_per_window"]["mean"] == pytest.approx(net["pessimistic"])


def test_test_days(twins: Path) -> None:
    plain, found = ask("compare", twins), ask("compare", twins, "--test-days", "0.0625")

    # 24 quarter-hours are recorded, the last 12 unseen; 0.0625 days are an hour and a half: the last 6 of them.
    assert plain["windows"]["clock_windows"] == CLOCK_WINDOWS / 2
    assert (found["windows"]["judged"], found["windows"]["clock_windows"]) == (12, 6)
    assert found["windows"]["last_close_ns"] == plain["windows"]["last_close_ns"]
    assert found["windows"]["last_close_ns"] - found["windows"]["first_open_ns"] == 90 * 60 * 10**9
    assert found["comparison"]["difference_usd_per_window"]["n_clusters"] == 6

"""The router: sticky, repeatable in any process, and true to the propensity that it states."""

import subprocess
import sys

import pytest

from live.router import Router, draw
from observer.kit.errors import ToolkitError, UsageError
from observer.records import FLAT, UP


@pytest.mark.parametrize("ramp", [0.1, 0.5, 0.75])
def test_windows_fall_to_the_arms_as_the_propensities_say(ramp: float) -> None:
    router = Router(["base", "transformer"], ramp=ramp, salt="s")
    made = [router.assign(f"btc-updown-15m-{i * 900}") for i in range(10_000)]
    second = sum(a.arm == "transformer" for a in made)

    # χ² with one degree of freedom: 10.8 is passed by chance once in 1,000; the ids are fixed, so it never flakes.
    expected = 10_000 * ramp
    chi2 = (second - expected) ** 2 / expected + (second - expected) ** 2 / (10_000 - expected)
    assert chi2 < 10.8
    assert all(a.propensity == (ramp if a.arm == "transformer" else 1 - ramp) for a in made)


def test_the_draw_is_uniform_in_every_tenth() -> None:
    counts = [0] * 10
    for i in range(10_000):
        counts[int(draw("salt", f"id-{i}") * 10)] += 1

    # χ² with nine degrees of freedom: 27.9 is passed once in 1,000.
    assert sum((c - 1000) ** 2 / 1000 for c in counts) < 27.9


def test_another_process_draws_the_same() -> None:
    code = "from live.router import draw; print(repr(draw('s', 'm-1')), repr(draw('s', 'm-2')))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.split() == [repr(draw("s", "m-1")), repr(draw("s", "m-2"))]


def test_salt_and_market_cannot_run_into_each_other() -> None:
    assert draw("a", "bc") != draw("ab", "c")


def test_a_window_keeps_its_arm_when_the_ramp_changes_and_until_it_is_flat() -> None:
    router = Router(["a", "b"], ramp=0.0)
    first = router.assign("m")
    router.set_ramp(1.0)

    assert first.arm == "a"
    assert router.assign("m") == first
    with pytest.raises(ToolkitError, match="m is not flat: arm a keeps it"):
        router.release("m", UP)
    assert router.assign("m") == first
    router.release("m", FLAT)
    assert router.assign("m").arm == "b"


def test_more_ramp_never_takes_a_window_from_the_second_arm() -> None:
    ids = [f"m-{i}" for i in range(500)]
    low, high = Router(["a", "b"], ramp=0.25), Router(["a", "b"], ramp=0.5)

    assert all(high.assign(i).arm == "b" for i in ids if low.assign(i).arm == "b")


def test_a_single_arm_takes_every_window_with_certainty() -> None:
    router = Router(["only"], ramp=0.3)

    assert {(a.arm, a.propensity) for a in map(router.assign, ("x", "y", "z"))} == {("only", 1.0)}


@pytest.mark.parametrize(("arms", "ramp"), [([], 0.5), (["a", "a"], 0.5), (["a", "b", "c"], 0.5), (["a", "b"], 1.5)])
def test_what_cannot_be_meant_is_refused(arms: list[str], ramp: float) -> None:
    with pytest.raises(UsageError):
        Router(arms, ramp=ramp)

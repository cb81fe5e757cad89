"""The recorder's clock: real or at an exchange's speed, with steps of the wall clock noticed and slewing let pass."""

import asyncio
import sys
import time

import pytest

from observer.capture import clock as clock_module
from observer.capture.clock import Anchor, Clock
from observer.kit.clock import NS_PER_MS, NS_PER_S

START_NS = 1_800_000_000 * NS_PER_S


@pytest.mark.parametrize(("moved_ms", "noticed_ms"), [(240, 0), (-240, 0), (260, 260), (-260, -260)])
def test_a_step_is_noticed_once_and_a_small_correction_is_none(moved_ms: int, noticed_ms: int) -> None:
    wall = [START_NS]
    clock = Clock(wall_ns=lambda: wall[0], mono_ns=lambda: 0)
    assert clock.step_ns() == 0
    wall[0] += moved_ms * NS_PER_MS

    assert clock.step_ns() == noticed_ms * NS_PER_MS
    assert clock.step_ns() == 0
    assert clock.offset_s == pytest.approx(moved_ms / 1e3)
    assert clock.now_ns() == START_NS


def test_an_exchanges_clock_runs_at_its_speed_and_knows_no_step() -> None:
    mono = [7 * NS_PER_S]
    clock = Clock(Anchor(START_NS, 5 * NS_PER_S, 50.0), mono_ns=lambda: mono[0])
    assert clock.now_ns() == START_NS + 100 * NS_PER_S
    assert clock.due_mono_ns(START_NS + 200 * NS_PER_S) == 9 * NS_PER_S
    mono[0] = 9 * NS_PER_S

    assert clock.now_ns() == START_NS + 200 * NS_PER_S
    assert (clock.step_ns(), clock.offset_s) == (0, 0.0)


def test_a_wait_is_one_of_the_clocks_own_seconds() -> None:
    async def play() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await Clock(Anchor(START_NS, 0, 100.0)).sleep(10.0)
        return loop.time() - began

    assert 0.09 <= asyncio.run(play()) < 5.0


def test_the_machines_sleep_is_time_that_passes_and_an_exchange_has_a_clock_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if sys.platform == "linux":
        assert clock_module._GOES_ON_ASLEEP == time.CLOCK_BOOTTIME
    monkeypatch.setattr(clock_module, "_with_sleep_ns", lambda: 77)

    assert Clock().mono_ns() == 77
    assert abs(Clock(Anchor(START_NS, 0)).mono_ns() - time.monotonic_ns()) < NS_PER_S

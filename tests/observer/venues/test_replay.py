"""A replay goes forward in time across markets, at the speed asked for, and shows every tick once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.store.reader import Recording
from observer.store.writer import RecordingWriter
from observer.venues.replay import replay
from tests.samples.tapes import make_tape


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    with RecordingWriter(tmp_path) as writer:
        for i in range(4):
            tape = make_tape(i, 300, index=i)
            writer.write_tape(tape)
            market = replace(tape.market, market_id=f"z-{i}", series="z", open_ns=tape.market.open_ns + 40 * NS_PER_S)
            writer.write_tape(replace(tape, market=market, recv_ns=tape.recv_ns + 45 * NS_PER_S))
    return Recording(tmp_path)


def test_every_tick_of_every_market_comes_once_in_order_of_time(recording: Recording) -> None:
    played = list(replay(recording))

    keys = [(recv_ns, market.series, market.market_id) for recv_ns, market, _ in played]
    assert keys == sorted(keys)
    for tape in recording.tapes():
        mine = [(recv_ns, row) for recv_ns, market, row in played if market == tape.market]
        assert [recv_ns for recv_ns, _ in mine] == tape.recv_ns.tolist()
        assert np.array_equal(np.stack([row for _, row in mine]), tape.rows, equal_nan=True)
    assert len(played) == 8 * 300


def test_one_series_may_be_played_alone(recording: Recording) -> None:
    assert {market.series for _, market, _ in replay(recording, series="z")} == {"z"}


def test_only_windows_that_are_open_are_held(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[int] = []
    whole = Recording.tapes

    def counted(self: Recording, series: str | None = None) -> Iterator:
        for tape in whole(self, series):
            pulled.append(tape.market.open_ns)
            yield tape

    monkeypatch.setattr(Recording, "tapes", counted)
    first_ns = None
    for recv_ns, _, _ in replay(recording):
        first_ns = first_ns or recv_ns
        # Opened windows, and the next one that waits for its time.
        assert len([open_ns for open_ns in pulled if open_ns > recv_ns]) <= 1


class Wall:
    """A wall clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_speed_is_recorded_seconds_per_second(recording: Recording, speed: float) -> None:
    wall = Wall()
    played = list(replay(recording, series="z", speed=speed, clock=lambda: wall.now_s, sleep=wall.sleep))

    lasted_s = (played[-1][0] - played[0][0]) / NS_PER_S
    assert np.isclose(wall.now_s - 100.0, lasted_s / speed)


def test_a_slow_caller_is_not_held_back_further(recording: Recording) -> None:
    wall = Wall()
    for _ in replay(recording, speed=1.0, clock=lambda: wall.now_s, sleep=wall.sleep):
        wall.now_s += 1000.0

    assert wall.slept == []


def test_without_a_speed_nothing_waits(recording: Recording) -> None:
    wall = Wall()
    list(replay(recording, clock=lambda: wall.now_s, sleep=wall.sleep))

    assert wall.slept == []


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_none_is_misuse(recording: Recording, speed: float) -> None:
    with pytest.raises(UsageError, match="wanted recorded seconds per second above zero"):
        replay(recording, speed=speed)

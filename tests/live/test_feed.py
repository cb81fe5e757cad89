"""The replay feed: one stream in time order, ends after closes, nothing kept that is over."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from live.feed import End, Tick, replayed
from observer.store.reader import Recording
from tests.samples.recordings import record
from tests.samples.tapes import make_tape


def test_two_series_at_once_come_in_time_order_and_whole(two_series: Path) -> None:
    recording = Recording(two_series)
    events = list(replayed(recording))
    ticks = [e for e in events if isinstance(e, Tick)]

    assert all(a.recv_ns <= b.recv_ns for a, b in pairwise(ticks))
    for market in recording.markets():
        tape = recording.tape(market.market_id)
        mine = [e for e in ticks if e.market.market_id == market.market_id]
        assert [e.recv_ns for e in mine] == tape.recv_ns.tolist()
        assert np.array_equal(np.stack([e.row for e in mine]), tape.rows, equal_nan=True)


def test_a_window_ends_once_and_before_the_first_tick_that_is_later_than_its_close(two_series: Path) -> None:
    recording = Recording(two_series)
    ended: list[str] = []
    for event in replayed(recording):
        if isinstance(event, End):
            ended.append(event.market.market_id)
            continue
        assert event.market.market_id not in ended
        over = {m.market_id for m in recording.markets() if m.close_ns < event.recv_ns}
        assert set(ended) == over

    assert sorted(ended) == sorted(m.market_id for m in recording.markets())


def test_one_series_can_be_asked_for(two_series: Path) -> None:
    assert {e.market.series for e in replayed(Recording(two_series), "eth-updown-15m")} == {"eth-updown-15m"}


def test_recorded_depth_travels_with_the_tick(data: Path) -> None:
    deep = {e.market.market_id for e in replayed(Recording(data)) if isinstance(e, Tick) and e.ladder_price is not None}

    assert len(deep) == 1


def test_a_window_that_closes_speaks_before_the_one_that_opens_at_the_same_nanosecond(tmp_path: Path) -> None:
    early, late = make_tape(0, 20, index=0), make_tape(0, 20, index=1)
    # The earlier window gets the later name, and its last tick comes exactly when the next one's first does.
    early = replace(early, market=replace(early.market, market_id="z"), recv_ns=early.recv_ns.copy())
    late = replace(late, market=replace(late.market, market_id="a"), recv_ns=late.recv_ns.copy())
    early.recv_ns[-1] = late.recv_ns[0] = early.market.close_ns
    root = record(tmp_path, [(early, 1.0), (late, 0.0)])

    names = [e.market.market_id for e in replayed(Recording(root)) if isinstance(e, Tick)]

    assert names == ["z"] * 20 + ["a"] * 20

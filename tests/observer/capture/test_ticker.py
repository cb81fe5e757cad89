"""The grid: ticks lie on it, show only what had arrived, and say nothing of a book that is unknown."""

from dataclasses import dataclass, replace

import pytest

from observer.capture.clock import Anchor, Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.line import LiveLine
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.ports import Instrument, Listing
from observer.records import DOWN, UNKNOWN_NS, UP
from observer.store.batch import ClockStep, Dropped, GapSeen, Lateness
from tests.samples.tapes import make_market

TICK_NS = NS_PER_S // 2
OPEN_NS = 1_800_000_000 * NS_PER_S


@dataclass
class Rig:
    """A ticker over one market, with both clocks in the test's hands."""

    mono: int = 0
    wall: int = OPEN_NS

    def __post_init__(self) -> None:
        self.clock = Clock(wall_ns=lambda: self.wall, mono_ns=lambda: self.mono)
        self.intake = Intake(self.clock, Counters())
        self.ticker = Ticker(self.intake, TICK_NS)
        self.up = Instrument("tiny", "up", "m", UP, "BTC")
        self.down = Instrument("tiny", "down", "m", DOWN, "BTC")
        market = replace(make_market(), market_id="m", open_ns=OPEN_NS, close_ns=OPEN_NS + 900 * NS_PER_S)
        self.listing = Listing(market, (self.up, self.down))
        for instrument in self.listing.instruments:
            self.intake.add_instrument(instrument)
        self.ticker.add(self.listing, self.intake.add_market(self.listing))
        self.line = LiveLine(
            self.intake, "tiny", 0, send=lambda b: None, fetch=lambda i: None, reopen=lambda reason: None
        )

    def at(self, seconds: float) -> None:
        """Let the clocks show so many seconds since the start."""
        passed = round(seconds * NS_PER_S) - self.mono
        self.mono += passed
        self.wall += passed

    def receive(self, seconds: float, act: object) -> None:
        """A frame arrives."""
        assert callable(act)
        self.at(seconds)
        self.line.receive(b"frame", lambda payload: act() is None)


def test_a_tick_shows_the_books_as_the_frames_before_it_left_them() -> None:
    rig = Rig()
    rig.receive(
        0.2, lambda: rig.line.book(rig.up, [(52 * SCALE // 100, 3 * SCALE)], [(53 * SCALE // 100, SCALE)], UNKNOWN_NS)
    )
    rig.receive(0.7, lambda: rig.line.level(rig.up, 0, 52 * SCALE // 100, 0, UNKNOWN_NS))
    rig.at(1.0)
    rig.ticker.catch_up(rig.clock.now_ns())

    first, second = rig.intake.ticks
    assert first[1] == OPEN_NS + TICK_NS
    assert second[1] == OPEN_NS + 2 * TICK_NS
    assert first[2] == [0.52, 0.53, None, None, 3.0, 1.0, None, None, 3.0, 1.0, None, None]
    assert second[2][0] is None
    assert second[2][1] == 0.53
    assert first[3][:4] == [0.52, 3.0, None, None]
    assert len(first[3]) == 80


def test_a_frame_that_comes_after_a_due_tick_is_not_in_it() -> None:
    rig = Rig()
    rig.receive(0.1, lambda: rig.line.book(rig.up, [(SCALE // 2, SCALE)], [], UNKNOWN_NS))
    # The timer is late: the next frame arrives 30 ms after the tick was due and must not leak into it.
    rig.receive(0.53, lambda: rig.line.level(rig.up, 0, SCALE // 2, 9 * SCALE, UNKNOWN_NS))

    (tick,) = rig.intake.ticks
    assert tick[1] == OPEN_NS + TICK_NS
    assert tick[2][4] == 1.0
    assert [n.late_ns for n in rig.intake.notes if isinstance(n, Lateness)] == [30_000_000]


def test_an_unchanged_market_repeats_its_row_without_its_ladder() -> None:
    rig = Rig()
    rig.receive(0.1, lambda: rig.line.book(rig.up, [(SCALE // 2, SCALE)], [], UNKNOWN_NS))
    rig.at(1.0)
    rig.ticker.catch_up(rig.clock.now_ns())

    assert [tick[3] is None for tick in rig.intake.ticks] == [False, True]
    assert rig.intake.ticks[0][2] == rig.intake.ticks[1][2]


def test_an_unknown_book_has_no_row_and_its_span_becomes_a_gap() -> None:
    rig = Rig()
    book = [(SCALE // 2, SCALE)]
    rig.receive(0.1, lambda: rig.line.book(rig.up, book, [], UNKNOWN_NS))
    rig.receive(0.8, lambda: rig.line.lost(rig.up, "hole"))
    rig.receive(1.7, lambda: rig.line.book(rig.up, book, [], UNKNOWN_NS))
    rig.at(2.0)
    rig.ticker.catch_up(rig.clock.now_ns())

    assert [tick[1] - OPEN_NS for tick in rig.intake.ticks] == [TICK_NS, 4 * TICK_NS]
    (gap,) = (n for n in rig.intake.notes if isinstance(n, GapSeen))
    # From the last good frame to the snapshot that mended it.
    assert (gap.start_ns - OPEN_NS, gap.end_ns - OPEN_NS) == (NS_PER_S // 10, 17 * NS_PER_S // 10)
    assert gap.reason == "hole"
    assert gap.ins == rig.up.number


def test_no_tick_lies_outside_the_window() -> None:
    rig = Rig()
    rig.receive(0.1, lambda: rig.line.book(rig.up, [(SCALE // 2, SCALE)], [], UNKNOWN_NS))
    for half in range(1, 1803):
        rig.at(half / 2)
        rig.ticker.catch_up(rig.clock.now_ns())

    assert rig.intake.ticks[-1][1] == rig.listing.market.close_ns
    assert len(rig.intake.ticks) == 1800


@pytest.mark.parametrize("step_s", [30, -30, 90 * 86_400])
def test_a_stepped_wall_clock_moves_no_tick_and_is_noted(step_s: int) -> None:
    rig = Rig()
    rig.receive(0.1, lambda: rig.line.book(rig.up, [(SCALE // 2, SCALE)], [], UNKNOWN_NS))
    for half in range(1, 9):
        if half == 4:
            rig.wall += step_s * NS_PER_S
        rig.at(half / 2)
        rig.ticker.catch_up(rig.clock.now_ns())
        if by_ns := rig.clock.step_ns():
            rig.intake.clock_step(by_ns)

    assert [tick[1] for tick in rig.intake.ticks] == [OPEN_NS + k * TICK_NS for k in range(1, 9)]
    (step,) = (n for n in rig.intake.notes if isinstance(n, ClockStep))
    assert step.by_ns == step_s * NS_PER_S


def test_a_sleep_is_a_gap_and_not_a_burst_of_equal_rows() -> None:
    rig = Rig()
    rig.receive(0.1, lambda: rig.line.book(rig.up, [(SCALE // 2, SCALE)], [], UNKNOWN_NS))
    rig.at(60.2)
    rig.ticker.catch_up(rig.clock.now_ns())

    assert rig.intake.ticks == []
    assert rig.intake.due_ns == OPEN_NS + 121 * TICK_NS
    (dropped,) = (n for n in rig.intake.notes if isinstance(n, Dropped))
    assert (dropped.rows, dropped.start_ns) == (120, OPEN_NS + TICK_NS)


def test_one_known_book_makes_a_row_whichever_token_it_is_of() -> None:
    rig = Rig()
    rig.receive(0.1, lambda: rig.line.book(rig.down, [(SCALE // 2, SCALE)], [], UNKNOWN_NS))
    rig.at(0.5)
    rig.ticker.catch_up(rig.clock.now_ns())

    assert [tick[2][:4] for tick in rig.intake.ticks] == [[None, None, 0.5, None]]


def test_depth_is_that_of_the_best_five_levels() -> None:
    rig = Rig()
    levels = [(price * SCALE // 100, price * SCALE) for price in range(40, 30, -1)]
    rig.receive(0.1, lambda: rig.line.book(rig.up, levels, [], UNKNOWN_NS))
    rig.at(0.5)
    rig.ticker.catch_up(rig.clock.now_ns())

    assert rig.intake.ticks[0][2][8] == 40 + 39 + 38 + 37 + 36


def test_lateness_under_a_fast_clock_is_in_real_time() -> None:
    mono = [0]
    intake = Intake(Clock(Anchor(OPEN_NS, 0, 50.0), mono_ns=lambda: mono[0]), Counters())
    ticker = Ticker(intake, TICK_NS)
    mono[0] = 12_000_000  # 600 ms of the clock: 100 ms of it after the tick was due
    ticker.catch_up(intake.clock.now_ns())

    assert [n.late_ns for n in intake.notes if isinstance(n, Lateness)] == [2_000_000]

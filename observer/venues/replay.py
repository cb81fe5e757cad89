"""A recording played again, as if it were happening: every market's ticks in the order they arrived.

The generator holds the tapes of the windows that are open at the moment, and nothing that lies ahead of the
tick it has just handed out leaves this module.
"""

import heapq
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import Market, Tape
from observer.store.reader import Recording

Tick = tuple[int, Market, NDArray[np.float64]]


def replay(
    recording: Recording,
    *,
    series: str | None = None,
    speed: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Tick]:
    """Yield (recv_ns, market, row) across markets, never going back in time; of ties, the window that closes first.

    Args:
        recording: what to play.
        series: one series, or None for all.
        speed: recorded seconds per second of the wall clock (1 = as it happened, 60 = an hour in a minute);
            None plays as fast as the caller takes the ticks.
        clock, sleep: the wall clock in seconds, replaced in tests.

    Raises:
        UsageError: a speed that is not above zero.
        BadRecording: no such series, or a damaged file.
    """
    if speed is not None and not speed > 0:
        raise UsageError(f"replay speed {speed}; wanted recorded seconds per second above zero, or none at all.")
    return _paced(_merged(recording.tapes(series)), speed, clock, sleep)


def _merged(tapes: Iterator[Tape]) -> Iterator[Tick]:
    """Merge tapes that come in order of their opening, opening each when its time has come."""
    # Entries: next tick's time, close, series, market id, tape, next tick's index; tapes never compared.
    waiting: list[tuple[int, int, str, str, Tape, int]] = []
    upcoming = next(tapes, None)
    while waiting or upcoming is not None:
        # A tape may tick from its opening on, so it must be at hand before anything later is handed out.
        while upcoming is not None and (not waiting or upcoming.market.open_ns <= waiting[0][0]):
            market = upcoming.market
            first_ns = int(upcoming.recv_ns[0])
            heapq.heappush(waiting, (first_ns, market.close_ns, market.series, market.market_id, upcoming, 0))
            upcoming = next(tapes, None)
        recv_ns, close_ns, series, market_id, tape, i = waiting[0]
        if i + 1 < len(tape):
            heapq.heapreplace(waiting, (int(tape.recv_ns[i + 1]), close_ns, series, market_id, tape, i + 1))
        else:
            heapq.heappop(waiting)
        yield recv_ns, tape.market, tape.rows[i].copy()


def _paced(
    ticks: Iterator[Tick], speed: float | None, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[Tick]:
    """Hold each tick back until its time at `speed` has come; a slow caller is never made to wait longer."""
    began_s, first_ns = clock(), None
    for tick in ticks:
        if speed is not None:
            first_ns = tick[0] if first_ns is None else first_ns
            due_s = (tick[0] - first_ns) / NS_PER_S / speed
            if (ahead_s := due_s - (clock() - began_s)) > 0:
                sleep(ahead_s)
        yield tick

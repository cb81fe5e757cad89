"""The recorder put together over a real socket and a real spool: what is read back is what was sent."""

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from observer.capture import daemon as daemon_module
from observer.capture import status as status_module
from observer.capture.clock import Anchor, Clock
from observer.capture.counters import Counters
from observer.capture.daemon import Daemon
from observer.capture.intake import Intake
from observer.capture.outcomes import Pending
from observer.kit.clock import NS_PER_S
from observer.kit.errors import StorageFailed
from observer.ports import Selection
from observer.store.batch import TRADE, Batch, ClockStep, GapSeen, MarketSeen
from observer.store.segment import read_segment
from observer.store.spool import Spool
from tests.observer.capture.test_site import listing
from tests.samples.tiny_venue import TinyServer, TinyVenue, until

TICK_NS = NS_PER_S // 20


def daemon_of(folder: Path, venue: TinyVenue, clock: Clock | None = None, tick_ns: int = TICK_NS) -> Daemon:
    """A recorder of one venue with 20 ticks a second."""
    intake = Intake(clock or Clock(), Counters())
    return Daemon(
        {"tiny": venue}, Selection(), clock=intake.clock, rest=None,  # type: ignore[arg-type]
        spool=Spool(folder, "run", lambda: intake.preamble), intake=intake, tick_ns=tick_ns,
        pending=folder / "pending.json", children=[], seed=1,
    )  # fmt: skip


def written(folder: Path) -> list[Batch]:
    """Every batch of the sealed segments, in order."""
    paths = sorted((folder / "run" / "wal").glob("*.wal"))
    return [batch for path in paths for batch in read_segment(path)]


def test_what_was_sent_is_on_the_disk_once_and_in_order(tmp_path: Path) -> None:
    async def play() -> dict:
        async with TinyServer() as server:
            one = listing("w", -1, 60)
            server.greeting = [["book", i.key, [[500_000_000, 10**9]], []] for i in one.instruments]
            daemon = daemon_of(tmp_path, TinyVenue(server.url, listings=[one]))
            running = asyncio.create_task(daemon.run(None))
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            for number in range(300):
                server.send("trade", "w-up", f"t{number}")
                if number % 50 == 0:
                    await asyncio.sleep(0.03)
            await until(lambda: daemon.counters.of("tiny").messages == 302, "every message")
            os.kill(os.getpid(), signal.SIGTERM)
            status = await asyncio.wait_for(running, 5)
            daemon.spool.close()
            return status

    status = asyncio.run(play())

    batches = written(tmp_path)
    assert [b.number for b in batches] == list(range(len(batches)))
    raws = [json.loads(raw[2]) for b in batches for raw in b.raws]
    assert [raw[2] for raw in raws if raw[0] == "trade"] == [f"t{number}" for number in range(300)]
    assert [e[8] for b in batches for e in b.events if e[0] == TRADE] == [f"t{number}" for number in range(300)]
    times = [tick[1] for b in batches for tick in b.ticks]
    assert times == list(range(times[0], times[-1] + 1, TICK_NS))
    assert times[0] % TICK_NS == 0
    assert status["venues"]["tiny"]["messages"] == 302
    assert len([note for b in batches for note in b.notes if isinstance(note, MarketSeen)]) >= 1


def test_a_gap_that_is_open_at_the_end_is_told(tmp_path: Path) -> None:
    async def play() -> None:
        async with TinyServer() as server:
            one = listing("w", -1, 60)
            server.greeting = [["book", i.key, [[500_000_000, 10**9]], []] for i in one.instruments]
            daemon = daemon_of(tmp_path, TinyVenue(server.url, listings=[one]))
            running = asyncio.create_task(daemon.run(None))
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            server.send("hole", "w-up")
            await until(lambda: daemon.intake.gaps, "the gap")
            daemon.stop()
            await asyncio.wait_for(running, 5)
            daemon.spool.close()

    asyncio.run(play())

    gaps = [note for b in written(tmp_path) for note in b.notes if isinstance(note, GapSeen)]
    assert "hole in the sequence" in {gap.reason for gap in gaps}


def test_a_disk_that_fails_ends_the_recorder_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with TinyServer() as server:
            daemon = daemon_of(tmp_path, TinyVenue(server.url, listings=[listing("w", -1, 60)]))
            state = daemon.spool.state
            monkeypatch.setattr(daemon.spool, "state", lambda: replace(state(), failure="fdatasync failed: EIO"))
            with pytest.raises(StorageFailed, match="EIO"):
                await asyncio.wait_for(daemon.run(None), 10)
            monkeypatch.undo()
            daemon.spool.close()

    asyncio.run(play())


def test_a_run_lasts_as_long_as_it_was_told_by_its_own_clock_and_shows_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "_WATCH_S", 0.02)
    shown: list[dict] = []

    async def play() -> dict:
        async with TinyServer() as server:
            clock = Clock(Anchor(1_800_000_000 * NS_PER_S, time.monotonic_ns(), 100.0))
            daemon = daemon_of(tmp_path, TinyVenue(server.url), clock)
            daemon.show = shown.append
            last = await asyncio.wait_for(daemon.run(20.0), 5)
            daemon.spool.close()
            return last

    last = asyncio.run(play())

    assert shown
    assert shown[-1].keys() == last.keys()


def test_a_batch_is_closed_early_under_load_and_the_status_is_one_of_its_venue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "FLUSH_EVENTS", 10)
    monkeypatch.setattr(daemon_module, "FLUSH_S", 0.01)
    monkeypatch.setattr(daemon_module, "_LONGEST_WAIT_S", 3600.0)

    async def play() -> None:
        async with TinyServer() as server:
            one = listing("w", -1, 60)
            server.greeting = [["book", i.key, [[500_000_000, 10**9]], []] for i in one.instruments]
            daemon = daemon_of(tmp_path, TinyVenue(server.url, listings=[one]), tick_ns=3600 * NS_PER_S)
            put: list[Batch] = []
            monkeypatch.setattr(daemon.spool, "put", put.append)
            running = asyncio.create_task(daemon.run(None))
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            for number in range(12):
                server.send("trade", "w-up", f"t{number}")
            await until(lambda: put and len(put[0].raws) >= 10, "a batch")
            server.send("hole", "w-up")
            await until(lambda: daemon.intake.gaps, "the gap")

            venue = daemon.status()["venues"]["tiny"]
            assert (venue["books_unknown_long"], venue["longest_unknown_s"] < 1) == (0, True)
            daemon.intake.gaps[one.instruments[0].number].start_ns = one.market.open_ns - 99 * NS_PER_S
            assert 1 <= daemon.status()["venues"]["tiny"]["longest_unknown_s"] < 9  # since the window opened
            monkeypatch.setattr(status_module, "UNKNOWN_S", 0.5)
            assert daemon.status()["venues"]["tiny"]["books_unknown_long"] == 1

            daemon.counters.of("tiny").last_data_ns = daemon.clock.now_ns() - 2 * NS_PER_S
            venue = daemon.status()["venues"]["tiny"]
            assert (venue["gaps_open"], venue["streams_open"], venue["books"], venue["books_valid"]) == (1, 1, 2, 1)
            assert 2 <= venue["data_age_s"] < 60
            server.sockets[0].disconnect(graceful=False)
            await until(lambda: daemon.status()["venues"]["tiny"]["streams_open"] == 0, "the stream's end")
            daemon.stop()
            await running
            daemon.spool.close()

    asyncio.run(play())


def test_what_is_still_to_be_asked_is_on_the_disk_at_the_end(tmp_path: Path) -> None:
    async def play() -> None:
        async with TinyServer() as server:
            daemon = daemon_of(tmp_path, TinyVenue(server.url, listings=[listing("w", -1, 60)]))
            running = asyncio.create_task(daemon.run(None))
            await until(lambda: daemon.pending.markets, "the market")
            daemon.stop()
            await asyncio.wait_for(running, 5)
            daemon.spool.close()

    asyncio.run(play())

    assert set(Pending(tmp_path / "pending.json").markets) == {"w"}


def test_an_outcome_ends_the_asking(tmp_path: Path) -> None:
    async def play() -> None:
        async with TinyServer() as server:
            daemon = daemon_of(tmp_path, TinyVenue(server.url))
            daemon.pending.add(listing("w", -60, -50))
            daemon.intake.outcome("w", 1.0, "tiny")
            assert daemon.pending.markets == {}
            daemon.spool.close()

    asyncio.run(play())


def test_a_step_of_the_wall_clock_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_module, "_WATCH_S", 0.02)
    ahead = [0]

    async def play() -> None:
        async with TinyServer() as server:
            clock = Clock(wall_ns=lambda: time.time_ns() + ahead[0])
            daemon = daemon_of(tmp_path, TinyVenue(server.url), clock)
            running = asyncio.create_task(daemon.run(None))
            await until(lambda: daemon.latest, "a status")
            ahead[0] = 30 * NS_PER_S
            await until(lambda: daemon.counters.clock_steps == 1, "the step")
            daemon.stop()
            await asyncio.wait_for(running, 5)
            daemon.spool.close()

    asyncio.run(play())

    (step,) = (note for batch in written(tmp_path) for note in batch.notes if isinstance(note, ClockStep))
    assert abs(step.by_ns - 30 * NS_PER_S) < NS_PER_S

"""The recorder put together over a real socket and a real spool: what is read back is what was sent."""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.daemon import Daemon
from observer.capture.intake import Intake
from observer.kit.clock import NS_PER_S
from observer.kit.errors import StorageFailed
from observer.ports import Selection
from observer.store.batch import TRADE, Batch, GapSeen, MarketSeen
from observer.store.segment import read_segment
from observer.store.spool import Spool
from tests.observer.capture.test_site import listing
from tests.samples.tiny_venue import TinyServer, TinyVenue, until

TICK_NS = NS_PER_S // 20


def daemon_of(folder: Path, venue: TinyVenue) -> Daemon:
    """A recorder of one venue with 20 ticks a second."""
    intake = Intake(Clock(), Counters())
    return Daemon(
        {"tiny": venue}, Selection(), clock=intake.clock, rest=None,  # type: ignore[arg-type]
        spool=Spool(folder, "run", lambda: intake.preamble), intake=intake, tick_ns=TICK_NS,
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

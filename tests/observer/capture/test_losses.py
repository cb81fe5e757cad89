"""What a slow or full disk left out is known again soon after: books, ladders, and frames that can be read again."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from observer.book import ASK, BID, Book
from observer.capture import losses as losses_module
from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.daemon import Daemon
from observer.capture.intake import Intake
from observer.compact.compactor import compact
from observer.compact.rebuild import rebuild
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, Selection
from observer.store.batch import BOOK, LEVEL, LOST, Batch, Dropped
from observer.store.filesystem import RealFileSystem, Space
from observer.store.reader import Recording
from observer.store.segment import read_segment
from observer.store.spool import Spool
from tests.observer.capture.test_site import listing
from tests.samples.tiny_venue import TinyServer, TinyVenue, until

TICK_NS = NS_PER_S // 20
CENT = 10**7


class BadDisk(RealFileSystem):
    """A disk that takes nothing while it is `slow`, and has no room while it is `full`."""

    def __init__(self) -> None:
        self.takes = threading.Event()
        self.takes.set()
        self.is_full = False

    def write(self, fd: int, data: bytes) -> int:
        """Wait for better times."""
        self.takes.wait(20)
        return super().write(fd, data)

    def space(self, path: Path) -> Space:
        """All or nothing."""
        return Space(10**12, 0 if self.is_full else 10**12)


Sides = list[list[tuple[int, int]]]
Do = Callable[[Daemon, TinyServer, BadDisk, Instrument], Awaitable[None]]


def play(root: Path, do: Do) -> list[Sides]:
    """Record a window of two books on a bad disk; returns them as they were before the stop."""
    kept: list[Sides] = []

    async def run() -> None:
        async with TinyServer() as server:
            one = listing("w", -1, 600)
            levels = [[[(50 - n) * CENT, 10**9] for n in range(1, 9)], [[(50 + n) * CENT, 10**9] for n in range(1, 9)]]
            server.greeting = [["book", i.key, *levels] for i in one.instruments]
            disk, intake = BadDisk(), Intake(Clock(), Counters())
            spool = Spool(root / "spool", "run", lambda: intake.preamble, queue_bytes=100_000, fs=disk)
            daemon = Daemon(
                {"tiny": TinyVenue(server.url, listings=[one])}, Selection(), clock=intake.clock,
                rest=None, spool=spool, intake=intake, tick_ns=TICK_NS,  # type: ignore[arg-type]
                pending=root / "spool" / "pending.json", children=[], seed=1,
            )  # fmt: skip
            running = asyncio.create_task(daemon.run(None))
            try:
                await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
                await do(daemon, server, disk, one.instruments[0])
                await last_words(daemon, server, one.instruments[0])
                kept.extend(sides(i.book) for i in one.instruments)
            finally:
                disk.takes.set()
                disk.is_full = False
                daemon.stop()
                await asyncio.wait_for(running, 5)
                spool.close()

    asyncio.run(run())
    return kept


async def last_words(daemon: Daemon, server: TinyServer, up: Instrument) -> None:
    """The connection speaks, so that the stop does not make a gap of what came before."""
    asked_ns, stream = daemon.clock.now_ns(), daemon.sites["tiny"].streams["all"]
    server.send("trade", up.key, "the last")
    await until(lambda: stream.connection and stream.connection.line.last_data_ns > asked_ns, "the last words")


async def shed(daemon: Daemon, server: TinyServer, disk: BadDisk, up: Instrument) -> None:
    """Let the disk be slow until events were left out, then let it be well."""
    await asyncio.sleep(0.3)
    disk.takes.clear()
    size = 10**9
    while not daemon.spool.state().shed_events:
        for _ in range(50):
            size += 1
            server.send("level", up.key, BID, 42 * CENT, size)
        await asyncio.sleep(0.02)
    disk.takes.set()
    await until(lambda: daemon.spool.state().queued_batches == 0, "an empty queue")


async def ticks(daemon: Daemon, n: int) -> None:
    """Let so many ticks go by."""
    first = daemon.counters.ticks
    await until(lambda: daemon.counters.ticks >= first + n, "ticks")


def written(root: Path) -> list[Batch]:
    """Every batch of the sealed segments, in order."""
    return [b for path in sorted((root / "spool" / "run" / "wal").glob("*.wal")) for b in read_segment(path)]


def books_of(batches: list[Batch]) -> list[Sides]:
    """The books that a reader of the log knows before the stop."""
    books: dict[int, Book] = {0: Book(), 1: Book()}
    for batch in batches:
        if any(isinstance(note, Dropped) and note.what == "events" for note in batch.notes):
            books = {0: Book(), 1: Book()}
        for kind, _, number, _, *rest in batch.events:
            if kind == BOOK:
                books[number].replace(rest[2], rest[3])
            elif kind == LEVEL and books[number].is_valid:
                books[number].set(*rest[2:])
            elif kind == LOST:
                assert rest == ["no longer wanted"]
    return [sides(book) for book in books.values()]


def sides(book: Book) -> Sides:
    """All of a book."""
    return [book.top(side, 99) for side in (BID, ASK)]


def test_every_book_is_told_again_once_the_disk_keeps_up(tmp_path: Path) -> None:
    async def do(daemon: Daemon, server: TinyServer, disk: BadDisk, up: Instrument) -> None:
        await shed(daemon, server, disk, up)
        assert daemon.status()["left_out"]["rows"] > 0
        await ticks(daemon, 6)
        assert 0 < daemon.status()["left_out"]["age_s"] < 5
        server.send("level", up.key, ASK, 60 * CENT, 7 * 10**9)
        await until(lambda: up.book.size_at(ASK, 60 * CENT), "the level")

    books = play(tmp_path, do)

    batches = written(tmp_path)
    assert any(isinstance(note, Dropped) and note.what == "events" for b in batches for note in b.notes)
    assert (60 * CENT, 7 * 10**9) in books[0][ASK]
    assert books_of(batches) == books


def test_books_are_told_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses_module, "TOLD_LEVELS", 1)

    async def do(daemon: Daemon, server: TinyServer, disk: BadDisk, up: Instrument) -> None:
        told: list[int] = []
        tell = daemon.losses.tell

        def counted() -> None:
            before = len(daemon.intake.events)
            tell()
            told.append(len(daemon.intake.events) - before)

        monkeypatch.setattr(daemon.losses, "tell", counted)
        await shed(daemon, server, disk, up)
        await until(lambda: sum(told) == 2, "both books")
        assert max(told) == 1

    play(tmp_path, do)


async def pause(daemon: Daemon, server: TinyServer, disk: BadDisk, up: Instrument) -> None:
    """Let the disk be full while a book changes below its touch, and have room again."""
    await asyncio.sleep(0.3)
    disk.is_full = True
    await until(lambda: dict(daemon.spool.state().log.skipped_rows).get("ticks"), "the pause")
    server.send("level", up.key, BID, 44 * CENT, 9 * 10**9)
    await ticks(daemon, 3)
    disk.is_full = False
    await until(lambda: daemon.spool.state().log.level == 0, "room")
    await ticks(daemon, 10)


def test_after_a_full_disk_ticks_carry_the_ladders_and_books_of_the_time(tmp_path: Path) -> None:
    books = play(tmp_path, pause)

    assert (44 * CENT, 9 * 10**9) in books[0][BID]
    assert books_of(written(tmp_path)) == books
    compact(tmp_path, 2**62)
    tape = Recording(tmp_path).tape("w")
    (hole,) = np.flatnonzero(np.diff(tape.recv_ns) > NS_PER_S // 2)
    assert tape.ladder is not None
    assert len(tape) - hole > 8  # none of them was left out
    assert np.all(tape.ladder.size[: hole + 1, 0, 5] == 1)
    assert np.all(tape.ladder.size[hole + 1 :, 0, 5] == 9)


@pytest.mark.parametrize("lose", [shed, pause])
def test_frames_can_be_read_again_from_the_next_connection_on(
    lose: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses_module, "RENEW_NS", NS_PER_S // 5)
    since: list[int] = []
    lost: list[int] = []

    async def do(daemon: Daemon, server: TinyServer, disk: BadDisk, up: Instrument) -> None:
        await ticks(daemon, 6)
        lost.append(daemon.clock.now_ns())
        await lose(daemon, server, disk, up)
        # What the next connection says first is what the venue has now.
        server.greeting[0] = ["book", up.key, *sides(up.book)]
        await until(lambda: len(server.sockets) == 2, "a new connection")
        await ticks(daemon, 4)
        since.append(daemon.clock.now_ns())
        server.send("level", up.key, BID, 43 * CENT, 3 * 10**9)
        await ticks(daemon, 5)
        assert not daemon.intake.gaps  # the old one was heard until then

    play(tmp_path / "live", do)
    compact(tmp_path / "live", 2**62)
    rebuild(tmp_path / "live", tmp_path / "again", {"tiny": TinyVenue("")}, 2**62)

    old, new = (depths(tmp_path / name) for name in ("live", "again"))
    assert [ns for ns in new if ns in old and new[ns] != old[ns]] == []  # unknown for a while, never of another time
    assert [ns for ns in old if not lost[0] < ns < since[0]] == [ns for ns in new if not lost[0] < ns < since[0]]
    assert min(old) < lost[0]
    assert sum(ns > since[0] for ns in new) >= 4


def depths(root: Path) -> dict[int, bytes]:
    """What each tick of the window said, depth included."""
    tape = Recording(root).tape("w")
    assert tape.ladder is not None
    columns = np.concatenate([tape.rows[:, :12], tape.ladder.price.reshape(len(tape), -1),
                              tape.ladder.size.reshape(len(tape), -1)], axis=1)  # fmt: skip
    return {ns: row.tobytes() for ns, row in zip(tape.recv_ns.tolist(), columns, strict=True)}

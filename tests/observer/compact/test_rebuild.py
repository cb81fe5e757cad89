"""Raw frames read again give the recording that was made of them, or a better one."""

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from observer.capture import site as site_module
from observer.capture.intake import MUTE
from observer.capture.replayed import Replayer
from observer.compact.compactor import compact
from observer.compact.rebuild import rebuild
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording, UsageError
from observer.ports import Decoder, Line, StreamPlan
from observer.store.reader import Recording
from observer.store.spool import Spool
from observer.store.verify import verify
from tests.observer.capture import test_daemon as daemon_tests
from tests.observer.capture.test_daemon import daemon_of
from tests.observer.capture.test_site import listing
from tests.samples.tiny_venue import TinyDecoder, TinyServer, TinyVenue, until

TENTH = 10**8


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder recorded over a socket: changes, trades, a hole mended by REST, cuts, a window that closed."""
    root = tmp_path_factory.mktemp("recorded")

    async def play() -> None:
        async with TinyServer() as server:
            one = listing("w", -1, 3.5)
            server.greeting = [
                ["book", i.key, [[4 * TENTH, 10**9]], [[6 * TENTH, 10**9]]] for i in one.instruments
            ]  # fmt: skip
            venue = TinyVenue(server.url, listings=[one])
            venue.books = {
                i.key: json.dumps([[[3 * TENTH, 10**9]], [[7 * TENTH, 10**9]]]).encode() for i in one.instruments
            }
            daemon = daemon_of(root / "spool", venue)
            running = asyncio.create_task(daemon.run(None))
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            up = one.instruments[0]
            for n in range(1, 20):
                server.send("level", "w-up", n % 2, (5 * TENTH - n) if n % 2 == 0 else (5 * TENTH + n), n * 10**9)
                server.send("trade", "w-down", f"t{n}")
                await asyncio.sleep(0.02)
            server.send("hole", "w-up")
            await until(lambda: up.book.best(0) == 3 * TENTH, "the book by REST")
            await asyncio.sleep(0.2)
            server.sockets[-1].underlying_transport.abort()
            await until(lambda: len(server.sockets) == 2 and up.book.is_valid, "a new connection")
            server.send("level", "w-down", 0, 5 * TENTH, 7 * 10**9)
            await until(lambda: one.instruments[1].book.best(0) == 5 * TENTH, "its last word")
            daemon.sites["tiny"].renew()
            await until(lambda: server.sockets[1].is_disconnected, "the end of a connection that was mute")
            while daemon.clock.now_ns() < one.market.close_ns + NS_PER_S // 2:
                server.send("level", "w-down", 0, 5 * TENTH, 8 * 10**9)
                await asyncio.sleep(0.02)
            daemon.stop()
            await running
            daemon.spool.close()

    asyncio.run(play())
    compact(root, 2**62)
    return root


def test_the_same_decoder_gives_the_same_ticks_trades_and_gaps(recorded: Path, tmp_path: Path) -> None:
    rebuild(recorded, tmp_path / "again", {"tiny": TinyVenue("")}, 2**62)

    before, after = Recording(recorded), Recording(tmp_path / "again")
    old, new = before.tape("w"), after.tape("w")
    assert len(old) > 20
    assert old.market == new.market
    assert np.array_equal(old.recv_ns, new.recv_ns)
    assert np.array_equal(old.rows, new.rows, equal_nan=True)
    assert old.ladder is not None
    assert new.ladder is not None
    assert np.array_equal(old.ladder.price, new.ladder.price, equal_nan=True)
    assert np.array_equal(old.ladder.size, new.ladder.size, equal_nan=True)
    reasons = {gap.reason for gap in before.gaps()}
    assert reasons >= {"hole in the sequence", "connection lost", MUTE}
    assert {(g.start_ns, g.end_ns, g.reason) for g in before.gaps()} == {
        (g.start_ns, g.end_ns, g.reason) for g in after.gaps()
    }
    assert before.dataset_id == after.dataset_id
    assert not verify(tmp_path / "again").problems


class _Mended(TinyDecoder):
    """A decoder that reads what the old one could not: sizes were meant in halves."""

    def __init__(self, plan: StreamPlan, line: Line) -> None:
        super().__init__(plan, line)
        self._level = line.level
        self.line = line

    def message(self, payload: bytes) -> bool:
        kind, *rest = json.loads(payload)
        if kind == "level":
            rest[3] //= 2
            payload = json.dumps([kind, *rest]).encode()
        return super().message(payload)


class _MendedVenue(TinyVenue):
    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        return _Mended(plan, line)


def test_a_mended_decoder_mends_what_was_recorded(recorded: Path, tmp_path: Path) -> None:
    rebuild(recorded, tmp_path / "again", {"tiny": _MendedVenue("")}, 2**62)

    old, new = Recording(recorded).tape("w"), Recording(tmp_path / "again").tape("w")
    assert np.array_equal(old.rows[:, :4], new.rows[:, :4], equal_nan=True)  # prices stay
    assert np.nanmax(old.rows[:, 7]) != np.nanmax(new.rows[:, 7]) or np.nanmax(old.rows[:, 4]) != np.nanmax(
        new.rows[:, 4]
    )
    assert Recording(recorded).dataset_id != Recording(tmp_path / "again").dataset_id


def test_nothing_is_written_where_something_is(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(UsageError, match="is not empty"):
        rebuild(recorded, tmp_path, {"tiny": TinyVenue("")}, 2**62)
    with pytest.raises(UsageError, match="no raw frames"):
        rebuild(tmp_path, tmp_path / "again", {}, 2**62)


def test_a_rebuild_that_left_rows_out_is_refused(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Spool.state
    monkeypatch.setattr(Spool, "state", lambda self: replace(state(self), shed_raw=3))

    with pytest.raises(BadRecording, match="3 rows could not be written"):
        rebuild(recorded, tmp_path / "again", {"tiny": TinyVenue("")}, 2**62)


def test_what_has_ended_is_forgotten_and_nothing_else_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "DISCOVER_S", 0.05)
    monkeypatch.setattr(site_module, "END_S", 0.05)
    monkeypatch.setattr(site_module, "LINGER_NS", NS_PER_S // 2)
    monkeypatch.setattr(daemon_tests, "Spool", partial(Spool, segment_bytes=3_000))
    names = [f"w{n}" for n in range(6)]

    async def play() -> None:
        async with TinyServer() as server:
            windows = [listing(name, n / 2 - 0.2, n / 2 + 0.6) for n, name in enumerate(names)]
            server.greeting = [
                ["book", i.key, [[4 * TENTH, 10**9]], [[6 * TENTH, 10**9]]] for one in windows for i in one.instruments
            ]  # fmt: skip
            venue = TinyVenue(server.url, listings=windows[:2])
            daemon = daemon_of(tmp_path / "live" / "spool", venue)
            running = asyncio.create_task(daemon.run(None))
            step = 0
            while daemon.clock.now_ns() < windows[-1].market.close_ns + NS_PER_S:
                step += 1
                venue.listings = windows[step // 12 : step // 12 + 2] or windows[-1:]
                for one in windows:
                    for i, socket in enumerate(server.sockets):
                        if not socket.is_disconnected:
                            server.send("level", one.instruments[0].key, 0, 3 * TENTH, step * 10**9 + 1, socket=i)
                await asyncio.sleep(0.05)
            daemon.stop()
            await running
            daemon.spool.close()

    asyncio.run(play())
    assert len(list((tmp_path / "live" / "spool" / "run" / "wal").glob("*.wal"))) > 5
    compact(tmp_path / "live", 2**62)
    known: list[int] = []
    finish = Replayer.finish

    def finished(self: Replayer, end_ns: int) -> None:
        known.append(len(self.intake.instruments))
        known.append(len(self.intake.preamble))
        finish(self, end_ns)

    monkeypatch.setattr(Replayer, "finish", finished)
    rebuild(tmp_path / "live", tmp_path / "again", {"tiny": TinyVenue("")}, 2**62)

    old, new = Recording(tmp_path / "live"), Recording(tmp_path / "again")
    assert [len(old.tape(name)) > 0 for name in names] == [True] * 6
    assert old.dataset_id == new.dataset_id
    assert known[0] <= 6  # of the twelve
    assert known[1] <= 12

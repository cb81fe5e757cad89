"""Connections over a real socket: data judged, messages put together, reconnects with and without a hole."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from picows import WSMsgType

from observer.backoff import Backoff
from observer.capture import connection as connection_module
from observer.capture import line as line_module
from observer.capture.clock import Clock
from observer.capture.connection import finish
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.line import DISAGREES
from observer.capture.stream import Stream
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument
from observer.records import UP
from observer.store.batch import BOOK, LEVEL, LOST, TRADE, Connected, Disconnected, Fetched, GapSeen, Quarantined
from tests.samples.tiny_venue import TinyServer, TinyVenue, until

BOOK_A = ["book", "a", [[5, 1]], [[7, 1]]]


@dataclass
class Rig:
    """One stream of one venue, recorded from one server."""

    server: TinyServer
    venue: TinyVenue
    intake: Intake
    instrument: Instrument
    stream: Stream
    asked: list[str]

    def kinds(self) -> list[int]:
        """Kinds of the events so far."""
        return [event[0] for event in self.intake.events]

    def notes(self, kind: type) -> list:
        """Notes of one kind so far."""
        return [note for note in self.intake.notes if isinstance(note, kind)]


@asynccontextmanager
async def recording(**venue_settings: float) -> AsyncIterator[Rig]:
    """A server that greets with a book, and a stream that records it."""
    async with TinyServer() as server:
        server.greeting = [BOOK_A]
        venue = TinyVenue(server.url, **venue_settings)  # type: ignore[arg-type]
        intake = Intake(Clock(), Counters())
        instrument = Instrument("tiny", "a", "m", UP, "BTC")
        intake.add_instrument(instrument)
        asked: list[str] = []
        (plan,) = venue.plan([instrument])
        backoff = Backoff(random.Random(1), base_s=0.01, cap_s=0.05)
        stream = Stream(intake, venue, plan, lambda connection, i: asked.append(i.key), backoff)
        try:
            await until(lambda: instrument.book.is_valid, "the first book")
            yield Rig(server, venue, intake, instrument, stream, asked)
        finally:
            await stream.stop()


def test_frames_are_kept_raw_and_read() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.server.send("level", "a", 0, 6, 2)
            rig.server.send("trade", "a", "t1")
            rig.server.send("trade", "a", "t1")
            rig.server.send("bad")
            await until(lambda: len(rig.intake.raws) == 5, "five frames")

            assert rig.kinds() == [BOOK, LEVEL, TRADE]  # the second t1 is the same trade
            assert json.loads(rig.intake.raws[1][2]) == ["level", "a", 0, 6, 2]
            assert rig.instrument.book.top(0, 9) == [(6, 2), (5, 1)]
            (bad,) = rig.notes(Quarantined)
            assert json.loads(rig.intake.raws[bad.frame_index][2]) == ["bad"]

    asyncio.run(play())


def test_a_message_in_pieces_is_one_message() -> None:
    async def play() -> None:
        async with recording() as rig:
            whole = json.dumps(["level", "a", 0, 6, 2]).encode()
            socket = rig.server.sockets[0]
            socket.send(WSMsgType.TEXT, whole[:7], fin=False)
            socket.send(WSMsgType.CONTINUATION, whole[7:12], fin=False)
            socket.send(WSMsgType.CONTINUATION, whole[12:])
            await until(lambda: rig.instrument.book.size_at(0, 6) == 2, "the level")

            assert rig.intake.raws[-1][2] == whole

    asyncio.run(play())


def test_a_bomb_costs_the_connection_and_not_the_recorder() -> None:
    async def play() -> None:
        async with recording(max_message_bytes=10_000) as rig:
            rig.server.sockets[0].send(WSMsgType.TEXT, b"[" * 20_000)
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            assert len(rig.intake.raws) == 2
            assert len(rig.notes(GapSeen)) == 1

    asyncio.run(play())


@pytest.mark.parametrize("n_bytes", [20_000, 40 << 20], ids=["read", "never-read"])
def test_a_bomb_is_counted_and_named(n_bytes: int) -> None:
    async def play() -> None:
        async with recording(max_message_bytes=10_000) as rig:
            rig.server.sockets[0].send(WSMsgType.TEXT, b"[" * n_bytes)
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            (bomb,) = rig.notes(Quarantined)
            (gap,) = rig.notes(GapSeen)
            counters = rig.intake.counters.of("tiny")
            assert (bomb.frame_index, bomb.reason) == (-1, "message above 10000 bytes")
            assert gap.reason == bomb.reason
            assert counters.refused == counters.closed == {bomb.reason: 1}

    asyncio.run(play())


def test_a_message_in_too_many_pieces_costs_the_connection() -> None:
    async def play() -> None:
        async with recording(max_message_bytes=10_000) as rig:
            for i in range(3):
                kind = WSMsgType.CONTINUATION if i else WSMsgType.TEXT
                rig.server.sockets[0].send(kind, b"[" * 6_000, fin=False)
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            assert "message above 10000 bytes" in rig.intake.counters.of("tiny").closed

    asyncio.run(play())


def test_a_full_socket_does_not_hold_up_the_event_loop() -> None:
    async def play() -> None:
        async with recording() as rig:
            flood = [b'["level", "a", 0, %d, %d]' % (1 + i % 4, 1 + i) for i in range(5_000)]
            for message in flood:
                rig.server.sockets[0].send(WSMsgType.TEXT, message)
            seen = [len(rig.intake.raws)]
            while len(rig.intake.raws) <= len(flood):
                await asyncio.sleep(0)
                seen.append(len(rig.intake.raws))

            a_turn = max(after - before for before, after in itertools.pairwise(seen))
            assert 0 < a_turn <= 2 * connection_module._TAKE  # what was left, and then what the socket brought
            assert [raw[2] for raw in rig.intake.raws[1:]] == flood

    asyncio.run(play())


@pytest.mark.parametrize("ends", ["politely", "abruptly"])
def test_messages_that_were_left_to_a_later_turn_are_not_lost_with_the_socket(ends: str) -> None:
    async def play() -> None:
        async with recording() as rig:
            old = rig.server.sockets[0]
            flood = [b'["level", "a", 0, 1, %d]' % (1 + i) for i in range(3 * connection_module._TAKE)]
            for message in flood:
                old.send(WSMsgType.TEXT, message)
            if ends == "politely":
                old.send_close()
            old.disconnect(graceful=True)
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            assert [raw[2] for raw in rig.intake.raws if raw[0] == 0][1:] == flood
            (gap,) = rig.notes(GapSeen)
            assert gap.start_ns == [raw[1] for raw in rig.intake.raws if raw[0] == 0][-1]

    asyncio.run(play())


def test_silence_ends_a_connection_although_pongs_come() -> None:
    async def play() -> None:
        async with recording(silence_s=0.3) as rig:
            for _ in range(8):
                rig.server.send("ack", socket=0)
                await asyncio.sleep(0.05)
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            (gap,) = rig.notes(GapSeen)
            assert gap.reason == "no data for 0.3 s"
            first_book, second_book = (event for event in rig.intake.events if event[0] == BOOK)
            # Acknowledgements prove nothing: the gap begins with the last data.
            assert (gap.start_ns, gap.end_ns) == (first_book[3], second_book[3])

    asyncio.run(play())


def test_an_abrupt_end_is_a_gap_until_the_next_snapshot() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.server.send("level", "a", 0, 6, 2)
            await until(lambda: LEVEL in rig.kinds(), "the level")
            rig.server.sockets[0].underlying_transport.abort()
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            assert rig.kinds() == [BOOK, LEVEL, LOST, BOOK]
            (gap,) = rig.notes(GapSeen)
            assert (gap.start_ns, gap.end_ns) == (rig.intake.events[1][3], rig.intake.events[3][3])
            (end,) = rig.notes(Disconnected)
            assert not end.planned
            assert rig.instrument.book.top(0, 9) == [(5, 1)]

    asyncio.run(play())


def test_a_planned_reconnect_leaves_no_gap_and_counts_nothing_twice() -> None:
    async def play() -> None:
        async with recording(life_s=0.2) as rig:
            rig.venue.life_s = 0.0
            await until(lambda: len(rig.server.sockets) == 2, "the next connection")
            rig.server.send("level", "a", 0, 6, 2, socket=0)
            rig.server.send("level", "a", 0, 6, 2, socket=1)
            await until(lambda: rig.notes(Disconnected), "the old connection's end")
            rig.server.send("level", "a", 0, 8, 3, socket=1)
            await until(lambda: rig.instrument.book.size_at(0, 8) == 3, "the new one's level")

            assert rig.notes(GapSeen) == []
            assert rig.notes(Disconnected)[0].planned
            assert [event[1] for event in rig.intake.events if event[0] == LEVEL and event[7] == 8] == [1]
            owners = [event[1] for event in rig.intake.events]
            assert owners == sorted(owners)
            rig.stream.plan = replace(rig.stream.plan, life_s=0.0)

    asyncio.run(play())


def test_other_instruments_are_heard_before_the_old_connection_goes() -> None:
    async def play() -> None:
        async with recording() as rig:
            other = Instrument("tiny", "b", "m2", UP, "BTC")
            rig.intake.add_instrument(other)
            rig.server.greeting = [BOOK_A, ["book", "b", [[1, 1]], [[2, 2]]]]
            rig.stream.change(rig.venue.plan([rig.instrument, other])[0])
            await until(lambda: other.book.is_valid and rig.notes(Disconnected), "both books on the new connection")

            assert rig.notes(GapSeen) == []
            assert rig.instrument.owner == other.owner == 1
            assert json.loads(rig.server.received[-1]) == ["want", ["a", "b"]]

    asyncio.run(play())


def test_a_book_that_goes_on_disagreeing_with_the_venue_is_lost_and_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "GRACE_NS", NS_PER_S // 10)

    async def play() -> None:
        async with recording() as rig:
            rig.server.send("top", "a", 5, 7)
            rig.server.send("top", "a", 6, 7)
            await asyncio.sleep(0.15)
            assert rig.asked == []  # one disagreement may be the venue's order of telling
            rig.server.send("top", "a", 6, 7)
            await until(lambda: rig.asked, "the question")

            assert rig.asked == ["a"]
            assert not rig.instrument.book.is_valid
            gap = rig.intake.gaps[rig.instrument.number]
            assert (gap.reason, gap.start_ns) == (DISAGREES, rig.intake.raws[1][1])  # from the last agreement on
            assert rig.stream.connection is not None
            rig.stream.connection.snapshot(rig.instrument, b"[[[6, 1]], [[7, 1]]]")
            assert rig.instrument.book.top(0, 1) == [(6, 1)]
            assert rig.intake.raws[-1][2] == b"[[[6, 1]], [[7, 1]]]"
            assert len(rig.notes(GapSeen)) == 1
            (fetched,) = rig.notes(Fetched)
            assert (fetched.frame_index, fetched.ins) == (len(rig.intake.raws) - 1, rig.instrument.number)

    asyncio.run(play())


def test_a_level_that_comes_a_little_after_its_best_price_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "GRACE_NS", NS_PER_S // 10)

    async def play() -> None:
        async with recording() as rig:
            rig.server.send("top", "a", 6, 7)
            rig.server.send("level", "a", 0, 6, 1)
            rig.server.send("top", "a", 6, 7)
            await asyncio.sleep(0.15)
            rig.server.send("top", "a", 5, 7)
            await until(lambda: len(rig.intake.raws) == 5, "every message")

            assert rig.instrument.book.is_valid
            assert rig.asked == []

    asyncio.run(play())


def test_a_venue_that_refuses_connections_is_tried_again_with_growing_waits() -> None:
    async def play() -> None:
        async with TinyServer() as server:
            url = server.url
        intake = Intake(Clock(), Counters())
        instrument = Instrument("tiny", "a", "m", UP, "BTC")
        intake.add_instrument(instrument)
        venue = TinyVenue(url)
        backoff = Backoff(random.Random(1), base_s=0.01, cap_s=0.05)
        stream = Stream(intake, venue, venue.plan([instrument])[0], lambda connection, i: None, backoff)
        await until(lambda: backoff.failures >= 4, "four tries")
        await stream.stop()

        tries = [note for note in intake.notes if isinstance(note, Connected)]
        ends = [note for note in intake.notes if isinstance(note, Disconnected)]
        assert len(tries) >= 4
        assert {end.conn for end in ends} == {one.conn for one in tries}
        assert all(end.reason.startswith("cannot connect") for end in ends)

    asyncio.run(play())


def test_a_decoder_that_breaks_costs_its_connection_and_not_the_recorder() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.server.send("break")
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.book.is_valid, "a new connection")

            assert json.loads(rig.intake.raws[1][2]) == ["break"]  # kept, so that the decoder can be mended
            assert any(reason.startswith("decoder failed") for reason in rig.intake.counters.of("tiny").closed)
            assert len(rig.notes(GapSeen)) == 1

    asyncio.run(play())


def test_a_stop_in_the_step_in_which_a_socket_ends_is_not_swallowed() -> None:
    class Ending:
        def __init__(self) -> None:
            self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def close(self, why: str, *, planned: bool) -> None:
            """Its end comes later."""

        def abandon(self) -> None:
            """Not needed here."""

    async def play() -> None:
        connection = Ending()
        task = asyncio.create_task(finish(connection, "replaced"))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        connection.done.set_result("gone")
        await asyncio.sleep(0)  # whoever waits has been told, and has not run yet
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())

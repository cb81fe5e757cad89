"""One connection: what it sends, why it ended, and that nothing is left of one that failed to open."""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from picows import WSCloseCode

from observer.capture import connection as connection_module
from observer.capture.clock import Clock
from observer.capture.connection import USER_AGENT, Connection, finish
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.ports import Instrument, StreamPlan
from observer.records import UP
from observer.store.batch import Disconnected, Quarantined
from tests.samples.tiny_venue import TinyServer, TinyVenue, until


@dataclass
class Rig:
    """A server and what is needed to connect to it."""

    server: TinyServer
    intake: Intake
    instrument: Instrument
    made: list[Connection] = field(default_factory=list)

    def connection(self, **plan: Any) -> Connection:
        """A connection that is not open yet."""
        wanted = {"subscribe": (b'["want"]',), "url": self.server.url, **plan}
        stream = StreamPlan("all", instruments=(self.instrument,), **wanted)
        self.made.append(Connection(self.intake, TinyVenue(self.server.url), stream, lambda connection, i: None))
        return self.made[-1]

    def ends(self) -> list[Disconnected]:
        """How connections ended so far."""
        return [note for note in self.intake.notes if isinstance(note, Disconnected)]


@asynccontextmanager
async def rig_of(greeting: list[object] | None = None) -> AsyncIterator[Rig]:
    """A server that greets, and connections that are closed at the end."""
    async with TinyServer() as server:
        server.greeting = greeting or []
        intake = Intake(Clock(), Counters())
        instrument = Instrument("tiny", "a", "m", UP, "BTC")
        intake.add_instrument(instrument)
        rig = Rig(server, intake, instrument)
        yield rig
        for connection in rig.made:
            await finish(connection, "over")


def test_one_that_is_cancelled_while_it_subscribes_leaves_no_socket_open() -> None:
    async def play() -> None:
        async with rig_of() as rig:
            connection = rig.connection(subscribe=(b'["one"]', b'["two"]'), subscribe_gap_s=30.0)
            opening = asyncio.create_task(connection.open())
            await until(lambda: rig.server.received, "the first subscription")
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await until(lambda: rig.server.sockets[0].is_disconnected, "the socket's end")

            assert connection.done.done()
            assert rig.server.received == [b'["one"]']

    asyncio.run(play())


def test_one_that_is_given_up_during_the_handshake_is_closed_once_it_has_come() -> None:
    ends: list[bytes] = []

    async def play() -> None:
        given_up, asked = asyncio.Event(), asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            asked.set()
            await given_up.wait()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            with contextlib.suppress(ConnectionResetError):
                ends.append(await reader.read(1))
            ends.append(b"")
            writer.close()

        async with await asyncio.start_server(late, "127.0.0.1", 0) as server, rig_of() as rig:
            connection = rig.connection(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            opening = asyncio.create_task(connection.open())
            await asked.wait()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            given_up.set()
            await until(lambda: ends, "the socket's end")

            assert connection.done.result().startswith("cannot connect")

    asyncio.run(play())
    assert ends[0] == b""  # closed, and nothing was sent on it


def test_one_that_breaks_while_it_subscribes_leaves_no_task_behind() -> None:
    async def play() -> None:
        async with rig_of() as rig:
            before = asyncio.all_tasks()
            plan = {"subscribe": (b'["one"]', b'["two"]'), "subscribe_gap_s": 0.2, "ping": b'["ping"]'}
            opening = asyncio.create_task(rig.connection(**plan).open())
            await until(lambda: rig.server.received, "the first subscription")
            rig.server.sockets[0].disconnect(graceful=False)
            await opening
            await asyncio.sleep(0.05)

            assert asyncio.all_tasks() == before

    asyncio.run(play())


def test_one_that_the_venue_drops_before_the_handshake_is_over_has_failed() -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def play() -> None:
        async with await asyncio.start_server(slam, "127.0.0.1", 0) as server, rig_of() as rig:
            connection = rig.connection(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            with pytest.raises(ConnectionResetError):
                await connection.open()

            assert connection.done.result().endswith("before the handshake was over")
            assert [end.reason for end in rig.ends()] == [connection.done.result()]

    asyncio.run(play())


def test_a_host_that_takes_no_connection_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CONNECT_S", 0.3)

    async def play() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = [socket.socket() for _ in range(4)]  # more than it keeps: the next one's first packet is dropped
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            async with rig_of() as rig:
                connection = rig.connection(url=f"ws://127.0.0.1:{full.getsockname()[1]}/")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(connection.open(), 5)

                assert connection.done.result() == "cannot connect: TimeoutError"
            for one in waiting:
                one.close()

    asyncio.run(play())


def test_the_machines_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    real = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    connection_module._tls.cache_clear()

    async def play() -> None:
        async with rig_of() as rig:
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await rig.connection(url="wss://127.0.0.1:1/").open()

    asyncio.run(play())
    assert len(made) == 1


def test_a_refusal_says_how_long_it_asks_us_to_wait() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def play() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server, rig_of() as rig:
            connection = rig.connection(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            with pytest.raises(connection_module.WSError):
                await connection.open()

            assert connection.asked_s == 77.0
            assert "429" in connection.done.result()

    asyncio.run(play())


def test_a_book_by_rest_that_the_decoder_breaks_on_costs_the_connection_and_is_kept() -> None:
    async def play() -> None:
        async with rig_of() as rig:
            connection = rig.connection()
            await connection.open()
            connection.snapshot(rig.instrument, b"no book at all")
            await until(connection.done.done, "its end")

            assert connection.done.result().startswith("decoder failed")
            assert rig.intake.raws[-1][2] == b"no book at all"
            connection.snapshot(rig.instrument, b"[[], []]")
            assert rig.intake.raws[-1][2] == b"no book at all"  # an ended connection takes no answer

    asyncio.run(play())


def test_what_is_sent_comes_in_order_with_the_venues_headers_and_its_pings() -> None:
    heads: list[bytes] = []

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def play() -> None:
        async with await asyncio.start_server(slam, "127.0.0.1", 0) as server, rig_of() as rig:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionResetError):
                await rig.connection(url=f"ws://127.0.0.1:{port}/", headers=lambda: {"X-Key": "signed"}).open()
            assert b"X-Key: signed\r\n" in heads[0]
            assert f"User-Agent: {USER_AGENT}\r\n".encode() in heads[0]

            frames = (b'["one"]', b'["two"]')
            await rig.connection(subscribe=frames, ping=b'["ping"]', ping_every_s=0.02).open()
            await until(lambda: len(rig.server.received) >= 4, "two pings")
            assert rig.server.received[:4] == [*frames, b'["ping"]', b'["ping"]']

    asyncio.run(play())


def test_subscriptions_that_a_venue_counts_are_spaced() -> None:
    async def play() -> None:
        async with rig_of() as rig:
            began = asyncio.get_running_loop().time()
            await rig.connection(subscribe=(b'["one"]', b'["two"]', b'["three"]'), subscribe_gap_s=0.1).open()

            assert asyncio.get_running_loop().time() - began >= 0.2

    asyncio.run(play())


def test_the_venues_own_words_at_the_end_are_the_reason() -> None:
    async def play() -> None:
        async with rig_of([["book", "a", [[5, 1]], [[7, 1]]]]) as rig:
            connection = rig.connection()
            await connection.open()
            await until(lambda: rig.instrument.book.is_valid, "the book")
            rig.server.sockets[0].send_close(WSCloseCode.SERVICE_RESTART, b"service restart")
            await until(connection.done.done, "its end")

            assert connection.done.result() == "closed by the venue: 1012 service restart"
            assert [(end.reason, end.planned) for end in rig.ends()] == [(connection.done.result(), False)]

    asyncio.run(play())


def test_a_book_that_never_came_is_a_gap_too_when_its_connection_ends() -> None:
    async def play() -> None:
        async with rig_of() as rig:
            connection = rig.connection()
            await connection.open()
            rig.server.sockets[0].disconnect(graceful=False)
            await until(connection.done.done, "its end")

            assert rig.intake.gaps[rig.instrument.number].reason == "connection lost"

    asyncio.run(play())


def test_a_refused_message_points_at_its_own_frame_and_acknowledgements_prove_nothing() -> None:
    async def play() -> None:
        async with rig_of() as rig:
            connection = rig.connection()
            await connection.open()
            rig.server.send("ack")
            await until(lambda: rig.intake.raws, "the acknowledgement")
            assert not connection.heard.is_set()
            rig.server.send("bad")
            await until(connection.heard.is_set, "data")

            (bad,) = (note for note in rig.intake.notes if isinstance(note, Quarantined))
            assert json.loads(rig.intake.raws[bad.frame_index][2]) == ["bad"]

    asyncio.run(play())


def test_a_socket_that_does_not_close_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_CLOSE_S", 0.05)

    class Stuck:
        is_disconnected, is_close_frame_sent = False, True

        def disconnect(self, *, graceful: bool) -> None:
            """Nothing comes of it."""

    async def play() -> None:
        async with rig_of() as rig:
            connection = rig.connection()
            connection._transport = Stuck()  # type: ignore[assignment]
            await finish(connection, "replaced")

            assert connection.done.result() == "replaced"
            assert [end.planned for end in rig.ends()] == [True]

    asyncio.run(play())

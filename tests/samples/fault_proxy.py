"""A TCP proxy on loopback that breaks connections on purpose: resets, lost answers, silence, flipped bits.

    with FaultProxy(server_port) as proxy:
        proxy.set("reset", after=100_000)       # to the client's http://127.0.0.1:{proxy.port}
        ...
        proxy.set("none")

It knows nothing of what passes, so it works under TLS too. Because S3 clients send `Expect: 100-continue`, cutting the
first byte of an answer keeps the body from being sent at all; `lose` therefore lets answers pass until the client has
sent more than a request's head (and, under TLS, a handshake), and cuts the next one.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["none", "refuse", "reset", "lose", "blackhole", "latency", "corrupt"]
HEAD_BYTES = 4_000  # no head of a request with its handshake is longer
_LINGER_0 = struct.pack("ii", 1, 0)
_METHODS = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")


@dataclass(eq=False)
class Fault:
    """What is done to connections now; `times` how often still, -1 without end."""

    kind: Kind = "none"
    after: int = 0
    delay_s: float = 0.0
    times: int = -1


class FaultProxy:
    """Forwards connections to a port of loopback, as faulty as it is told.

    Attributes:
        port: where it listens.
        upstream: the port it forwards to; may be changed for new connections.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream, self.port = upstream, 0
        self._fault = Fault()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._fault = Fault()  # wakes what a blackhole holds
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, kind: Kind, *, after: int = 0, delay_s: float = 0.0, times: int = -1) -> Fault:
        """Change the fault, for open connections too; `refuse` cuts those.

        Args:
            kind: what to do.
            after: `reset`, `lose`: bytes of the client's that pass first, counted anew on each connection.
            delay_s: `latency`: before each piece in either direction.
            times: `reset`, `lose` and `corrupt`: how often, then all is well again.
        """
        self._fault = Fault(kind, after, delay_s, times)
        self._do(self._close() if kind == "refuse" else self._listen())
        return self._fault

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            _reset(writer)
        while self._open:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            _reset(writer)
            return
        both = {writer, up_writer}
        self._open |= both
        sent = _Sent(self._fault)
        pumps = [
            asyncio.ensure_future(self._pump(reader, up_writer, sent, is_up=True)),
            asyncio.ensure_future(self._pump(up_reader, writer, sent, is_up=False)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        self._open -= both
        for one in both:
            _reset(one)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: "_Sent", *, is_up: bool
    ) -> None:
        """Carry bytes one way until either side ends or a fault cuts them."""
        try:
            while data := await reader.read(1 << 16):
                fault = self._fault
                if sent.fault is not fault:
                    sent.fault, sent.bytes = fault, 0
                if fault.kind == "blackhole":
                    while fault is self._fault:
                        await asyncio.sleep(0.02)
                    return
                if fault.kind == "latency":
                    await asyncio.sleep(fault.delay_s)
                room = fault.after - sent.bytes
                sent.bytes += len(data) if is_up else 0
                is_hit = sent.bytes > fault.after and fault.times != 0
                if is_hit and fault.kind == ("reset" if is_up else "lose"):
                    fault.times -= 1
                    writer.write(data[: max(0, room)] if is_up else b"")
                    await writer.drain()
                    return
                if fault.kind == "corrupt" and is_up and fault.times:
                    data, is_changed = _corrupted(data)
                    fault.times -= is_changed
                writer.write(data)
                await writer.drain()
        except OSError:
            return


@dataclass(eq=False)
class _Sent:
    """What a connection's client has sent under one fault."""

    fault: Fault
    bytes: int = 0


def _corrupted(data: bytes) -> tuple[bytes, bool]:
    """The same with one bit of its body flipped; a piece that is all head stays."""
    start = data.find(b"\r\n\r\n") + 4 if data.startswith(_METHODS) else 0
    if start >= len(data):
        return data, False
    at = (start + len(data)) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cut a connection with RST, not FIN."""
    if writer.transport.is_closing():
        return
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    writer.transport.abort()

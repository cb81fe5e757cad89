"""One WebSocket, seen from the server: frames go out through its faults, pings are answered by hand.

Frames are written straight to the transport, already in WebSocket form, so that their order and number are exactly
what a fault says, and a frame that many connections get is encoded once.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Protocol

from aiohttp import WSMessage, WSMsgType, web

from observer.exchange.fault import Happened
from observer.exchange.floor import Floor
from observer.exchange.trouble import Trouble

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
# A reader that lets this much pile up is treated as its venue treats a slow one.
_MOST_UNREAD_BYTES = 8 << 20
_CLOSE_WAIT_S = 1.0


class Session(Protocol):
    """What a venue does on one connection."""

    @property
    def keys(self) -> set[str]:
        """What the connection is subscribed to, by the venue's own ids."""
        ...

    def message(self, text: str) -> None:
        """The client said something."""
        ...

    def closed(self) -> None:
        """The connection is gone."""
        ...

    def surprise(self) -> bytes:
        """A data frame of a type that nobody has documented."""
        ...

    def huge(self, levels: int) -> None:
        """Make a book far deeper than usual, and send it."""
        ...

    def slow(self) -> None:
        """The client reads too slowly: do what the venue does."""
        ...

    def cut(self) -> None:
        """The connection has lived for as long as the venue lets it."""
        ...


class Outlet(Protocol):
    """Where a session's frames go: a connection, or something that keeps them."""

    number: int

    def wants(self, keys: Iterable[str]) -> bool:
        """False while data is withheld."""
        ...

    def data(self, payload: bytes, keys: Iterable[str] = ()) -> None:
        """Send a data frame."""
        ...

    def control(self, payload: bytes) -> None:
        """Send an acknowledgement, heartbeat or error."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """End the connection."""
        ...


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked, final WebSocket frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


class Peer:
    """One connection.

    Attributes:
        number: unique; what `GET /control/connections` calls it.
        venue, stream: "polymarket" and "market", as in the address.
        session: what the venue does on it.
        n_data: data frames that were to be sent so far, lost ones included.
        troubles: faults that act on this connection.
    """

    def __init__(self, floor: Floor, venue: str, stream: str, request: web.Request, ws: web.WebSocketResponse) -> None:
        assert request.transport is not None
        self.floor, self.venue, self.stream = floor, venue, stream
        self.number = floor.next_number()
        self.opened_ns = floor.agenda.now_ns
        self.session: Session | None = None
        self.n_data = 0
        self.troubles: list[Trouble] = []
        self.is_half_open = False
        self.losses: list[Happened] = []  # entries that end with the next frame that arrives
        self._transport, self._ws = request.transport, ws
        self._tasks: list[asyncio.Task[None]] = []
        self._pong_due = False
        self._is_slow, self._most_unread_bytes = False, _MOST_UNREAD_BYTES
        self._is_closing = False

    def matches(self, venue: str, stream: str, conn: int) -> bool:
        """Whether a selector names this connection."""
        return venue in ("", self.venue) and stream in ("", self.stream) and conn in (0, self.number)

    def wants(self, keys: Iterable[str]) -> bool:
        """False while a fault withholds data. Ask before a frame gets its sequence number."""
        return not any(trouble.withholds(self, keys) for trouble in self.troubles)

    def data(self, payload: bytes, keys: Iterable[str] = ()) -> None:
        """Send a data frame, unless a fault makes something else of it."""
        self.n_data += 1
        frames = [payload]
        for trouble in list(self.troubles):
            frames = [out for part in frames for out in trouble.frame(self, part, keys)]
        for part in frames:
            self._write(_TEXT, part)
        if frames and self.losses:
            self._recovered(keys)

    def control(self, payload: bytes) -> None:
        """Send an acknowledgement, heartbeat or error; a frozen connection still sends these."""
        self._write(_TEXT, payload)

    def raw(self, payload: bytes) -> None:
        """Send a text frame past all faults but half-openness; for what faults put in.

        A bomb says nothing about its reader, so its bytes do not count against it.
        """
        self._most_unread_bytes += len(payload)
        self._write(_TEXT, payload)

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closing or self._transport.is_closing()

    @property
    def unread_bytes(self) -> int:
        """What was sent and has not left this process."""
        return self._transport.get_write_buffer_size()

    def send_made(self, frames: bytes, n: int) -> None:
        """Send `n` data frames that are in WebSocket form already, past all faults."""
        self.n_data += n
        if not self.is_gone and not self.is_half_open:
            self._transport.write(frames)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; the socket goes when the client answers, or a second later."""
        if not self._is_closing:
            self._write(_CLOSE, struct.pack("!H", code) + reason.encode()[:120])
            self._is_closing = True
            asyncio.get_running_loop().call_later(_CLOSE_WAIT_S, self._transport.close)

    def abort(self) -> None:
        """Reset the connection: no close frame, no FIN."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._is_closing = True
        self._transport.abort()

    def ping_every(self, every_s: float, body: bytes, pong_within_s: float) -> None:
        """Send ping frames, in real time, and drop a client that does not answer one in time."""
        self._tasks.append(asyncio.create_task(self._ping(every_s, body, pong_within_s)))

    def after_s(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call `act` after so many real seconds, unless the connection is gone by then."""
        self._tasks.append(asyncio.create_task(self._later(delay_s, act)))

    async def serve(self, session: Session) -> None:
        """Hand the client's messages to the session until the connection ends."""
        self.session = session
        self.floor.peers[self.number] = self
        self.floor.faults.peer_opened(self)
        try:
            while not self._transport.is_closing():
                if self.is_half_open:
                    await asyncio.sleep(0.02)  # what the client says is not heard
                elif not self._heard(await self._ws.receive(), session):
                    break
        finally:
            for task in self._tasks:
                task.cancel()
            self.floor.peers.pop(self.number, None)
            session.closed()
            self.floor.faults.peer_closed(self)
            self._transport.close()

    def _heard(self, message: WSMessage, session: Session) -> bool:
        kind, payload = message.type, message.data
        if self.is_half_open:
            return True
        if kind is WSMsgType.TEXT:
            self.floor.catch_up()
            session.message(payload)
        elif kind is WSMsgType.PING:
            self._write(_PONG, bytes(payload))
        elif kind is WSMsgType.PONG:
            self._pong_due = False
        elif kind is WSMsgType.CLOSE:
            self.close(payload or 1000)
            return False
        elif kind is not WSMsgType.BINARY:
            return False
        return True

    def _write(self, opcode: int, payload: bytes) -> None:
        if self.is_half_open or self.is_gone:
            return
        self._transport.write(frame(opcode, payload))
        if not self._is_slow and self.unread_bytes > self._most_unread_bytes:
            self._is_slow = True
            self.floor.faults.note("slow", self)
            assert self.session is not None
            self.session.slow()

    def _recovered(self, keys: Iterable[str]) -> None:
        heard, now_ns = set(keys), self.floor.agenda.now_ns
        for entry in self.losses:
            if not entry.keys or heard & entry.keys:
                entry.end_ns = now_ns
        self.losses = [entry for entry in self.losses if entry.end_ns is None]

    async def _ping(self, every_s: float, body: bytes, pong_within_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self._pong_due = True
            self._write(_PING, body)
            asyncio.get_running_loop().call_later(pong_within_s, self._check_pong)

    def _check_pong(self) -> None:
        if self._pong_due and not self._transport.is_closing():
            self.close(1008, "pong timeout")

    @staticmethod
    async def _later(delay_s: float, act: Callable[[], None]) -> None:
        await asyncio.sleep(delay_s)
        act()

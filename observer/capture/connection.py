"""One socket: opened, subscribed, kept alive, judged by its data, and closed with a reason.

A pong proves that a machine answers, not that a market does: a socket without data for longer than its plan allows
is closed, whatever its pongs say.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import cache

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)

from observer.capture.intake import Intake
from observer.capture.line import LiveLine
from observer.kit import log
from observer.kit.clock import NS_PER_S
from observer.ports import Decoder, Instrument, StreamPlan, Venue
from observer.rest import retry_after_s

USER_AGENT = "mlx-rl-observer/1 (market data recorder)"
CONNECT_S = 10.0  # name, TCP, TLS and handshake together; a host that drops packets would else take minutes
_LOG = log.get("connection")
_CLOSE_S = 2.0
LOST = "connection lost"
# A full socket is emptied before any timer runs, so it may hand over this many messages (5 ms) per turn of the loop.
_TAKE = 500
_TEXT, _BINARY, _CONTINUATION, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE

Fetch = Callable[["Connection", Instrument], None]


class Connection(WSListener):
    """One socket of a plan. `await open()`, then `await done` for the reason it ended.

    Args:
        intake: where its frames go.
        venue: whose protocol it speaks.
        plan: what it carries.
        fetch: asks for a book by REST on this connection's behalf.

    Attributes:
        heard: set with the first data.
        done: the reason it ended, once it has.
        asked_s: how long a venue that refused the handshake asked us to wait; 0 where it did not say.
    """

    def __init__(self, intake: Intake, venue: Venue, plan: StreamPlan, fetch: Fetch) -> None:
        self.plan, self._intake, self._venue = plan, intake, venue
        self.number = intake.add_connection(venue.name, plan.name, plan.url, plan.instruments)
        self.line = LiveLine(
            intake, venue.name, self.number,
            send=self.send, fetch=lambda instrument: fetch(self, instrument), reopen=self.close,
        )  # fmt: skip
        self.decoder: Decoder = venue.decoder(plan, self.line)
        self._receive, self._read = self.line.receive, self.decoder.message
        self.heard = asyncio.Event()
        self._is_heard = False
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked_s = 0.0
        self._transport: WSTransport | None = None
        self._most_bytes = plan.max_message_bytes
        self._too_long = f"message above {plan.max_message_bytes} bytes"
        self._parts: list[bytes] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._last_words: asyncio.Task[None] | None = None
        self._n_taken = 0  # in this turn of the event loop
        self._left: deque[bytes] = deque()
        self._reason = ""
        self._planned = False

    async def open(self) -> None:
        """Connect and subscribe; raises `OSError` or `WSError` where that fails."""
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await ws_connect(
                    lambda: self,
                    self.plan.url,
                    ssl_context=_tls() if self.plan.url.startswith("wss:") else None,
                    websocket_handshake_timeout=CONNECT_S,
                    max_frame_size=self.plan.max_message_bytes,
                    extra_headers={"User-Agent": USER_AGENT, **self.plan.headers()},
                    logger_name="observer",
                )
            if self._transport is None:  # picows takes a socket that is closed before the answer for a good one
                raise ConnectionResetError("closed by the venue before the handshake was over")
            self._last_words = asyncio.create_task(self._hear_last_words(transport))
            for i, frame in enumerate(self.plan.subscribe):
                if i and self.plan.subscribe_gap_s:
                    await asyncio.sleep(self.plan.subscribe_gap_s)
                self.send(frame)
        except BaseException as error:
            if self._transport is not None:
                self._transport.disconnect(graceful=False)
            if isinstance(error, WSHandshakeError) and error.response is not None:
                self.asked_s = retry_after_s(error.response.headers, time.time())
            self._end(f"cannot connect: {str(error) or type(error).__name__}")
            raise
        if self.done.done():  # it broke while it subscribed
            return
        self._tasks = [asyncio.create_task(self._watch())]
        if self.plan.ping is not None:
            self._tasks.append(asyncio.create_task(self._ping(self.plan.ping)))

    def send(self, payload: bytes) -> None:
        """Send a text frame; nothing once the socket is gone."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(_TEXT, payload)

    def close(self, reason: str, *, planned: bool = False) -> None:
        """Close the socket for a reason, which becomes a note and, for books that nobody else feeds, a gap."""
        if not self._reason:
            self._reason, self._planned = reason, planned
        if self._transport is None or self._transport.is_disconnected:
            self._end(reason)
            return
        if not self._transport.is_close_frame_sent:
            self._transport.send_close()
        self._transport.disconnect(graceful=False)

    def abandon(self) -> None:
        """Stop waiting for a socket that does not close."""
        self._end(self._reason)

    @property
    def carries_all(self) -> bool:
        """Whether every instrument of the plan is fed by this connection or a later one."""
        return all(instrument.owner >= self.number for instrument in self.plan.instruments)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done (called by picows): before any frame, and perhaps when nobody waits for it any more."""
        self._transport = transport
        if self.done.done():
            transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Put messages together and read them (called by picows)."""
        kind = frame.msg_type
        is_whole = frame.fin and not self._parts and frame.payload_size <= self._most_bytes
        if kind is _TEXT and is_whole:  # nearly all of them
            payload = frame.get_payload_as_bytes()
        elif kind is _TEXT or kind is _BINARY or kind is _CONTINUATION:
            payload = self._joined(frame)
        else:
            payload = None
            if kind is _CLOSE:
                self._closed_by_venue(frame)
        if payload is None:
            return
        if self._n_taken < _TAKE:
            self._n_taken += 1
            self._take(payload)
        else:
            self._leave(payload, transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is gone (called by picows); what it had brought before still counts."""
        while self._left:
            self._take(self._left.popleft())
        if self._reason or self._last_words is None:
            self._end(self._reason or LOST)

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Hand over a REST answer, kept raw like a message."""
        if self.done.done():
            return
        try:
            self.line.fetched(instrument, payload, self.decoder.snapshot)
        except Exception as error:  # noqa: BLE001 - as for a message
            self._decoder_failed(error)

    def _joined(self, frame: WSFrame) -> bytes | None:
        """A message that came in parts, with its last part; None before that, and where it grows too long."""
        if sum(map(len, self._parts)) + frame.payload_size > self._most_bytes:
            self.line.unread(self._too_long)
            self.close(self._too_long)
            return None
        self._parts.append(frame.get_payload_as_bytes())
        if not frame.fin:
            return None
        payload = b"".join(self._parts)
        self._parts.clear()
        return payload

    def _closed_by_venue(self, frame: WSFrame) -> None:
        code = frame.get_close_code()
        text = (frame.get_close_message() or b"")[:80].decode(errors="replace")
        self.close(f"closed by the venue: {getattr(code, 'value', code)} {text}".strip())

    def _take(self, payload: bytes) -> None:
        try:
            is_data = self._receive(payload, self._read)
        except Exception as error:  # noqa: BLE001 - a decoder that breaks costs its connection, not the recorder
            self._decoder_failed(error)
            return
        if is_data and not self._is_heard:
            self._is_heard = True
            self.heard.set()

    def _leave(self, payload: bytes, transport: WSTransport) -> None:
        """Leave a message to a later turn of the event loop, and the socket alone until then."""
        if not self._left:
            transport.underlying_transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_left, transport)
        self._left.append(payload)

    def _take_left(self, transport: WSTransport) -> None:
        """One turn's worth of what was left; the socket is read on when nothing is."""
        self._n_taken = min(len(self._left), _TAKE)
        take, left = self._take, self._left
        for _ in range(self._n_taken):
            if not left:  # a decoder that broke has left nothing
                break
            take(left.popleft())
        if self._left:
            asyncio.get_running_loop().call_soon(self._take_left, transport)
        elif not transport.is_disconnected:
            transport.underlying_transport.resume_reading()

    def _decoder_failed(self, error: Exception) -> None:
        _LOG.exception("%s %s: decoder failed", self._venue.name, self.plan.name)
        self._left.clear()
        self.close(f"decoder failed: {error!r}"[:200])

    async def _hear_last_words(self, transport: WSTransport) -> None:
        """Wait until the socket is gone; say what it broke of (a frame too long, bytes that are no frame)."""
        try:
            await transport.wait_disconnected()
        except WSError as error:
            _LOG.warning("%s %s: %s", self._venue.name, self.plan.name, error)
            if not self._reason:
                is_long = isinstance(error, WSProtocolError) and error.code == WSCloseCode.MESSAGE_TOO_BIG
                self._reason = self._too_long if is_long else str(error).partition(",")[0][:80]  # the rest is numbers
                self.line.unread(self._reason)
        self._end(self._reason or LOST)

    async def _watch(self) -> None:
        """Close a socket that stays silent."""
        clock, limit_ns = self._intake.clock, int(self.plan.silence_s * NS_PER_S)
        while True:
            quiet_ns = clock.now_ns() - self.line.last_data_ns
            if quiet_ns >= limit_ns:
                self.close(f"no data for {self.plan.silence_s:g} s")
                return
            await clock.sleep(max(0.05, (limit_ns - quiet_ns) / NS_PER_S))

    async def _ping(self, ping: bytes) -> None:
        while True:
            await self._intake.clock.sleep(self.plan.ping_every_s)
            self.send(ping)

    def _end(self, reason: str) -> None:
        """Once: books that only this connection fed are lost, and the reason is noted."""
        if self.done.done():
            return
        for task in self._tasks:
            task.cancel()
        for instrument in self.plan.instruments:
            is_mine = instrument.owner == self.number or instrument.owner < 0
            if is_mine:
                self._intake.open_gap(instrument, self.line.last_data_ns, reason)
        self._intake.drop_connection(self.number, reason, planned=self._planned)
        self.done.set_result(reason)


ConnectError: tuple[type[BaseException], ...] = (OSError, WSError, asyncio.TimeoutError)


@cache
def _tls() -> ssl.SSLContext:
    """One for all connections: reading the machine's certificates takes longer than a tick may be late."""
    return ssl.create_default_context()


async def finish(connection: Connection, why: str) -> None:
    """Close a connection that is no longer needed and wait until it is gone."""
    connection.close(why, planned=True)
    # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes in the step in which the socket ends.
    await asyncio.wait({connection.done}, timeout=_CLOSE_S)
    if not connection.done.done():
        connection.abandon()

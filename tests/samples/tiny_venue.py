"""A venue with the smallest protocol that has snapshots, changes and trades, and a socket server that speaks it.

Messages are JSON lists: ["book", key, bids, asks], ["level", key, side, price, size], ["trade", key, id],
["top", key, bid, ask], ["price", key, price], ["hole", key], ["bad"], ["ack"]; numbers are plain integers.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from observer.ports import Decoder, Ended, Instrument, Line, Listing, Rest, RestError, Selection, StreamPlan
from observer.records import BUY, UNKNOWN_NS


class TinyDecoder:
    """Reads the messages above."""

    def __init__(self, plan: StreamPlan, line: Line) -> None:
        self._line = line
        self._by_key = {instrument.key: instrument for instrument in plan.instruments}

    def message(self, payload: bytes) -> bool:
        """Read one message."""
        kind, *rest = json.loads(payload)
        if kind == "bad":
            self._line.refuse("bad number")
            return True
        if kind == "ack":
            return False
        if kind == "break":
            raise ZeroDivisionError("a decoder's own mistake")
        if rest[0] not in self._by_key:
            return False
        instrument = self._by_key[rest[0]]
        if kind == "book":
            self._line.book(instrument, [tuple(x) for x in rest[1]], [tuple(x) for x in rest[2]], UNKNOWN_NS)
        elif kind == "level":
            self._line.level(instrument, *rest[1:], UNKNOWN_NS)
        elif kind == "trade":
            self._line.trade(instrument, BUY, 5, 1, UNKNOWN_NS, rest[1])
        elif kind == "top":
            self._line.top(instrument, *rest[1:])
        elif kind == "price":
            self._line.price(instrument, rest[1], UNKNOWN_NS)
        elif kind == "hole":
            self._line.lost(instrument, "hole in the sequence")
        return True

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read a book fetched by REST: [bids, asks]."""
        bids, asks = json.loads(payload)
        self._line.book(instrument, [tuple(x) for x in bids], [tuple(x) for x in asks], UNKNOWN_NS)


@dataclass
class TinyVenue:
    """The venue; tests fill `listings` and `books`, and read `fetched`."""

    url: str
    name: str = "tiny"
    silence_s: float = 30.0
    life_s: float = 0.0
    max_message_bytes: int = 1 << 20
    listings: list[Listing] = field(default_factory=list)
    books: dict[str, bytes] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """What the test listed."""
        return self.listings

    def feeds(self, selection: Selection) -> list[Instrument]:
        """None."""
        return []

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One stream for everything."""
        if not instruments:
            return []
        return [
            StreamPlan(
                "all", self.url, tuple(instruments), (json.dumps(["want", [i.key for i in instruments]]).encode(),),
                silence_s=self.silence_s, life_s=self.life_s, max_message_bytes=self.max_message_bytes,
            )
        ]  # fmt: skip

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A fresh one."""
        return TinyDecoder(plan, line)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book the test put there."""
        self.fetched.append(instrument.key)
        if instrument.key not in self.books:
            raise RestError("HTTP 404", 404)
        return self.books[instrument.key]

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """The outcome the test put there."""
        return Ended(self.ends.get(listing.market.market_id), source="tiny")


class TinyServer:
    """Accepts sockets and lets the test send on them; each new socket first gets what `greeting` holds."""

    def __init__(self) -> None:
        self.sockets: list[WSTransport] = []
        self.received: list[bytes] = []
        self.greeting: list[object] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "TinyServer":
        server = self

        class Peer(WSListener):
            def on_ws_connected(self, transport: WSTransport) -> None:
                server.sockets.append(transport)

            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                if frame.msg_type is WSMsgType.TEXT:
                    server.received.append(frame.get_payload_as_bytes())
                    if len(server.received) == len(server.sockets):
                        for message in server.greeting:
                            transport.send(WSMsgType.TEXT, json.dumps(message).encode())

        def accept(request: WSUpgradeRequest) -> WSListener:
            return Peer()

        self._server = await ws_create_server(accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in self.sockets:
            socket.disconnect(graceful=False)
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def send(self, *message: object, socket: int = -1) -> None:
        """Send one message on a socket, by default the newest."""
        self.sockets[socket].send(WSMsgType.TEXT, json.dumps(message).encode())


async def until(holds: object, what: str, seconds: float = 5.0) -> None:
    """Wait until `holds()` is true."""
    assert callable(holds)
    for _ in range(int(seconds / 0.005)):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"never came true: {what}")

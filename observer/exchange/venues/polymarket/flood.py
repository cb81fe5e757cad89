"""A flood: ready-made frames of many markets, sent as fast as the reader takes them.

For finding out how much a reader can take, so nothing here may be slow: every frame is made at the start by the real
market socket over a real crowd, put into WebSocket form, and sent round and round in large pieces. A round begins with
the books of all its markets, so a reader's books are right at every frame of every round. The mix of events is that of
the crowd: about fifty price changes and two books to a trade.
"""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary
from observer.exchange.markets.crowd import COARSE, Crowd
from observer.exchange.peer import Peer, frame
from observer.exchange.upgrade import accept
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.catalogue import POLITICS
from observer.exchange.venues.polymarket.listed import Event, Fees, Listed
from observer.exchange.venues.polymarket.market_socket import MarketSession, MarketSocket
from observer.exchange.wire import json_bytes, parse_json
from observer.kit.clock import NS_PER_S

FRAMES_PER_MARKET = 128  # in one round, after the first books
_MOVES_HZ = 1e6  # all of them within a millisecond or so, lest their times be in the future
_DAY_NS = 86_400 * NS_PER_S
_PIECE_BYTES = 256 << 10
_MOST_UNREAD_BYTES = 4 << 20
_TEXT = 0x1
_PACE_S = 0.01


class _Kept:
    """A connection that keeps what it is sent."""

    number = 0

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def wants(self, keys: Iterable[str]) -> bool:
        """Always."""
        return True

    def data(self, payload: bytes, keys: Iterable[str] = ()) -> None:
        """Keep it."""
        self.frames.append(frame(_TEXT, payload))

    def control(self, payload: bytes) -> None:
        """Acknowledgements are not data."""

    def close(self, code: int, reason: str = "") -> None:
        """It stays."""


class Flood:
    """Lists markets and floods whoever subscribes to them.

    Args:
        floor: whose seed and time.
        board: where the markets are listed; they carry the tag `politics`.
        markets: how many.
        rate: messages per real second of each connection; 0: as many as it takes.
    """

    def __init__(self, floor: Floor, board: Board, markets: int, rate: float) -> None:
        self.floor, self.board, self._rate = floor, board, rate
        self._frames: dict[str, list[bytes]] = {}  # by slug, the first books first
        for number in range(markets):
            event = self._event(number)
            board.add(event, is_news=False)
            self._frames[event.slug] = self._made(event.markets[0])

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection; the flood begins with its first subscription."""
        peer, ws = await accept(self.floor, "polymarket", "market", request)
        session = _FloodSession(self, peer)
        try:
            await peer.serve(session)
        finally:
            session.stop()
        return ws

    async def send(self, peer: Peer, tokens: list[str]) -> None:
        """Send rounds of the frames of these tokens' markets, until the connection ends."""
        markets = {listed.slug: listed for token in tokens if (listed := self.board.token(token)) is not None}
        queues = [self._frames[slug] for slug in markets]
        ordered = [part for parts in zip(*queues, strict=True) for part in parts]
        if not ordered:
            return
        per_piece = max(int(self._rate * _PACE_S), 1) if self._rate else 0
        pieces = list(_pieces(ordered, per_piece))
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not peer.is_gone:
            for n, piece in pieces:
                peer.send_made(piece, n)
                due += n / self._rate if self._rate else 0.0
                await asyncio.sleep(max(due - loop.time(), 0.0) if self._rate else 0.0)
                while peer.unread_bytes > _MOST_UNREAD_BYTES and not peer.is_gone:
                    await asyncio.sleep(0.0005)
                if peer.is_gone:
                    return

    def _event(self, number: int) -> Event:
        now_ns, slug = self.floor.agenda.now_ns, f"flood-{number:04d}"
        event = Event(
            20_000 + number, slug, f"Flood {number}", now_ns - 3 * _DAY_NS, now_ns - 3 * _DAY_NS, now_ns + 30 * _DAY_NS,
            (POLITICS,),
        )  # fmt: skip
        event.markets.append(
            Listed(
                60_000 + number, slug, event.title, event, ("Yes", "No"), "v1", "", Fees("politics_fees_v1", 0.04),
                now_ns + 30 * _DAY_NS, self._make,
            )
        )  # fmt: skip
        return event

    def _make(self, listed: Listed) -> Binary:
        return Binary(listed.slug, COARSE, self.floor.agenda.now_ns)

    def _made(self, listed: Listed) -> list[bytes]:
        """The market's frames, from a private floor on which it moves as usual."""
        now_ns = self.floor.agenda.now_ns
        floor, board, kept = Floor(self.floor.seed, now_ns, 1.0), Board(), _Kept()
        board.add(listed.event, is_news=False)
        socket = MarketSocket(floor, board)
        crowd = Crowd(floor, listed.market, lambda ns: 0.5, _MOVES_HZ)
        MarketSession(socket, kept).message(
            json_bytes({"type": "market", "assets_ids": listed.tokens, "custom_feature_enabled": True}).decode()
        )
        crowd.start()
        while len(kept.frames) <= FRAMES_PER_MARKET:
            floor.agenda.run_until(floor.agenda.next_ns or now_ns)
        crowd.stop()
        return kept.frames[: FRAMES_PER_MARKET + 1]


class _FloodSession:
    """One flooded connection."""

    def __init__(self, flood: Flood, peer: Peer) -> None:
        self._flood, self._peer = flood, peer
        self.keys: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def message(self, text: str) -> None:
        """PING, or a subscription; a later one starts the flood anew with all that is wanted."""
        if text == "PING":
            self._peer.control(b"PONG")
            return
        asked = parse_json(text)
        if not isinstance(asked, dict) or not isinstance(asked.get("assets_ids"), list):
            self._peer.control(b"INVALID OPERATION")
            return
        tokens = {str(token) for token in asked["assets_ids"]}
        self.keys = self.keys - tokens if asked.get("operation") == "unsubscribe" else self.keys | tokens
        self.stop()
        self._task = asyncio.create_task(self._flood.send(self._peer, sorted(self.keys)))

    def stop(self) -> None:
        """End the flood."""
        if self._task is not None:
            self._task.cancel()

    def closed(self) -> None:
        """Forget it."""
        self.stop()

    def surprise(self) -> bytes:
        """An event that nobody has documented."""
        return b'{"event_type":"market_mood","mood":"calm"}'

    def huge(self, levels: int) -> None:
        """A flood has no larger books than it was made with."""

    def slow(self) -> None:
        """A flood waits for its reader."""

    def cut(self) -> None:
        """A restart of the gateway."""
        self._peer.close(1001, "going away")


def _pieces(frames: list[bytes], per_piece: int) -> Iterable[tuple[int, bytes]]:
    """(number of frames, their bytes joined): so many frames each, or as many as fit into a piece."""
    start, size = 0, 0
    for i, part in enumerate(frames):
        size += len(part)
        if i + 1 == len(frames) or (i + 1 - start >= per_piece if per_piece else size >= _PIECE_BYTES):
            yield i + 1 - start, b"".join(frames[start : i + 1])
            start, size = i + 1, 0

"""Binance's sockets: raw and combined addresses, subscriptions, and their limits."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.peer import Peer
from observer.exchange.upgrade import accept
from observer.exchange.venues.binance.feed import Feed
from observer.exchange.venues.binance.streams import parse
from observer.exchange.wire import json_bytes, ms, parse_json
from observer.kit.clock import NS_PER_S

_DAY_NS = 86_400 * NS_PER_S
_MOST_STREAMS = 1_024
_SHUTDOWN_S = 0.5  # from the announcement to the end
_DAY_OVER = "24 h are over"


class BinanceSocket:
    """All connections of one venue.

    Args:
        floor: whose time and connections.
        venue: "binance-spot" or "binance-usdm".
        feeds: by symbol.
    """

    def __init__(self, floor: Floor, venue: str, feeds: dict[str, Feed]) -> None:
        self.floor, self.venue, self.feeds = floor, venue, feeds
        self.is_futures = venue == "binance-usdm"
        self.readers: dict[str, set[BinanceSession]] = defaultdict(set)
        # real seconds: ping, answer; client messages a second
        self._ping = (180.0, 600.0) if self.is_futures else (20.0, 60.0)
        self.most_messages = 15 if self.is_futures else 5

    def at(self, data_class: str) -> Callable[[web.Request], Any]:
        """A handler for connections at the base of one class of data."""

        async def connect(request: web.Request) -> web.StreamResponse:
            peer, ws = await accept(self.floor, self.venue, "ws", request)
            asked = request.match_info.get("name") or request.query.get("streams", "")
            session = BinanceSession(
                self, peer, data_class, [name for name in asked.split("/") if name],
                is_combined=request.path.endswith("/stream"),
                is_micro=request.query.get("timeUnit", "").upper() == "MICROSECOND",
            )  # fmt: skip
            self.floor.agenda.after(_DAY_NS, session.cut)
            peer.ping_every(self._ping[0], str(ms(self.floor.agenda.now_ns)).encode(), self._ping[1])
            await peer.serve(session)
            return ws

        return connect

    def is_read(self, name: str) -> bool:
        """Whether anybody reads a stream."""
        return name in self.readers

    def publish(self, name: str, symbol: str, message: dict[str, Any]) -> None:
        """Send a message to everyone who reads the stream."""
        readers = self.readers.get(name)
        if readers:
            raw = json_bytes(message)
            for session in sorted(readers, key=lambda session: session.peer.number):
                session.tell(name, symbol, raw, message)


class BinanceSession:
    """One connection's subscriptions."""

    def __init__(
        self, socket: BinanceSocket, peer: Peer, data_class: str, names: list[str], *,
        is_combined: bool = False, is_micro: bool = False,
    ) -> None:  # fmt: skip
        self.socket, self.peer = socket, peer
        self.keys: set[str] = set()
        self._class, self._is_combined, self._is_micro = data_class, is_combined, is_micro
        self._names: dict[str, None] = {}  # as asked for, in order
        self._heard: deque[float] = deque(maxlen=socket.most_messages)
        self._is_open = True
        self._subscribe(names)

    def tell(self, name: str, symbol: str, raw: bytes, message: dict[str, Any]) -> None:
        """Send a message of a stream."""
        if not self.peer.wants([symbol]):
            return
        if self._is_micro:
            raw = json_bytes({key: value * 1000 if key in ("E", "T") else value for key, value in message.items()})
        if self._is_combined:
            raw = b'{"stream":"%b","data":%b}' % (name.encode(), raw)
        self.peer.data(raw, [symbol])

    def message(self, text: str) -> None:
        """A command."""
        now = time.monotonic()
        if len(self._heard) == self._heard.maxlen and now - self._heard[0] < 1.0:
            self.peer.close(1008, "Too many requests")
            return
        self._heard.append(now)
        asked = parse_json(text)
        if not isinstance(asked, dict):
            self._answer({"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"})
            return
        method, params, number = asked.get("method"), asked.get("params") or [], asked.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            self._answer({"result": list(self._names), "id": number})
        elif method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            (self._subscribe if method == "SUBSCRIBE" else self._unsubscribe)([str(name) for name in params])
            self._answer({"result": None, "id": number})
        elif method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined":
            self._is_combined = bool(params[1])
            self._answer({"result": None, "id": number})
        elif method == "GET_PROPERTY":
            self._answer({"result": self._is_combined, "id": number})
        else:
            self._answer({"code": 2, "msg": f"Invalid request: unknown variant `{method}`"})

    def closed(self) -> None:
        """Forget it."""
        self._is_open = False
        self._unsubscribe(list(self._names))

    def surprise(self) -> bytes:
        """An event that nobody has documented."""
        raw = b'{"e":"marketMood","E":1,"s":"BTCUSDT","mood":"calm"}'
        return b'{"stream":"btcusdt@mood","data":%b}' % raw if self._is_combined else raw

    def huge(self, levels: int) -> None:
        """A diff far larger than usual."""
        for symbol in sorted(self.keys)[:1]:
            self.socket.feeds[symbol].book.deepen(levels)

    def slow(self) -> None:
        """A slow reader is dropped."""
        self.peer.close(1008, "slow consumer")

    def cut(self) -> None:
        """A day is over: the connection goes, on spot a while after it was announced."""
        if not self._is_open:
            return
        if self.socket.is_futures:
            self.peer.close(1001, _DAY_OVER)
            return
        raw = json_bytes({"e": "serverShutdown", "E": ms(self.socket.floor.stamp_ns(self.socket.venue))})
        self.peer.control(b'{"stream":"!serverShutdown","data":%b}' % raw if self._is_combined else raw)
        self.peer.after_s(_SHUTDOWN_S, lambda: self.peer.close(1001, _DAY_OVER))

    def _subscribe(self, names: list[str]) -> None:
        if len(self._names) + len(names) > _MOST_STREAMS:
            self._answer({"error": {"code": 4, "msg": "Too many subscriptions"}})
            self.peer.close(1008, "Too many subscriptions")
            return
        for name in names:
            self._names[name] = None
            stream = parse(name, self.socket.is_futures, self._class)
            if stream is not None and stream.symbol in self.socket.feeds:  # anything else is silent for ever
                self.socket.readers[name].add(self)
                self.socket.feeds[stream.symbol].begin(stream)
                self.keys.add(stream.symbol)

    def _unsubscribe(self, names: list[str]) -> None:
        for name in names:
            self._names.pop(name, None)
            self.socket.readers[name].discard(self)
            if not self.socket.readers[name]:
                del self.socket.readers[name]
        self.keys = {name.partition("@")[0].upper() for name in self._names} & set(self.socket.feeds)

    def _answer(self, message: dict[str, Any]) -> None:
        self.peer.control(json_bytes(message))

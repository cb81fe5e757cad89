"""Kraken spot, WebSocket v2: books cut to a depth, each message with the checksum of what is left."""

import zlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from observer.book import ASK, BID
from observer.exchange.answer import answer
from observer.exchange.floor import Floor
from observer.exchange.markets.spot import SpotBook, SpotStep, SpotTrade
from observer.exchange.markets.world import World
from observer.exchange.peer import Peer
from observer.exchange.settings import ExchangeSettings
from observer.exchange.upgrade import accept
from observer.exchange.venues.spot import SpotSession, SpotVenue
from observer.exchange.wire import decimals_of, fixed, json_bytes, parse_json, rfc3339, whole
from observer.kit.clock import NS_PER_S
from observer.records import BUY

VENUE = "kraken"
_DEPTHS = (10, 25, 100, 500, 1_000)
_CHANNELS = ("book", "trade", "ticker", "ohlc", "instrument")
_QTY_DECIMALS = 8
Level = tuple[int, int]


@dataclass(eq=False)
class _View:
    """What one connection knows of one book: the best `depth` levels a side."""

    depth: int
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))


class Kraken(SpotVenue["KrakenSession"]):
    """The venue.

    Args:
        floor: what it stands on.
        world: made-up prices.
        settings: of the exchange.
    """

    def __init__(self, floor: Floor, world: World, settings: ExchangeSettings) -> None:
        super().__init__(floor, world, VENUE, lambda coin: f"{coin.name}/USD", NS_PER_S)

    def routes(self) -> list[web.RouteDef]:
        """All addresses of the venue."""
        rest = "/kraken/rest/0/public"
        return [
            web.get("/kraken/ws/v2", self.connect),
            web.get(rest + "/Time", self.time),
            web.get(rest + "/SystemStatus", self.status),
            web.get(rest + "/AssetPairs", self.pairs),
            web.get(rest + "/Depth", self.depth),
        ]

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection."""
        peer, ws = await accept(self.floor, VENUE, "ws", request)
        session = KrakenSession(self, peer)
        self.sessions.append(session)
        hello = {"version": "2.0.9", "system": "online", "api_version": "v2", "connection_id": 10**19 + peer.number}
        peer.control(json_bytes({"channel": "status", "type": "update", "data": [hello]}))
        await peer.serve(session)
        return ws

    async def time(self, request: web.Request) -> web.Response:
        """Unix seconds."""
        now_ns = self.floor.stamp_ns(VENUE)
        return answer({"error": [], "result": {"unixtime": now_ns // NS_PER_S, "rfc1123": rfc3339(now_ns, 0)}})

    async def status(self, request: web.Request) -> web.Response:
        """That it is up."""
        shown = {"status": "online", "timestamp": rfc3339(self.floor.stamp_ns(VENUE), 0)}
        return answer({"error": [], "result": shown})

    async def pairs(self, request: web.Request) -> web.Response:
        """How many decimals prices and volumes have, of one pair or all."""
        wanted = request.query.get("pair")
        shown = {
            symbol: {
                "altname": symbol.replace("/", ""), "wsname": symbol, "base": book.walk.coin.name, "quote": "USD",
                "pair_decimals": decimals_of(book.grid), "lot_decimals": _QTY_DECIMALS, "status": "online",
            }
            for symbol, book in self.listing.books.items()
            if wanted in (None, symbol)
        }  # fmt: skip
        return answer({"error": [], "result": shown} if shown else {"error": ["EQuery:Unknown asset pair"]})

    async def depth(self, request: web.Request) -> web.Response:
        """A pair's best levels as [price, volume, unix second]."""
        pair = request.query.get("pair", "")
        book = self.listing.books.get(pair) or self.listing.books.get(f"{pair[:-3]}/{pair[-3:]}")
        if book is None:
            return answer({"error": ["EQuery:Unknown asset pair"]})
        count, second = whole(request.query.get("count"), 100, 1, 500), self.floor.stamp_ns(VENUE) // NS_PER_S
        bids, asks = (
            [
                [fixed(price, decimals_of(book.grid)), fixed(size, 3), second]
                for price, size in book.book.top(side, count)
            ]
            for side in (BID, ASK)
        )
        return answer({"error": [], "result": {pair: {"asks": asks, "bids": bids}}})

    def _stepped(self, symbol: str, book: SpotBook, step: SpotStep) -> None:
        for session in list(self.sessions):
            if symbol in session.views and step.levels:
                session.update(symbol, book)
            if step.trade is not None:
                if symbol in session.names.get("trade", ()):
                    session.tell("trade", "update", [trade_row(symbol, book, step.trade)], symbol)
                if symbol in session.names.get("ticker", ()):
                    session.tell("ticker", "update", [ticker_row(symbol, book)], symbol)

    def _beat(self) -> None:
        for session in list(self.sessions):
            if session.names:
                session.peer.control(b'{"channel":"heartbeat"}')


class KrakenSession(SpotSession):
    """One connection's subscriptions and what it knows of each book."""

    def __init__(self, venue: Kraken, peer: Peer) -> None:
        super().__init__(venue.sessions, peer)
        self.venue = venue
        self.names: dict[str, set[str]] = {}
        self.views: dict[str, _View] = {}

    @property
    def keys(self) -> set[str]:
        """Pairs it is subscribed to."""
        return {name for names in self.names.values() for name in names}

    def message(self, text: str) -> None:
        """A request."""
        asked = parse_json(text)
        method = asked.get("method") if isinstance(asked, dict) else None
        now = rfc3339(self.venue.floor.stamp_ns(VENUE))
        times = {"time_in": now, "time_out": now}
        number = {"req_id": asked["req_id"]} if isinstance(asked, dict) and "req_id" in asked else {}
        if method == "ping":
            self._answer({"method": "pong", **times, **number})
        elif method not in ("subscribe", "unsubscribe"):
            self._answer({"error": "Method(s) not found", "success": False, **times, **number})
        else:
            self._subscribe(method, asked.get("params") or {}, {**times, **number})

    def tell(self, channel: str, kind: str, rows: list[Any], symbol: str) -> None:
        """Send a data message."""
        if self.peer.wants([symbol]):
            self.peer.data(json_bytes({"channel": channel, "type": kind, "data": rows}), [symbol])

    def update(self, symbol: str, book: SpotBook) -> None:
        """Send what changed within the depth that was asked for."""
        view = self.views[symbol]
        changed: list[list[Level]] = []
        for side in (BID, ASK):
            old, new = view.sides[side], dict(book.book.top(side, view.depth))
            gone = [(price, 0) for price in old if price not in new and not book.book.size_at(side, price)]
            changed.append(gone + [(price, size) for price, size in new.items() if old.get(price) != size])
            view.sides[side].clear()
            view.sides[side].update(new)
        if any(changed):
            self._book("update", symbol, book, *changed)

    def surprise(self) -> bytes:
        """A channel that nobody has documented."""
        return b'{"channel":"mood","type":"update","data":[{"symbol":"BTC/USD","mood":"calm"}]}'

    def huge(self, levels: int) -> None:
        """A deep book; who asked for a small depth sees little of it."""
        for symbol in sorted(self.views)[:1]:
            self.venue.listing.books[symbol].deepen(levels)
            self._first_book(symbol, self.views[symbol].depth)

    def _subscribe(self, method: str, params: dict[str, Any], tail: dict[str, Any]) -> None:
        channel, depth = params.get("channel"), params.get("depth", 10)
        symbols = [str(symbol) for symbol in params.get("symbol") or ()]
        if channel not in _CHANNELS or (channel == "book" and depth not in _DEPTHS):
            error = (
                f"Event(s) not found: {channel}"
                if channel not in _CHANNELS
                else f"Subscription depth not supported: {depth}"
            )
            self._answer({"method": method, "success": False, "error": error, **tail})
            return
        if channel == "instrument":
            self._answer({"method": method, "result": {"channel": channel}, "success": True, **tail})
            self.tell("instrument", "snapshot", self._instruments(), "")
            return
        for symbol in symbols:
            if symbol not in self.venue.listing.books:
                error = f"Currency pair not supported {symbol}"
                self._answer({"method": method, "success": False, "error": error, "symbol": symbol, **tail})
                continue
            result: dict[str, Any] = {"channel": channel, "symbol": symbol, "snapshot": params.get("snapshot", True)}
            if channel == "book":
                result["depth"] = depth
            self._answer({"method": method, "result": result, "success": True, **tail})
            if method == "unsubscribe":
                self.names.get(channel, set()).discard(symbol)
                if channel == "book":
                    self.views.pop(symbol, None)
                continue
            self.names.setdefault(channel, set()).add(symbol)
            self._first(channel, symbol, depth)

    def _first(self, channel: str, symbol: str, depth: int) -> None:
        book = self.venue.listing.books[symbol]
        if channel == "book":
            self._first_book(symbol, depth)
        elif channel == "ticker":
            self.tell("ticker", "snapshot", [ticker_row(symbol, book)], symbol)
        elif channel == "trade":
            self.tell("trade", "snapshot", [trade_row(symbol, book, trade) for trade in book.trades[-50:]], symbol)

    def _first_book(self, symbol: str, depth: int) -> None:
        book = self.venue.listing.books[symbol]
        bids, asks = (book.book.top(side, depth) for side in (BID, ASK))
        self.views[symbol] = _View(depth, (dict(bids), dict(asks)))
        self._book("snapshot", symbol, book, bids, asks)

    def _book(self, kind: str, symbol: str, book: SpotBook, bids: list[Level], asks: list[Level]) -> None:
        row = {
            "symbol": symbol, "bids": [_row(book, *level) for level in bids],
            "asks": [_row(book, *level) for level in asks], "checksum": checksum(book),
            "timestamp": rfc3339(self.venue.floor.stamp_ns(VENUE)),
        }  # fmt: skip
        self.tell("book", kind, [row], symbol)

    def _instruments(self) -> Any:
        pairs = [
            {
                "symbol": symbol, "base": book.walk.coin.name, "quote": "USD", "status": "online",
                "price_precision": decimals_of(book.grid), "price_increment": _raw(book.grid, decimals_of(book.grid)),
                "qty_precision": _QTY_DECIMALS, "qty_increment": _raw(10, _QTY_DECIMALS),
                "qty_min": _raw(book.walk.coin.lot, _QTY_DECIMALS),
            }
            for symbol, book in self.venue.listing.books.items()
        ]  # fmt: skip
        return {"assets": [], "pairs": pairs}

    def _answer(self, message: dict[str, Any]) -> None:
        self.peer.control(json_bytes(message))


def checksum(book: SpotBook) -> int:
    """CRC32 of the ten best offers and the ten best bids, as text without points and leading zeros."""
    text = "".join(
        fixed(price, decimals_of(book.grid)).replace(".", "").lstrip("0")
        + fixed(size, _QTY_DECIMALS).replace(".", "").lstrip("0")
        for side in (ASK, BID)
        for price, size in book.book.top(side, 10)
    )
    return zlib.crc32(text.encode())


def trade_row(symbol: str, book: SpotBook, trade: SpotTrade) -> dict[str, Any]:
    """A trade; `side` is the taker's."""
    return {
        "symbol": symbol, "side": "buy" if trade.side == BUY else "sell", **_row(book, trade.price, trade.size),
        "ord_type": "limit", "trade_id": trade.number, "timestamp": rfc3339(trade.ns),
    }  # fmt: skip


def ticker_row(symbol: str, book: SpotBook) -> dict[str, Any]:
    """Best prices and the day's figures, of which only the former move."""
    (bid, bid_size), (ask, ask_size) = (book.book.top(side, 1)[0] for side in (BID, ASK))
    decimals = decimals_of(book.grid)
    last = _raw(book.trades[-1].price if book.trades else bid, decimals)
    return {
        "symbol": symbol, "bid": _raw(bid, decimals), "bid_qty": _raw(bid_size, _QTY_DECIMALS),
        "ask": _raw(ask, decimals), "ask_qty": _raw(ask_size, _QTY_DECIMALS), "last": last, "volume": 163.2,
        "vwap": last, "low": last, "high": last, "change": 0.0, "change_pct": 0.0,
        "timestamp": rfc3339(book.changed_ns),
    }  # fmt: skip


def _row(book: SpotBook, price: int, size: int) -> dict[str, Any]:
    return {"price": _raw(price, decimals_of(book.grid)), "qty": _raw(size, _QTY_DECIMALS)}


def _raw(value: int, decimals: int) -> msgspec.Raw:
    """A JSON number with all its decimals, which the checksum is made of."""
    return msgspec.Raw(fixed(value, decimals).encode())

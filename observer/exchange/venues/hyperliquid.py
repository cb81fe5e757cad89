"""Hyperliquid: whole books every half second, a text banner first, and a minute of silence at most."""

import time
from typing import Any

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
from observer.exchange.wire import identifier, json_bytes, ms, parse_json
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import text_of
from observer.records import BUY

VENUE = "hyperliquid"
_BOOK_EVERY_NS = NS_PER_S // 2
_LEVELS = 20
_IDLE_S = 60.0
_COIN_TYPES = ("l2Book", "bbo", "trades", "activeAssetCtx", "candle")


class Hyperliquid(SpotVenue["HyperliquidSession"]):
    """The venue.

    Args:
        floor: what it stands on.
        world: made-up prices.
        settings: of the exchange.
    """

    def __init__(self, floor: Floor, world: World, settings: ExchangeSettings) -> None:
        super().__init__(floor, world, VENUE, lambda coin: coin.name, _BOOK_EVERY_NS)
        self._best: dict[str, list[Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        """All addresses of the venue."""
        return [
            web.get("/hyperliquid/ws/ws", self.connect),
            web.get("/hyperliquid/rest/ws", self.connect),  # the real one serves both at one host
            web.post("/hyperliquid/rest/info", self.info),
        ]  # fmt: skip

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection."""
        peer, ws = await accept(self.floor, VENUE, "ws", request)
        session = HyperliquidSession(self, peer)
        self.sessions.append(session)
        peer.control(b"Websocket connection established.")
        peer.after_s(_IDLE_S, session.leave_if_idle)
        await peer.serve(session)
        return ws

    async def info(self, request: web.Request) -> web.Response:
        """Books, middles and names."""
        asked = parse_json(await request.read())
        kind = asked.get("type") if isinstance(asked, dict) else None
        if kind == "l2Book" and asked.get("coin") in self.listing.books:
            return answer(self.book_json(asked["coin"]))
        if kind == "allMids":
            return answer(self.mids())
        if kind == "meta":
            names = [{"name": name, "szDecimals": 5, "maxLeverage": 40} for name in self.listing.books]
            return answer({"universe": names})
        if kind == "metaAndAssetCtxs":
            names = [{"name": name, "szDecimals": 5, "maxLeverage": 40} for name in self.listing.books]
            return answer([{"universe": names}, [self.context(name) for name in self.listing.books]])
        return web.Response(status=422, text="Failed to deserialize the JSON body into the target type")

    def book_json(self, coin: str) -> dict[str, Any]:
        """A whole book, as REST and the socket both show it."""
        book = self.listing.books[coin].book
        levels = [[_level(*level) for level in book.top(side, _LEVELS)] for side in (BID, ASK)]
        return {"coin": coin, "time": self._stamp(), "levels": levels}

    def best_json(self, coin: str) -> list[Any]:
        """The best level of each side; null where there is none."""
        book = self.listing.books[coin].book
        return [_level(*level[0]) if (level := book.top(side, 1)) else None for side in (BID, ASK)]

    def trade_json(self, coin: str, trade: SpotTrade) -> dict[str, Any]:
        """A trade; `side` is the taker's: B bought, A sold."""
        return {
            "coin": coin, "side": "B" if trade.side == BUY else "A", "px": text_of(trade.price),
            "sz": text_of(trade.size), "hash": "0x" + identifier("hl", coin, trade.number),
            "time": ms(trade.ns + self.floor.faults.skew_ns(VENUE)), "tid": trade.number,
            "users": ["0x" + identifier("a", trade.number)[:40], "0x" + identifier("b", trade.number)[:40]],
        }  # fmt: skip

    def context(self, coin: str) -> dict[str, str]:
        """Funding and marks, of which only the prices move."""
        price = text_of(self.listing.books[coin].price_scaled())
        return {
            "funding": "0.0000125", "openInterest": "25000.1", "prevDayPx": price, "dayNtlVlm": "1000000000.0",
            "premium": "0.0003", "oraclePx": price, "markPx": price, "midPx": price,
        }  # fmt: skip

    def mids(self) -> dict[str, str]:
        """The middle of every book."""
        return {
            coin: text_of((book.book.best(BID) + book.book.best(ASK)) // 2) for coin, book in self.listing.books.items()
        }

    def _stamp(self) -> int:
        return ms(self.floor.stamp_ns(VENUE))

    def _stepped(self, symbol: str, book: SpotBook, step: SpotStep) -> None:
        readers = [session for session in self.sessions if symbol in session.keys]
        if not readers:
            return
        best = self.best_json(symbol)
        is_new = self._best.get(symbol) != best
        self._best[symbol] = best
        for session in readers:
            if is_new and ("bbo", symbol) in session.wanted:
                session.tell("bbo", {"coin": symbol, "time": self._stamp(), "bbo": best}, symbol)
            if step.trade is not None and ("trades", symbol) in session.wanted:
                session.tell("trades", [self.trade_json(symbol, step.trade)], symbol)

    def _beat(self) -> None:
        for session in list(self.sessions):
            for kind, coin in sorted(session.wanted):
                if kind == "l2Book":
                    session.tell("l2Book", self.book_json(coin), coin)
                elif kind == "activeAssetCtx":
                    session.tell("activeAssetCtx", {"coin": coin, "ctx": self.context(coin)}, coin)
                elif kind == "allMids":
                    session.tell("allMids", {"mids": self.mids()}, "")


class HyperliquidSession(SpotSession):
    """One connection's subscriptions: (type, coin)."""

    def __init__(self, venue: Hyperliquid, peer: Peer) -> None:
        super().__init__(venue.sessions, peer)
        self.venue = venue
        self.wanted: set[tuple[str, str]] = set()
        self._heard_at = time.monotonic()

    @property
    def keys(self) -> set[str]:
        """Coins it is subscribed to."""
        return {coin for _, coin in self.wanted if coin}

    def tell(self, channel: str, message: Any, coin: str) -> None:
        """Send a data message."""
        keys = [coin] if coin else []
        if self.peer.wants(keys):
            self._heard_at = time.monotonic()
            self.peer.data(json_bytes({"channel": channel, "data": message}), keys)

    def leave_if_idle(self) -> None:
        """A minute without traffic is too long."""
        left_s = self._heard_at + _IDLE_S - time.monotonic()
        if left_s <= 0:
            self.peer.close(1000, "Inactive")
        else:
            self.peer.after_s(left_s, self.leave_if_idle)

    def message(self, text: str) -> None:
        """A request."""
        self._heard_at = time.monotonic()
        asked = parse_json(text)
        method = asked.get("method") if isinstance(asked, dict) else None
        wanted = asked.get("subscription") if isinstance(asked, dict) else None
        if method == "ping":
            self._answer("pong", None)
            return
        if method not in ("subscribe", "unsubscribe") or not isinstance(wanted, dict):
            self._answer("error", f"Error parsing JSON into valid websocket request: {text[:100]}")
            return
        kind, coin = str(wanted.get("type")), str(wanted.get("coin", ""))
        is_known = kind == "allMids" or (kind in _COIN_TYPES and coin in self.venue.listing.books)
        if not is_known:
            self._answer("error", f"Invalid subscription {text[:100]}")
        elif method == "subscribe" and (kind, coin) in self.wanted:
            self._answer("error", f"Already subscribed: {text[:100]}")
        else:
            shown = {**wanted, "nSigFigs": None, "mantissa": None} if kind == "l2Book" else wanted
            self._answer("subscriptionResponse", {"method": method, "subscription": shown})
            if method == "unsubscribe":
                self.wanted.discard((kind, coin))
                return
            self.wanted.add((kind, coin))
            self._first(kind, coin)

    def surprise(self) -> bytes:
        """A channel that nobody has documented."""
        return b'{"channel":"marketMood","data":{"coin":"BTC","mood":"calm"}}'

    def huge(self, levels: int) -> None:
        """A deep book, of which this protocol shows twenty levels all the same."""
        for coin in sorted(self.keys)[:1]:
            self.venue.listing.books[coin].deepen(levels)

    def _first(self, kind: str, coin: str) -> None:
        """What a subscription begins with."""
        if kind == "l2Book":
            self.tell("l2Book", self.venue.book_json(coin), coin)
        elif kind == "trades":
            trades = self.venue.listing.books[coin].trades[-10:]
            self.tell("trades", [self.venue.trade_json(coin, trade) for trade in trades], coin)

    def _answer(self, channel: str, message: Any) -> None:
        answer = {"channel": channel} if message is None else {"channel": channel, "data": message}
        self.peer.control(json_bytes(answer))


def _level(price: int, size: int) -> dict[str, Any]:
    return {"px": text_of(price), "sz": text_of(size), "n": 1 + size % 7}

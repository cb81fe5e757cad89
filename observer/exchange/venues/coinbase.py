"""Coinbase Advanced Trade: one sequence per connection over all channels, and five seconds to say what is wanted."""

from collections import defaultdict
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
from observer.exchange.wire import fixed, json_bytes, parse_json, rfc3339, whole
from observer.kit.clock import NS_PER_S
from observer.records import BUY

VENUE = "coinbase"
_CHANNELS = ("heartbeats", "level2", "market_trades", "ticker", "ticker_batch", "candles", "status")
_SUBSCRIBE_WITHIN_S = 5.0
_DECIMALS = 8
_WHOLE_BOOK = 1_000_000
_EPOCH = "1970-01-01T00:00:00Z"  # what a snapshot's levels say of when they were set


class Coinbase(SpotVenue["CoinbaseSession"]):
    """The venue.

    Args:
        floor: what it stands on.
        world: made-up prices.
        settings: of the exchange.
    """

    def __init__(self, floor: Floor, world: World, settings: ExchangeSettings) -> None:
        super().__init__(floor, world, VENUE, lambda coin: f"{coin.name}-USD", NS_PER_S)
        self._beats = 0

    def routes(self) -> list[web.RouteDef]:
        """All addresses of the venue."""
        rest = "/coinbase/rest/api/v3/brokerage"
        return [
            web.get("/coinbase/ws", self.connect),
            web.get("/coinbase/ws/", self.connect),
            web.get(rest + "/time", self.time),
            web.get(rest + "/market/products", self.products),
            web.get(rest + "/market/products/{product}", self.product),
            web.get(rest + "/market/product_book", self.product_book),
        ]

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection."""
        peer, ws = await accept(self.floor, VENUE, "ws", request)
        session = CoinbaseSession(self, peer)
        self.sessions.append(session)
        peer.after_s(_SUBSCRIBE_WITHIN_S, session.leave_if_idle)
        await peer.serve(session)
        return ws

    async def time(self, request: web.Request) -> web.Response:
        """The time in three forms."""
        now_ns = self.floor.stamp_ns(VENUE)
        return answer(
            {
                "iso": rfc3339(now_ns, 0),
                "epochSeconds": str(now_ns // NS_PER_S),
                "epochMillis": str(now_ns // 10**6),
            }
        )

    async def products(self, request: web.Request) -> web.Response:
        """All products."""
        shown = [self._product(symbol, book) for symbol, book in self.listing.books.items()]
        return answer({"products": shown, "num_products": len(shown)})

    async def product(self, request: web.Request) -> web.Response:
        """One product."""
        symbol = request.match_info["product"]
        book = self.listing.books.get(symbol)
        return _missing() if book is None else answer(self._product(symbol, book))

    async def product_book(self, request: web.Request) -> web.Response:
        """A product's best levels."""
        symbol = request.query.get("product_id", "")
        book = self.listing.books.get(symbol)
        if book is None:
            return _missing()
        depth = whole(request.query.get("limit"), 100, 1, _WHOLE_BOOK)
        bids, asks = (
            [{"price": _number(price), "size": _number(size)} for price, size in book.book.top(side, depth)]
            for side in (BID, ASK)
        )
        shown = {"product_id": symbol, "bids": bids, "asks": asks, "time": rfc3339(self.floor.stamp_ns(VENUE))}
        return answer({"pricebook": shown})

    def trade_json(self, symbol: str, trade: SpotTrade) -> dict[str, str]:
        """A trade. `side` is the taker's; clients have read it either way, and the documents do not say."""
        return {
            "trade_id": str(trade.number), "product_id": symbol, "price": _number(trade.price),
            "size": _number(trade.size), "side": "BUY" if trade.side == BUY else "SELL",
            "time": rfc3339(trade.ns + self.floor.faults.skew_ns(VENUE)),
        }  # fmt: skip

    def ticker_json(self, symbol: str, book: SpotBook) -> dict[str, str]:
        """Best prices and the day's figures, of which only the former move."""
        (bid, bid_size), (ask, ask_size) = (book.book.top(side, 1)[0] for side in (BID, ASK))
        last = _number(book.trades[-1].price if book.trades else book.price_scaled())
        return {
            "type": "ticker", "product_id": symbol, "price": last, "volume_24_h": "15328.1", "low_24_h": last,
            "high_24_h": last, "low_52_w": last, "high_52_w": last, "price_percent_chg_24_h": "0.0",
            "best_bid": _number(bid), "best_bid_quantity": _number(bid_size), "best_ask": _number(ask),
            "best_ask_quantity": _number(ask_size),
        }  # fmt: skip

    def _product(self, symbol: str, book: SpotBook) -> dict[str, Any]:
        last = book.trades[-1].price if book.trades else book.price_scaled()
        return {
            "product_id": symbol, "price": _number(last), "base_increment": _number(book.walk.coin.lot),
            "quote_increment": _number(book.grid), "price_increment": _number(book.grid), "base_min_size": "0.00000001",
            "base_name": book.walk.coin.word, "quote_name": "US Dollar", "status": "online", "product_type": "SPOT",
            "base_currency_id": book.walk.coin.name, "quote_currency_id": "USD", "trading_disabled": False,
            "is_disabled": False, "price_percentage_change_24h": "0", "volume_24h": "15328.1",
            "volume_percentage_change_24h": "0", "quote_min_size": "1", "quote_max_size": "10000000",
            "base_max_size": "3400", "watched": False, "new": False, "cancel_only": False, "limit_only": False,
            "post_only": False, "auction_mode": False,
        }  # fmt: skip

    def _stepped(self, symbol: str, book: SpotBook, step: SpotStep) -> None:
        readers = [session for session in self.sessions if symbol in session.keys]
        if not readers:
            return
        when = rfc3339(step.ns + self.floor.faults.skew_ns(VENUE))
        updates = [_update(side, price, size, when) for side, price, size in step.levels]
        for session in readers:
            if updates and session.reads("level2", symbol):
                session.tell("l2_data", [{"type": "update", "product_id": symbol, "updates": updates}], symbol)
            if step.trade is not None:
                if session.reads("market_trades", symbol):
                    trades = [self.trade_json(symbol, step.trade)]
                    session.tell("market_trades", [{"type": "update", "trades": trades}], symbol)
                if session.reads("ticker", symbol):
                    session.tell("ticker", [{"type": "update", "tickers": [self.ticker_json(symbol, book)]}], symbol)

    def _beat(self) -> None:
        """Once a second: heartbeats; every five: the slow tickers."""
        self._beats += 1
        for session in list(self.sessions):
            session.beat()
            if self._beats % 5 == 0:
                for symbol in sorted(session.channels.get("ticker_batch", ())):
                    ticker = self.ticker_json(symbol, self.listing.books[symbol])
                    session.tell("ticker_batch", [{"type": "update", "tickers": [ticker]}], symbol)


class CoinbaseSession(SpotSession):
    """One connection's channels and its sequence."""

    def __init__(self, venue: Coinbase, peer: Peer) -> None:
        super().__init__(venue.sessions, peer)
        self.venue = venue
        self.channels: dict[str, set[str]] = defaultdict(set)
        self._sequence = 0
        self._beats = 0
        self._has_asked = False

    @property
    def keys(self) -> set[str]:
        """Products it is subscribed to."""
        return {product for products in self.channels.values() for product in products}

    def reads(self, channel: str, symbol: str) -> bool:
        """Whether it wants a product on a channel."""
        return symbol in self.channels.get(channel, ())

    def tell(self, channel: str, events: list[dict[str, Any]], symbol: str) -> None:
        """Send a data message with the connection's next number."""
        if self.peer.wants([symbol]):
            self.peer.data(self._numbered(channel, events), [symbol])

    def beat(self) -> None:
        """Send a heartbeat, which a frozen connection still sends."""
        if "heartbeats" in self.channels:
            self._beats += 1
            now = rfc3339(self.venue.floor.stamp_ns(VENUE), 9).replace("T", " ").replace("Z", "+00:00")
            self.peer.control(
                self._numbered("heartbeats", [{"current_time": now, "heartbeat_counter": self._beats}])
            )  # fmt: skip

    def leave_if_idle(self) -> None:
        """Five seconds without a subscription are too long."""
        if not self._has_asked:
            self.peer.close(1000, "no subscription within 5 s")

    def message(self, text: str) -> None:
        """A subscription to one channel, or its end."""
        asked = parse_json(text)
        if not isinstance(asked, dict) or asked.get("type") not in ("subscribe", "unsubscribe"):
            self._error("unknown message type")
            return
        channel = str(asked.get("channel"))
        products = [str(product) for product in asked.get("product_ids") or ()]
        unknown = [product for product in products if product not in self.venue.listing.books]
        if channel not in _CHANNELS:
            self._error(f"channel {channel} not supported")
        elif unknown:
            self._error(f"product {unknown[0]} not found")
        elif asked["type"] == "unsubscribe":
            self.channels[channel].difference_update(products)
            self._acknowledge()
        else:
            self._has_asked = True
            new = [product for product in products if product not in self.channels[channel]]
            self.channels[channel].update(new)
            self._acknowledge()
            for product in new:
                self._first(channel, product)

    def surprise(self) -> bytes:
        """A channel that nobody has documented."""
        return self._numbered("market_mood", [{"type": "update", "mood": "calm"}])

    def huge(self, levels: int) -> None:
        """A snapshot of megabytes."""
        for product in sorted(self.channels.get("level2", ()))[:1]:
            self.venue.listing.books[product].deepen(levels)
            self._first("level2", product)

    def _first(self, channel: str, product: str) -> None:
        """What a channel begins with."""
        book = self.venue.listing.books[product]
        if channel == "level2":
            updates = [
                _update(side, price, size, _EPOCH)
                for side in (BID, ASK)
                for price, size in book.book.top(side, _WHOLE_BOOK)
            ]  # fmt: skip
            self.tell("l2_data", [{"type": "snapshot", "product_id": product, "updates": updates}], product)
        elif channel == "market_trades":
            trades = [self.venue.trade_json(product, trade) for trade in reversed(book.trades[-50:])]
            self.tell("market_trades", [{"type": "snapshot", "trades": trades}], product)
        elif channel == "ticker":
            ticker = self.venue.ticker_json(product, book)
            self.tell("ticker", [{"type": "snapshot", "tickers": [ticker]}], product)

    def _acknowledge(self) -> None:
        shown = {channel: sorted(products) for channel, products in self.channels.items()}
        self.peer.control(self._numbered("subscriptions", [{"subscriptions": shown}]))

    def _error(self, why: str) -> None:
        self.peer.control(json_bytes({"type": "error", "message": why}))

    def _numbered(self, channel: str, events: list[dict[str, Any]]) -> bytes:
        envelope = {
            "channel": channel, "client_id": "", "timestamp": rfc3339(self.venue.floor.stamp_ns(VENUE)),
            "sequence_num": self._sequence, "events": events,
        }  # fmt: skip
        self._sequence += 1
        return json_bytes(envelope)


def _update(side: int, price: int, size: int, when: str) -> dict[str, str]:
    return {
        "side": "bid" if side == BID else "offer", "event_time": when, "price_level": _number(price),
        "new_quantity": _number(size) if size else "0",
    }  # fmt: skip


def _number(value: int) -> str:
    return fixed(value, _DECIMALS).rstrip("0").rstrip(".")


def _missing() -> web.Response:
    return answer({"error": "NOT_FOUND", "error_details": "", "message": "product not found"}, 404)

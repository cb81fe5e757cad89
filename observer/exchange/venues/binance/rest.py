"""Binance's REST addresses for market data, with their weights and their bans."""

import time
from typing import Any

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.markets.spot import SpotTrade
from observer.exchange.venues.binance.feed import Feed
from observer.exchange.wire import decimals_of, fixed, json_bytes, ms, whole
from observer.records import SELL

_SPOT_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
_FUTURES_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1_000, 20))


class BinanceRest:
    """Answers questions about symbols.

    Args:
        floor: whose time it is.
        venue: "binance-spot" or "binance-usdm".
        feeds: by symbol.
    """

    def __init__(self, floor: Floor, venue: str, feeds: dict[str, Feed]) -> None:
        self.floor, self.venue, self.feeds = floor, venue, feeds
        self.is_futures = venue == "binance-usdm"
        self._weights = _FUTURES_WEIGHTS if self.is_futures else _SPOT_WEIGHTS
        self._most_weight = 2_400 if self.is_futures else 6_000
        self._minute, self._used = 0, 0

    def routes(self, base: str) -> list[web.RouteDef]:
        """Every address below `base`."""
        base += "/fapi/v1" if self.is_futures else "/api/v3"
        found = [
            web.get(base + "/ping", self.ping),
            web.get(base + "/time", self.time),
            web.get(base + "/depth", self.depth),
            web.get(base + "/exchangeInfo", self.exchange_info),
            web.get(base + "/trades", self.trades),
            web.get(base + "/ticker/price", self.price),
            web.get(base + "/ticker/bookTicker", self.book_ticker),
        ]
        return [*found, web.get(base + "/premiumIndex", self.premium)] if self.is_futures else found

    async def ping(self, request: web.Request) -> web.Response:
        """Nothing."""
        return self._answer({}, 1)

    async def time(self, request: web.Request) -> web.Response:
        """Milliseconds."""
        return self._answer({"serverTime": ms(self.floor.stamp_ns(self.venue))}, 1)

    async def depth(self, request: web.Request) -> web.Response:
        """The book, with the id of its last change; it may well lie inside the next diff."""
        feed = self.feeds.get(request.query.get("symbol", ""))
        if feed is None:
            return self._bad_symbol()
        limit = whole(request.query.get("limit"), 500 if self.is_futures else 100, 1, self._weights[-1][0])
        weight = next(weight for most, weight in self._weights if limit <= most)
        return self._answer(feed.snapshot(limit), weight)

    async def exchange_info(self, request: web.Request) -> web.Response:
        """Symbols and their filters."""
        wanted = request.query.get("symbol")
        if wanted is not None and wanted not in self.feeds:
            return self._bad_symbol()
        feeds = [feed for symbol, feed in self.feeds.items() if wanted in (None, symbol)]
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self._most_weight}
        return self._answer(
            {
                "timezone": "UTC", "serverTime": ms(self.floor.stamp_ns(self.venue)), "exchangeFilters": [],
                "rateLimits": [limit],
                "symbols": [self._symbol(feed) for feed in feeds],
            },
            1 if self.is_futures else 20,
        )  # fmt: skip

    async def trades(self, request: web.Request) -> web.Response:
        """The latest trades."""
        feed = self.feeds.get(request.query.get("symbol", ""))
        if feed is None:
            return self._bad_symbol()
        latest = feed.book.trades[-whole(request.query.get("limit"), 500, 1, 1_000) :]
        return self._answer([self._trade(feed, trade) for trade in latest], 5 if self.is_futures else 25)

    async def price(self, request: web.Request) -> web.Response:
        """The last price of one symbol or all."""
        return self._each(request, lambda feed: {"symbol": feed.symbol, "price": feed.price(self._last(feed))})

    async def book_ticker(self, request: web.Request) -> web.Response:
        """The best prices of one symbol or all."""
        return self._each(request, self._book_ticker)

    async def premium(self, request: web.Request) -> web.Response:
        """Mark price and funding of one symbol or all."""
        return self._each(request, self._premium)

    def _each(self, request: web.Request, show: Any) -> web.Response:
        wanted = request.query.get("symbol")
        if wanted is None:
            return self._answer([show(feed) for feed in self.feeds.values()], 4)
        return self._answer(show(self.feeds[wanted]), 2) if wanted in self.feeds else self._bad_symbol()

    def _book_ticker(self, feed: Feed) -> dict[str, Any]:
        best = feed.ticker()
        found = {
            "symbol": feed.symbol, "bidPrice": best["b"], "bidQty": best["B"], "askPrice": best["a"],
            "askQty": best["A"],
        }  # fmt: skip
        return {**found, "time": feed.stamp(), "lastUpdateId": feed.book.last_id} if self.is_futures else found

    def _premium(self, feed: Feed) -> dict[str, Any]:
        mark = feed.mark()
        return {
            "symbol": feed.symbol, "markPrice": mark["p"], "indexPrice": mark["i"], "estimatedSettlePrice": mark["P"],
            "lastFundingRate": mark["r"], "interestRate": "0.00010000", "nextFundingTime": mark["T"], "time": mark["E"],
        }  # fmt: skip

    @staticmethod
    def _last(feed: Feed) -> int:
        return feed.book.trades[-1].price if feed.book.trades else feed.book.price_scaled()

    @staticmethod
    def _trade(feed: Feed, trade: SpotTrade) -> dict[str, Any]:
        return {
            "id": trade.number, "price": feed.price(trade.price), "qty": feed.size(trade.size), "quoteQty": "0",
            "time": ms(trade.ns), "isBuyerMaker": trade.side == SELL,
        }  # fmt: skip

    def _symbol(self, feed: Feed) -> dict[str, Any]:
        grid, lot = (fixed(step, decimals_of(step)) for step in (feed.book.grid, feed.book.walk.coin.lot))
        return {
            "symbol": feed.symbol, "status": "TRADING", "baseAsset": feed.book.walk.coin.name, "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": grid, "maxPrice": "10000000", "tickSize": grid},
                {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "100000", "stepSize": lot},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
            ],
        }  # fmt: skip

    def _bad_symbol(self) -> web.Response:
        return self._answer({"code": -1121, "msg": "Invalid symbol."}, 1, 400)

    def _answer(self, value: Any, weight: int, status: int = 200) -> web.Response:
        """The answer, unless this minute's weight is spent; going on all the same is a ban."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._used)}
        if self._used > self._most_weight:
            status = 429 if self._used <= 2 * self._most_weight else 418
            headers["Retry-After"] = str(60 - int(time.monotonic()) % 60)
            value = {"code": -1003, "msg": f"Too much request weight used; current limit is {self._most_weight}."}
        return web.Response(body=json_bytes(value), status=status, headers=headers, content_type="application/json")

"""Binance: the spot market and the USD-M futures, which share most of their protocol."""

from collections.abc import Iterator

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.markets.listing import SpotListing
from observer.exchange.markets.world import World
from observer.exchange.settings import ExchangeSettings
from observer.exchange.truth import TrueBook
from observer.exchange.venues.binance.feed import Feed
from observer.exchange.venues.binance.rest import BinanceRest
from observer.exchange.venues.binance.socket import BinanceSocket

# Ids of futures changes have holes, so that `pu` is the only thing that ties diffs together.
_FUTURES_ID_JUMP = 40


class _Binance:
    """One of the two venues."""

    name = ""

    def __init__(self, floor: Floor, world: World, settings: ExchangeSettings) -> None:
        self._feeds: dict[str, Feed] = {}
        self._socket = BinanceSocket(floor, self.name, self._feeds)
        jump = _FUTURES_ID_JUMP if self._socket.is_futures else 1
        self._listing = SpotListing(floor, world, self.name, lambda coin: f"{coin.name}USDT", jump)
        for symbol, book in self._listing.books.items():
            self._feeds[symbol] = Feed(floor, self.name, symbol, book, self._socket.publish, self._socket.is_read)
        self._rest = BinanceRest(floor, self.name, self._feeds)

    def routes(self) -> list[web.RouteDef]:
        """All addresses of the venue."""
        base = f"/{self.name}/ws"
        classes = ("public", "market", "private", "") if self._socket.is_futures else ("",)
        found = self._rest.routes(f"/{self.name}/rest")
        for data_class in classes:
            connect, root = self._socket.at(data_class), f"{base}/{data_class}".rstrip("/")
            found += [web.get(f"{root}/{path}", connect) for path in ("ws", "ws/{name}", "stream")]
        return found

    def books(self, keys: set[str]) -> Iterator[TrueBook]:
        """The true books of these symbols."""
        return self._listing.truth(keys)


class BinanceSpot(_Binance):
    """Spot."""

    name = "binance-spot"


class BinanceUsdm(_Binance):
    """USD-M futures."""

    name = "binance-usdm"

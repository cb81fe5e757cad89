"""Polymarket: discovery (gamma), books (clob, market socket), prices (rtds)."""

from collections.abc import Iterator

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.markets.world import World
from observer.exchange.settings import ExchangeSettings
from observer.exchange.truth import TrueBook
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.catalogue import Catalogue
from observer.exchange.venues.polymarket.clob_routes import Clob
from observer.exchange.venues.polymarket.gamma_routes import Gamma
from observer.exchange.venues.polymarket.market_socket import MarketSocket
from observer.exchange.venues.polymarket.pulse import Pulse
from observer.exchange.venues.polymarket.rolling import Rolling
from observer.exchange.venues.polymarket.rtds import Rtds


class Polymarket:
    """The venue.

    Args:
        floor: what it stands on.
        world: made-up prices; None where a recording is replayed.
        settings: of the exchange.
    """

    def __init__(self, floor: Floor, world: World | None, settings: ExchangeSettings) -> None:
        self.floor = floor
        self.board = Board()
        self.rtds = Rtds(floor)
        self.socket = MarketSocket(floor, self.board)
        self._connect = self.socket.connect
        if settings.flood:
            from observer.exchange.venues.polymarket.flood import Flood

            self._connect = Flood(floor, self.board, settings.flood, settings.flood_rate).connect
        elif settings.replay is not None:
            from observer.exchange.venues.polymarket.replayed import Replayed

            Replayed(floor, settings.replay, self.board, self.rtds)
        elif world is not None:
            Rolling(floor, world, self.board)
            Catalogue(floor, self.board)
            Pulse(floor, world, self.rtds)
        self._gamma, self._clob = Gamma(floor, self.board), Clob(floor, self.board)

    def routes(self) -> list[web.RouteDef]:
        """All addresses of the venue."""
        return [
            *self._gamma.routes("/polymarket/gamma"),
            *self._clob.routes("/polymarket/clob"),
            web.get("/polymarket/market/ws/market", self._connect),
            web.get("/polymarket/rtds", self.rtds.connect),
            web.get("/polymarket/rtds/", self.rtds.connect),
        ]

    def books(self, keys: set[str]) -> Iterator[TrueBook]:
        """The true books of these tokens."""
        now_ns = self.floor.agenda.now_ns
        for token in sorted(keys):
            listed = self.board.token(token)
            if listed is not None and not listed.is_closed(now_ns):
                market = listed.market
                book = market.books[listed.which(token)]
                yield TrueBook("polymarket", token, listed.slug, market.n_changes, market.changed_ns, book)

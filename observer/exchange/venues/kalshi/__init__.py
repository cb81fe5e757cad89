"""Kalshi: signed sockets, books of bids only, a sequence per subscription."""

from collections.abc import Iterator

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.markets.world import World
from observer.exchange.settings import ExchangeSettings
from observer.exchange.truth import TrueBook
from observer.exchange.venues.kalshi.index import Indices
from observer.exchange.venues.kalshi.keys import Keys
from observer.exchange.venues.kalshi.listed import Contracts
from observer.exchange.venues.kalshi.rest import KalshiRest
from observer.exchange.venues.kalshi.socket import PATH, KalshiSocket
from observer.exchange.wire import json_bytes, parse_json
from observer.kit.errors import UsageError
from observer.records import UP


class Kalshi:
    """The venue.

    Args:
        floor: what it stands on.
        world: made-up prices.
        settings: of the exchange.

    Attributes:
        keys: who may open a socket.
    """

    def __init__(self, floor: Floor, world: World, settings: ExchangeSettings) -> None:
        self.floor = floor
        self.keys = Keys(floor, settings.kalshi_keys)
        self.contracts = Contracts(floor, world)
        self._rest = KalshiRest(floor, self.contracts)
        self._socket = KalshiSocket(floor, self.contracts, self.keys, Indices(floor, world))

    def routes(self) -> list[web.RouteDef]:
        """All addresses of the venue, and the tests' own for registering a key."""
        return [
            *self._rest.routes("/kalshi/rest/trade-api/v2"),
            web.get("/kalshi/ws" + PATH, self._socket.connect),
            web.post("/control/kalshi/keys", self.register),
        ]

    async def register(self, request: web.Request) -> web.Response:
        """`{"id": …, "pem": …}`: accept this public key from now on."""
        asked = parse_json(await request.read())
        try:
            if not isinstance(asked, dict) or not {"id", "pem"} <= set(asked):
                raise UsageError('wanted {"id": …, "pem": …}')
            self.keys.register(str(asked["id"]), str(asked["pem"]).encode())
        except UsageError as error:
            return web.Response(status=400, body=json_bytes({"error": str(error)}), content_type="application/json")
        return web.Response(body=json_bytes({"id": asked["id"]}), content_type="application/json")

    def books(self, keys: set[str]) -> Iterator[TrueBook]:
        """The true book of Yes of these markets."""
        for ticker in sorted(keys):
            contract = self.contracts.by_ticker.get(ticker)
            if contract is not None:
                market = contract.market
                yield TrueBook("kalshi", ticker, ticker, market.n_changes, market.changed_ns, market.books[UP])

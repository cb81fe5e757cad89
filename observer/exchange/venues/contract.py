"""What a venue of the exchange is: something with addresses and true books."""

from collections.abc import Iterator
from typing import Protocol

from aiohttp import web

from observer.exchange.truth import TrueBook


class ExchangeVenue(Protocol):
    """One venue; built as `Venue(floor, world, settings)`."""

    def routes(self) -> list[web.RouteDef]:
        """All its addresses, below `/<venue>/`."""
        ...

    def books(self, keys: set[str]) -> Iterator[TrueBook]:
        """The true books of these keys; keys that have none are left out."""
        ...

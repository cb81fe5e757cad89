"""One venue's books of underlyings, by the names it gives them."""

from collections.abc import Callable, Iterator

from observer.exchange.floor import Floor
from observer.exchange.markets.coins import Coin
from observer.exchange.markets.spot import SpotBook
from observer.exchange.markets.world import World
from observer.exchange.truth import TrueBook


class SpotListing:
    """The underlyings that a venue lists.

    Args:
        floor: whose agenda they live by.
        world: their prices.
        venue: whose grids they are quoted on.
        symbol_of: how the venue calls a coin.
        id_jump: as `SpotBook` takes it.

    Attributes:
        books: by symbol.
    """

    def __init__(
        self, floor: Floor, world: World, venue: str, symbol_of: Callable[[Coin], str], id_jump: int = 1
    ) -> None:
        self.venue = venue
        self.books: dict[str, SpotBook] = {}
        for coin in world.coins.values():
            if venue in coin.grids:
                name, walk = f"{venue}/{coin.name}", world.walks[coin.name]
                self.books[symbol_of(coin)] = SpotBook(floor, name, walk, coin.grids[venue], id_jump=id_jump)

    def truth(self, keys: set[str]) -> Iterator[TrueBook]:
        """The true books of these symbols."""
        for symbol in sorted(keys & set(self.books)):
            book = self.books[symbol]
            yield TrueBook(self.venue, symbol, symbol, book.last_id, book.changed_ns, book.book)

"""What the venues of coins' prices have in common: made-up books, who reads them, a beat, and how connections end."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from observer.exchange.floor import Floor
from observer.exchange.markets.coins import Coin
from observer.exchange.markets.listing import SpotListing
from observer.exchange.markets.spot import SpotBook, SpotStep
from observer.exchange.markets.world import World
from observer.exchange.peer import Peer
from observer.exchange.truth import TrueBook

_Session = TypeVar("_Session", bound="SpotSession")


class SpotVenue(Generic[_Session]):
    """One venue's books and its connections.

    Args:
        floor: what it stands on.
        world: made-up prices.
        name: of the venue.
        symbol_of: how it calls a coin's book.
        beat_ns: how often `_beat` is called, at multiples of it.
    """

    def __init__(self, floor: Floor, world: World, name: str, symbol_of: Callable[[Coin], str], beat_ns: int) -> None:
        self.floor = floor
        self.listing = SpotListing(floor, world, name, symbol_of)
        self.sessions: list[_Session] = []
        for symbol, book in self.listing.books.items():
            book.watchers.append(partial(self._stepped, symbol))
        self._beat_ns = beat_ns
        floor.agenda.at((floor.agenda.now_ns // beat_ns + 1) * beat_ns, self._beat_on)

    def books(self, keys: set[str]) -> Iterator[TrueBook]:
        """The true books of these symbols."""
        return self.listing.truth(keys)

    def _stepped(self, symbol: str, book: SpotBook, step: SpotStep) -> None:
        """A book moved."""
        raise NotImplementedError

    def _beat(self) -> None:
        """What comes at fixed times."""
        raise NotImplementedError

    def _beat_on(self) -> None:
        self._beat()
        self.floor.agenda.after(self._beat_ns, self._beat_on)


class SpotSession:
    """One connection of such a venue (`observer.exchange.peer.Session`, but for what each venue says)."""

    def __init__(self, sessions: list[Any], peer: Peer) -> None:
        self.peer = peer
        self._sessions = sessions

    def closed(self) -> None:
        """Forget it."""
        self._sessions.remove(self)

    def slow(self) -> None:
        """A slow reader is dropped."""
        self.peer.close(1008, "slow consumer")

    def cut(self) -> None:
        """A restart of the gateway."""
        self.peer.close(1001, "going away")

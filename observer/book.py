"""One order book, rebuilt from a venue's messages.

Prices and sizes are integers in units of 1e-9 (`observer.kit.decimals`). A book is *valid* from a snapshot on until
something is lost; an invalid book shows nothing, because half a book is a wrong book.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

BID, ASK = 0, 1
Levels = list[tuple[int, int]]  # (price, size), best first


class Book:
    """Two sides of price levels.

    Attributes:
        is_valid: False until a snapshot, and again after `invalidate`.
        version: counts every change, so a reader can tell whether it must look again.
    """

    __slots__ = ("_prices", "_sizes", "is_valid", "version")

    def __init__(self) -> None:
        self._sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._prices: tuple[list[int], list[int]] = ([], [])  # ascending
        self.is_valid = False
        self.version = 0

    def replace(self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Take a snapshot; levels of size zero are absent. The book is valid afterwards."""
        self._sizes = (
            {price: size for price, size in bids if size},
            {price: size for price, size in asks if size},
        )
        self._prices = (sorted(self._sizes[BID]), sorted(self._sizes[ASK]))
        self.is_valid = True
        self.version += 1

    def set(self, side: int, price: int, size: int) -> None:
        """Set the total at a price; zero removes the level, and removing an unknown level is normal."""
        sizes = self._sizes[side]
        if size:
            if price not in sizes:
                insort(self._prices[side], price)
            sizes[price] = size
        elif sizes.pop(price, None) is not None:
            prices = self._prices[side]
            del prices[bisect_left(prices, price)]
        self.version += 1

    def size_at(self, side: int, price: int) -> int:
        """Total at a price, 0 where there is no level."""
        return self._sizes[side].get(price, 0)

    def invalidate(self) -> None:
        """Forget everything: a message was lost, so nothing here can be trusted until the next snapshot."""
        self._sizes = ({}, {})
        self._prices = ([], [])
        self.is_valid = False
        self.version += 1

    def best(self, side: int) -> int:
        """Best price of a side, 0 where the side is empty."""
        prices = self._prices[side]
        if not prices:
            return 0
        return prices[0] if side else prices[-1]

    def has_top(self, best_bid: int, best_ask: int) -> bool:
        """Whether these are the best prices (0: an empty side)."""
        bids, asks = self._prices
        return (bids[-1] if bids else 0) == best_bid and (asks[0] if asks else 0) == best_ask

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid reaches the best ask."""
        bids, asks = self._prices
        return bool(bids and asks and bids[-1] >= asks[0])

    def top(self, side: int, n: int) -> Levels:
        """The best `n` levels, best first."""
        prices, sizes = self._prices[side], self._sizes[side]
        best = prices[:n] if side else prices[: -n - 1 : -1]
        return [(price, sizes[price]) for price in best]

    def truncate(self, n: int) -> None:
        """Keep the best `n` levels a side, as Kraken's subscriptions do."""
        for side in (BID, ASK):
            prices, sizes = self._prices[side], self._sizes[side]
            extra = prices[n:] if side else prices[: len(prices) - n] if len(prices) > n else []
            if extra:
                for price in extra:
                    del sizes[price]
                self._prices[side][:] = prices[:n] if side else prices[-n:]
                self.version += 1

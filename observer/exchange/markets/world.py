"""Everything that venues share about the made-up world: which coins there are, what they cost, where windows settle."""

from observer.exchange.floor import Floor
from observer.exchange.markets.coins import COINS, Coin
from observer.exchange.markets.crowd import gaussian_fair
from observer.exchange.markets.walk import Walk
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError

# A settlement is certain only when the averaging minute is over; until then this much can still happen.
_LEAST_SPAN_NS = 5 * NS_PER_S


class World:
    """The underlyings.

    Args:
        floor: whose seed and start it lives by.
        coins: upper-case names out of `COINS`; empty takes all.
        moves_hz: moves per second of a binary market whose window is open.

    Raises:
        UsageError: a coin that is not known.
    """

    def __init__(self, floor: Floor, coins: tuple[str, ...] = (), moves_hz: float = 5.0) -> None:
        unknown = [name for name in coins if name not in COINS]
        if unknown:
            raise UsageError(f"no coin is called {unknown[0]!r}. Known: {', '.join(COINS)}.")
        self.floor, self.moves_hz = floor, moves_hz
        self.coins: dict[str, Coin] = {name: COINS[name] for name in coins or COINS}
        self.walks = {
            name: Walk(floor.seed, coin, floor.agenda.now_ns) for name, coin in self.coins.items()
        }  # fmt: skip
        self._boundaries: dict[tuple[str, int, bool], float] = {}

    def boundary(self, coin: str, when_ns: int, *, is_candle: bool = False) -> float:
        """The price that settles at a boundary.

        Args:
            coin: whose.
            when_ns: the boundary.
            is_candle: the price at that moment (a candle's open or close), not the average of the sixty one-second
                values up to it.
        """
        key = (coin, when_ns, is_candle)
        if key not in self._boundaries:
            walk = self.walks[coin]
            self._boundaries[key] = round(walk.price(when_ns) if is_candle else walk.mean(when_ns), 8)
        return self._boundaries[key]

    def forget_before(self, when_ns: int) -> None:
        """Drop settlement prices that nobody asks for any more."""
        for key in [key for key in self._boundaries if key[1] < when_ns]:
            del self._boundaries[key]

    def fair(self, coin: str, open_ns: int, close_ns: int, now_ns: int, *, is_candle: bool = False) -> float:
        """Probability that a window ends Up, as a well-informed crowd sees it; from the end on, the result."""
        if now_ns < open_ns:
            return 0.5
        strike = self.boundary(coin, open_ns, is_candle=is_candle)
        if now_ns >= close_ns:
            return 1.0 if self.boundary(coin, close_ns, is_candle=is_candle) >= strike else 0.0
        walk = self.walks[coin]
        return gaussian_fair(walk.price(now_ns), strike, walk.sigma(max(close_ns - now_ns, _LEAST_SPAN_NS)))

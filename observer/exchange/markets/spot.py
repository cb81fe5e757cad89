"""The book of an underlying on one venue: made up around the common walk, with ids that count every change.

Venues group these changes as their protocols do (100 ms diffs, single updates, snapshots); the book itself does not
know who watches.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from observer.book import ASK, BID, Book
from observer.exchange.floor import Floor
from observer.exchange.markets.walk import Walk
from observer.exchange.wire import dice, to_scaled
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.records import BUY, SELL

_MOST_LEVELS, _FEWEST_LEVELS = 150, 40
_FIRST_LEVELS = 80
_MEAN_DISTANCE = 2e-4  # of the price, from the touch to a new level
_TRADE_CHANCE = 0.12


class SpotTrade(NamedTuple):
    """A trade of the underlying; `side` is the taker's."""

    number: int
    side: int
    price: int
    size: int
    ns: int


class SpotStep(NamedTuple):
    """What happened at one moment: levels (side, price, new size) with the id of the first, and a trade or None."""

    ns: int
    first_id: int
    levels: list[tuple[int, int, int]]
    trade: SpotTrade | None


class SpotBook:
    """One underlying on one venue.

    Args:
        floor: whose seed and agenda it lives by.
        name: unique, e.g. "binance-spot/BTC".
        walk: the price it follows.
        grid: price step, scaled.
        rate_hz: moves per second, on average.
        id_jump: ids grow by 1 to this much per change (futures ids have holes).

    Attributes:
        last_id: id of the last change.
        trades: the last hundred trades, oldest first.
    """

    def __init__(self, floor: Floor, name: str, walk: Walk, grid: int, rate_hz: float = 20.0, id_jump: int = 1) -> None:
        self.floor, self.name, self.walk, self.grid, self.rate_hz = floor, name, walk, grid, rate_hz
        self._id_jump = id_jump
        self._dice = dice(floor.seed, "spot", name)
        self.book = Book()
        self.last_id = self._dice.randint(10**9, 10**10)
        self._next_trade = self._dice.randint(10**8, 10**9)
        self.changed_ns = floor.agenda.now_ns
        self.trades: list[SpotTrade] = []
        self.watchers: list[Callable[[SpotBook, SpotStep], None]] = []
        self._fill()
        self._again()

    def price_scaled(self) -> int:
        """The walk's price now, scaled."""
        return to_scaled(self.walk.price(self.floor.agenda.now_ns))

    def put(self, levels: list[tuple[int, int, int]], trade: SpotTrade | None = None) -> None:
        """Set levels (side, price, size) and tell the watchers; levels that are so already are left out."""
        book = self.book
        real = [level for level in levels if book.size_at(level[0], level[1]) != level[2]]
        if not real and trade is None:
            return
        first_id = self.last_id
        for place, (side, price, size) in enumerate(real):
            book.set(side, price, size)
            self.last_id += 1 if self._id_jump == 1 else self._dice.randint(1, self._id_jump)
            if place == 0:
                first_id = self.last_id
        self.changed_ns = self.floor.agenda.now_ns
        if trade is not None:
            self.trades = [*self.trades[-99:], trade]
        step = SpotStep(self.changed_ns, first_id, real, trade)
        for watcher in self.watchers:
            watcher(self, step)

    def deepen(self, levels: int) -> None:
        """Lay so many far levels out on both sides, at once."""
        bid, ask, grid = self.book.best(BID), self.book.best(ASK), self.grid
        far = [(BID, bid - (1_000 + i) * grid, SCALE) for i in range(levels) if bid > (1_000 + i) * grid]
        self.put(far + [(ASK, ask + (1_000 + i) * grid, SCALE) for i in range(levels)])

    def _fill(self) -> None:
        grid, mid = self.grid, self.price_scaled() // self.grid
        bids, asks = {(mid - 1) * grid: self._size()}, {(mid + 1) * grid: self._size()}
        for _ in range(_FIRST_LEVELS):
            bids[max(mid - 1 - self._distance(), 1) * grid] = self._size()
            asks[(mid + 1 + self._distance()) * grid] = self._size()
        self.book.replace(bids.items(), asks.items())

    def _again(self) -> None:
        self.floor.agenda.after(int(self._dice.expovariate(self.rate_hz) * NS_PER_S) + 1, self._act)

    def _act(self) -> None:
        if not self.floor.is_still:
            self._move()
        self._again()

    def _move(self) -> None:
        book, grid, roll = self.book, self.grid, self._dice
        mid = self.price_scaled() // grid
        bid, ask = (mid - 1 - roll.randint(0, 1)) * grid, (mid + 1 + roll.randint(0, 1)) * grid
        levels: list[tuple[int, int, int]] = []
        for side, limit in ((BID, bid), (ASK, ask)):
            levels += [(side, price, 0) for price in self._beyond(side, limit)]
            if not book.size_at(side, limit):
                levels.append((side, limit, self._size()))
        self.put(levels)
        chance = roll.random()
        if chance < _TRADE_CHANCE:
            self._trade()
            return
        self.put([self._nudge(roll.choice((BID, ASK))) for _ in range(roll.randint(1, 3))])

    def _beyond(self, side: int, limit: int) -> list[int]:
        """Prices of a side that are better than its limit: all of them, however far the price has jumped."""
        n, found = 20, []
        while True:
            found = [price for price, _ in self.book.top(side, n) if (price > limit if side == BID else price < limit)]
            if len(found) < n:
                return found
            n *= 4

    def _trade(self) -> None:
        side = self._dice.choice((BUY, SELL))
        hit = ASK if side == BUY else BID
        (price, there), *_ = self.book.top(hit, 1)
        size = min(self._size() // 4 // self.walk.coin.lot * self.walk.coin.lot or self.walk.coin.lot, there)
        self._next_trade += 1
        trade = SpotTrade(self._next_trade, side, price, size, self.floor.agenda.now_ns)
        left = there - size
        if not left and len(self.book.top(hit, 2)) < 2:
            left = there  # the last level of a side is refilled at once
        self.put([(hit, price, left)], trade)

    def _nudge(self, side: int) -> tuple[int, int, int]:
        book, roll = self.book, self._dice
        known = book.top(side, _MOST_LEVELS + 1)
        if len(known) > _MOST_LEVELS:
            return side, known[-1][0], 0
        if roll.random() < 0.5 or len(known) < _FEWEST_LEVELS:
            away = self._distance() * self.grid
            price = known[0][0] - away if side == BID else known[0][0] + away
            return (side, price, self._size()) if price > 0 else (side, known[0][0], self._size())
        price, _ = known[roll.randint(1, len(known) - 1)]
        return side, price, 0 if roll.random() < 0.4 else self._size()

    def _distance(self) -> int:
        mean = max(_MEAN_DISTANCE * self.walk.coin.usd * SCALE / self.grid, 2.0)
        return 1 + int(self._dice.expovariate(1 / mean))

    def _size(self) -> int:
        coin = self.walk.coin
        usd = math.exp(self._dice.gauss(8.0, 1.3))  # about 3,000 USD
        return max(int(usd / coin.usd * SCALE) // coin.lot, 1) * coin.lot

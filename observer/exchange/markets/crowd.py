"""The crowd of a made-up binary market: quotes around a fair price, cancels, resizes, trades.

The book is never crossed: what a moved price would cross is taken away before anything is put down. When the fair
price passes 0.96 or 0.04 the market's tick becomes ten times finer, once and for good.
"""

import math
from collections.abc import Callable

from observer.book import ASK, BID
from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary
from observer.exchange.wire import dice
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.records import BUY, DOWN, SELL, UP

COARSE, FINE = SCALE // 100, SCALE // 1000
_SWITCH_AT = 0.04
_LEVELS = 12  # quoted on each side at the start
_NEAR = 3  # levels next to the touch that are always filled
_MOST_LEVELS = 40
_TRADE_CHANCE = 0.03
_SHARE = SCALE // 100  # sizes are multiples of 0.01 shares


def gaussian_fair(price: float, strike: float, sigma: float) -> float:
    """Probability that a driftless log-normal price ends at or above the strike."""
    if sigma <= 0:
        return 1.0 if price >= strike else 0.0
    return 0.5 * (1.0 + math.erf(math.log(price / strike) / sigma / math.sqrt(2.0)))


class Crowd:
    """Moves one market until it is told to stop.

    Args:
        floor: whose seed and agenda it lives by.
        market: whose books it moves; they must be unified.
        fair: probability of Up at a time.
        rate_hz: moves per second, on average; may be changed later.
        may_switch: whether the tick gets finer near 0 and 1.
    """

    def __init__(
        self, floor: Floor, market: Binary, fair: Callable[[int], float], rate_hz: float, *, may_switch: bool = True
    ) -> None:
        self.floor, self.market, self.fair, self.rate_hz = floor, market, fair, rate_hz
        self._may_switch = may_switch
        self._dice = dice(floor.seed, "crowd", market.key)
        self.is_running = False
        self._fill(floor.agenda.now_ns)

    def start(self) -> None:
        """Begin to move."""
        if not self.is_running:
            self.is_running = True
            self._again()

    def stop(self) -> None:
        """Never move again."""
        self.is_running = False

    def _again(self) -> None:
        self.floor.agenda.after(int(self._dice.expovariate(self.rate_hz) * NS_PER_S) + 1, self._act)

    def _act(self) -> None:
        if not self.is_running:
            return
        if not self.floor.is_still:
            self._move(self.floor.agenda.now_ns)
        self._again()

    def _move(self, now_ns: int) -> None:
        market, fair = self.market, self._clipped(now_ns)
        if self._may_switch and market.tick == COARSE and not _SWITCH_AT < fair < 1 - _SWITCH_AT:
            market.set_tick(now_ns, FINE)
        levels = self._requote(fair)
        if levels:
            market.apply(now_ns, levels)
        if self._dice.random() < _TRADE_CHANCE:
            token, side = self._dice.choice((UP, DOWN)), self._dice.choice((BUY, SELL))
            market.take(now_ns, token, side, self._dice.randint(100, 20_000) * _SHARE)
        else:
            market.apply(now_ns, [self._nudge()])

    def _requote(self, fair: float) -> list[tuple[int, int, int, int]]:
        """What must go and come so that the book lies around the fair price."""
        book, tick = self.market.books[UP], self.market.tick
        bid = min(max(math.ceil(fair * SCALE / tick) - 1, 0), SCALE // tick - 1)
        ask = bid + 1 + (self._dice.random() < 0.1)
        gone: list[tuple[int, int]] = []
        for side, limit in ((BID, bid * tick), (ASK, ask * tick)):
            # The grid ends, so a whole side is never long; all of it may lie beyond the fair price after a jump.
            for place, (price, _) in enumerate(book.top(side, SCALE // tick)):
                is_beyond = price > limit if side == BID else price < limit
                if is_beyond or _MOST_LEVELS <= place < 2 * _MOST_LEVELS:
                    gone.append((side, price))
        come = [(BID, (bid - i) * tick) for i in range(_NEAR)] + [(ASK, (ask + i) * tick) for i in range(_NEAR)]
        return [(UP, side, price, 0) for side, price in gone] + [
            (UP, side, price, self._size())
            for side, price in come
            if 0 < price < SCALE and not book.size_at(side, price)
        ]

    def _nudge(self) -> tuple[int, int, int, int]:
        """Resize, add or cancel one level behind the touch."""
        side = self._dice.choice((BID, ASK))
        book, tick = self.market.books[UP], self.market.tick
        best = book.best(side) or (tick if side == ASK else SCALE - tick)
        away = self._dice.randint(0, _LEVELS) * tick
        price = best + away if side == ASK else best - away
        if not 0 < price < SCALE:
            price = best
        is_cancel = away > _NEAR * tick and self._dice.random() < 0.4
        crossing = book.best(ASK if side == BID else BID)
        if crossing and ((price >= crossing) if side == BID else (price <= crossing)):
            return UP, side, price, 0
        return UP, side, price, 0 if is_cancel else self._size()

    def _fill(self, now_ns: int) -> None:
        """The first book, with both walls far out."""
        fair, tick = self._clipped(now_ns), self.market.tick
        bid = min(max(math.ceil(fair * SCALE / tick) - 1, 1), SCALE // tick - 2)
        levels = [(UP, BID, (bid - i) * tick, self._size()) for i in range(_LEVELS) if bid - i > 0]
        levels += [
            (UP, ASK, (bid + 1 + i) * tick, self._size()) for i in range(_LEVELS) if (bid + 1 + i) * tick < SCALE
        ]
        self.market.apply(now_ns, levels)

    def _clipped(self, now_ns: int) -> float:
        return min(max(self.fair(now_ns), 0.0005), 0.9995)

    def _size(self) -> int:
        return int(self._dice.lognormvariate(4.5, 1.2) * 100 + 500) * _SHARE

"""The made-up price of an underlying: a log-normal walk, one step every 100 ms, the same for every venue.

Any time since the start can be asked for. Blocks of ten minutes are drawn when needed and a few are kept; only one
number per block stays for ever, so weeks of it fit in memory.
"""

import math

import numpy as np
from numpy.typing import NDArray

from observer.exchange.markets.coins import Coin
from observer.kit.clock import NS_PER_S
from observer.kit.rng import stream

STEP_NS = NS_PER_S // 10
_STEPS_PER_S = 10
_BLOCK = 6_000  # steps
_KEPT_BLOCKS = 4
_YEAR_NS = 365 * 86_400 * NS_PER_S


class Walk:
    """Price of one coin as a function of time.

    Args:
        seed: same seed, same walk.
        coin: where it begins and how wild it is.
        start_ns: its first step; before it the price stands at the start.
    """

    def __init__(self, seed: int, coin: Coin, start_ns: int) -> None:
        self.coin, self.start_ns, self._seed = coin, start_ns, seed
        self._sigma = coin.vol * math.sqrt(STEP_NS / _YEAR_NS)
        self._logs = [math.log(coin.usd)]  # at the beginning of each block
        self._blocks: dict[int, NDArray[np.float64]] = {}

    def price(self, ns: int) -> float:
        """USD at a time."""
        block, step = divmod(max(ns - self.start_ns, 0) // STEP_NS, _BLOCK)
        return float(self._block(block)[step])

    def mean(self, end_ns: int, seconds: int = 60) -> float:
        """Average of the one-second values of the `seconds` up to and including `end_ns`."""
        last = (end_ns - self.start_ns) // STEP_NS
        first = last - (seconds - 1) * _STEPS_PER_S
        block = max(first, 0) // _BLOCK
        if first >= 0 and last // _BLOCK == block:
            here = self._block(block)[first % _BLOCK : last % _BLOCK + 1 : _STEPS_PER_S]
            return float(here.mean())
        return math.fsum(self.price(end_ns - i * NS_PER_S) for i in range(seconds)) / seconds

    def sigma(self, span_ns: int) -> float:
        """Standard deviation of the log return over a span."""
        return self.coin.vol * math.sqrt(max(span_ns, 0) / _YEAR_NS)

    def _block(self, index: int) -> NDArray[np.float64]:
        found = self._blocks.get(index)
        if found is None:
            while len(self._logs) <= index:
                self._logs.append(self._logs[-1] + float(self._steps(len(self._logs) - 1).sum()))
            moves = np.concatenate([[0.0], self._steps(index)[:-1]])
            found = np.exp(self._logs[index] + np.cumsum(moves))
            self._blocks[index] = found
            while len(self._blocks) > _KEPT_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
        return found

    def _steps(self, index: int) -> NDArray[np.float64]:
        return stream(self._seed, "exchange", "walk", self.coin.name, index).standard_normal(_BLOCK) * self._sigma

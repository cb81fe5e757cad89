"""How far Up's price moved over the last few ticks, for the rules that follow such a move or lean against it."""

import math
from collections import deque


class Move:
    """The price now less the price `lookback_ticks` ticks ago, both of which must have been quoted.

    A gap in the quotes is not bridged.
    """

    def __init__(self, lookback_ticks: int) -> None:
        self.lookback_ticks = lookback_ticks
        self.prices: deque[float] = deque(maxlen=lookback_ticks + 1)

    def forget(self) -> None:
        """Begin a window."""
        self.prices.clear()

    def see(self, price: float) -> float:
        """Take in a tick's price, USD per share; return the move, NaN where one of the two prices is not known."""
        self.prices.append(price)
        if len(self.prices) <= self.lookback_ticks:
            return math.nan
        # Rounded to a hundredth of the finest price step, so that 0.53 - 0.50 counts as 0.03.
        return round(price - self.prices[0], 6)

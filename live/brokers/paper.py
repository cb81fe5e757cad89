"""The paper broker: orders meet the recorded or live quotes under the money law, and nothing is sent anywhere.

It prices each tick as it comes and drives the same account as labels, backtest and evaluation, so paper profit on
a replayed recording is their profit to the bit.
"""

import numpy as np
from numpy.typing import NDArray

from mlx_rl.market.fills import TickPricer
from mlx_rl.market.law import LawSettings
from mlx_rl.market.portfolio import Account, Filled
from observer.records import Market


class PaperBroker:
    """Accounts of the open windows, by market id."""

    def __init__(self, law: LawSettings) -> None:
        self.law = law
        self.accounts: dict[str, Account] = {}
        self._pricers: dict[str, TickPricer] = {}

    def open(self, market: Market) -> Account:
        """Open a window's account, with no cash and no position."""
        self.accounts[market.market_id] = Account(self.law)
        self._pricers[market.market_id] = TickPricer(market, self.law)
        return self.accounts[market.market_id]

    def on_tick(
        self,
        market_id: str,
        recv_ns: int,
        row: NDArray[np.float64],
        ladder_price: NDArray[np.float64] | None = None,
        ladder_size: NDArray[np.float64] | None = None,
    ) -> Filled | None:
        """Take in a tick; return what became of an order that was due at it."""
        fills = self._pricers[market_id].price(row, ladder_price, ladder_size)
        return self.accounts[market_id].on_tick(recv_ns, fills)

    def submit(self, market_id: str, action: int) -> int:
        """Send the order of an allowed action, decided on the latest tick; return which order that is."""
        return self.accounts[market_id].decide(action)

    def settle(self, market_id: str, payoff_up: float) -> float:
        """Pay out a closed window at `payoff_up` USD per Up share; return its net USD."""
        return self.accounts[market_id].settle(payoff_up)

    def forget(self, market_id: str) -> None:
        """Drop a window that is over."""
        del self.accounts[market_id], self._pricers[market_id]

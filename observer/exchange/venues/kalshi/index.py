"""The settlement indices, as Kalshi passes them on: once a second, and five times a second for the big ones."""

from collections.abc import Callable
from typing import Any

from observer.exchange.floor import Floor
from observer.exchange.markets.world import World
from observer.exchange.wire import ms
from observer.kit.clock import NS_PER_MS, NS_PER_S

SLOW, FAST = "cfbenchmarks_value", "cfbenchmarks_value_5hz"
INDEX_CHANNELS = (SLOW, FAST)
_FAST_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE")
_QUARTER_S = 900
_STEP_NS = 200 * NS_PER_MS


def index_id(coin: str) -> str:
    """What the index of a coin is called."""
    return "BRTI" if coin == "BTC" else f"{coin}USD_RTI"


class Indices:
    """Publishes the indices.

    Args:
        floor: whose agenda it lives by.
        world: the prices.

    Attributes:
        listeners: called with (index id, whether it is the fast feed, message).
    """

    def __init__(self, floor: Floor, world: World) -> None:
        self.floor, self.world = floor, world
        self.listeners: list[Callable[[str, bool, dict[str, Any]], None]] = []
        self._next_ns = floor.agenda.now_ns // NS_PER_S * NS_PER_S + NS_PER_S
        floor.agenda.at(self._next_ns, self._beat)

    def _beat(self) -> None:
        at_ns = self._next_ns
        is_second = at_ns % NS_PER_S == 0
        for coin in self.world.coins:
            price = self.world.walks[coin].price(at_ns)
            if coin in _FAST_COINS:
                self._publish(coin, True, self._message(coin, price, at_ns))
            if is_second:
                message = self._message(coin, price, at_ns)
                message["avg_60s_data"] = f"{self.world.walks[coin].mean(at_ns):.8f}"
                left_s = _QUARTER_S - at_ns // NS_PER_S % _QUARTER_S
                if left_s <= 60:
                    seen = 60 - left_s + 1
                    message["last_60s_windowed_average_15min"] = f"{self.world.walks[coin].mean(at_ns, seen):.8f}"
                self._publish(coin, False, message)
        self._next_ns += _STEP_NS
        self.floor.agenda.at(self._next_ns, self._beat)

    def _message(self, coin: str, price: float, at_ns: int) -> dict[str, Any]:
        stamp, name = ms(at_ns + self.floor.faults.skew_ns("kalshi")), index_id(coin)
        return {
            "index_id": name, "value_usd": f"{price:.8f}", "source_ts_ms": stamp, "received_at": stamp + 18,
            "data": f'{{"type":"value","id":"{name}","time":{stamp},"value":"{price:.2f}"}}',
        }  # fmt: skip

    def _publish(self, coin: str, is_fast: bool, message: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener(index_id(coin), is_fast, message)

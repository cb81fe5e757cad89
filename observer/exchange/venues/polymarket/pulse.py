"""What feeds the live-data socket from the made-up world: a second may be missing, or come twice."""

from observer.exchange.floor import Floor
from observer.exchange.markets.world import World
from observer.exchange.venues.polymarket.rtds import BINANCE, CHAINLINK, TWAP_30, TWAP_60, Rtds
from observer.exchange.wire import dice
from observer.kit.clock import NS_PER_MS, NS_PER_S

_MISSING, _CORRECTED = 0.09, 0.02
_BINANCE_DELAY_NS, _CORRECTION_NS = 500 * NS_PER_MS, 300 * NS_PER_MS


class Pulse:
    """Publishes every second of every coin, about 1.2 s after it was.

    Args:
        floor: whose agenda it lives by.
        world: the prices.
        rtds: where they are published.
    """

    def __init__(self, floor: Floor, world: World, rtds: Rtds) -> None:
        self.floor, self.world, self.rtds = floor, world, rtds
        self._dice = dice(floor.seed, "pulse")
        self._next_ns = floor.agenda.now_ns // NS_PER_S * NS_PER_S + NS_PER_S
        floor.agenda.at(self._next_ns, self._beat)

    def _beat(self) -> None:
        at_ns, agenda = self._next_ns, self.floor.agenda
        for name, coin in self.world.coins.items():
            value = round(self.world.walks[name].price(at_ns), 8)
            if "binance-spot" in coin.grids and self._dice.random() >= _MISSING / 3:
                self._later(BINANCE, f"{coin.slug}usdt", at_ns, value, _BINANCE_DELAY_NS)
            if self._dice.random() < _MISSING:
                continue
            symbol, delay_ns = f"{coin.slug}/usd", self._dice.randint(1_050, 1_400) * NS_PER_MS
            self._later(CHAINLINK, symbol, at_ns, value, delay_ns)
            for topic, seconds in ((TWAP_30, 30), (TWAP_60, 60)):
                self._later(topic, symbol, at_ns, self.world.walks[name].mean(at_ns, seconds), delay_ns)
            if self._dice.random() < _CORRECTED:
                corrected = round(value * (1 + self._dice.gauss(0.0, 1e-6)), 8)
                self._later(CHAINLINK, symbol, at_ns, corrected, delay_ns + _CORRECTION_NS)
        self._next_ns += NS_PER_S
        agenda.at(self._next_ns, self._beat)

    def _later(self, topic: str, symbol: str, at_ns: int, value: float, delay_ns: int) -> None:
        self.floor.agenda.at(at_ns + delay_ns, lambda: self.rtds.publish(topic, symbol, at_ns, value))

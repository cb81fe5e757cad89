"""Kalshi's quarter-hour markets: tickers on New York's clock, and a life of which the feed tells only a part."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary, Print, Step
from observer.exchange.markets.coins import Coin
from observer.exchange.markets.crowd import COARSE, Crowd
from observer.exchange.markets.world import World
from observer.exchange.wire import dice
from observer.kit.clock import NS_PER_S

WIDTH_NS = 900 * NS_PER_S
_KEPT_NS = 6 * 3600 * NS_PER_S
_LISTED_AHEAD = 2  # windows after the open one
_KEPT_TRADES = 500
_NEW_YORK = ZoneInfo("America/New_York")


class TimedPrint(NamedTuple):
    """A trade and when it was."""

    ns: int
    trade: Print


@dataclass(eq=False)
class Contract:
    """One market.

    Attributes:
        determined_ns, settled_ns: when its result is told, and when it is final.
        strike: price to beat, USD; known from the opening on.
        trades: the latest, oldest first.
    """

    ticker: str
    event_ticker: str
    series_ticker: str
    coin: Coin
    open_ns: int
    close_ns: int
    determined_ns: int
    settled_ns: int
    market: Binary
    strike: Callable[[], float]
    payoff_up: Callable[[], float]
    trades: deque[TimedPrint] = field(default_factory=lambda: deque(maxlen=_KEPT_TRADES))

    def status(self, now_ns: int) -> str:
        """Where in its life it is."""
        for limit_ns, status in (
            (self.open_ns, "initialized"), (self.close_ns, "active"), (self.determined_ns, "closed"),
            (self.settled_ns, "determined"),
        ):  # fmt: skip
            if now_ns < limit_ns:
                return status
        return "finalized"

    def result(self, now_ns: int) -> str:
        """ "yes", "no", or "" before it is determined."""
        if now_ns < self.determined_ns:
            return ""
        return "yes" if self.payoff_up() >= 0.5 else "no"

    def stepped(self, market: Binary, step: Step) -> None:
        """Keep the trades."""
        if step.trade is not None:
            self.trades.append(TimedPrint(step.ns, step.trade))

    def tick_changed(self, market: Binary, old: int) -> None:
        """These markets keep their price step."""


class Contracts:
    """Lists, opens, closes and settles the windows of all coins.

    Args:
        floor: whose agenda it lives by.
        world: what they are about.

    Attributes:
        by_ticker: every market, in order of listing.
        on_created, on_determined, on_settled: called with the market.
    """

    def __init__(self, floor: Floor, world: World) -> None:
        self.floor, self.world = floor, world
        self.by_ticker: dict[str, Contract] = {}
        self.on_created: list[Callable[[Contract], None]] = []
        self.on_determined: list[Callable[[Contract], None]] = []
        self.on_settled: list[Callable[[Contract], None]] = []
        self._tend()

    def _tend(self) -> None:
        """At each quarter hour: list what comes, forget what is long over."""
        now_ns = self.floor.agenda.now_ns
        first_ns = now_ns // WIDTH_NS * WIDTH_NS
        for ahead in range(_LISTED_AHEAD + 1):
            for coin in self.world.coins.values():
                if _tickers(coin, first_ns + (ahead + 1) * WIDTH_NS)[2] not in self.by_ticker:
                    self._list(coin, first_ns + ahead * WIDTH_NS)
        for ticker in [t for t, c in self.by_ticker.items() if c.settled_ns + _KEPT_NS < now_ns]:
            del self.by_ticker[ticker]
        self.floor.agenda.at(first_ns + WIDTH_NS, self._tend)

    def _list(self, coin: Coin, open_ns: int) -> None:
        world, agenda, close_ns = self.world, self.floor.agenda, open_ns + WIDTH_NS
        series, event, ticker = _tickers(coin, close_ns)
        roll = dice(self.floor.seed, "kalshi", ticker)
        market = Binary(ticker, COARSE, agenda.now_ns)
        determined_ns = close_ns + roll.randint(5, 60) * NS_PER_S
        contract = Contract(
            ticker, event, series, coin, open_ns, close_ns, determined_ns, determined_ns + 30 * NS_PER_S, market,
            lambda: world.boundary(coin.name, open_ns), lambda: world.fair(coin.name, open_ns, close_ns, close_ns),
        )  # fmt: skip
        self.by_ticker[ticker] = contract
        market.watchers.append(contract)
        agenda.at(open_ns, lambda: self._open(contract))
        agenda.at(contract.determined_ns, lambda: self._tell(self.on_determined, contract))
        agenda.at(contract.settled_ns, lambda: self._tell(self.on_settled, contract))
        self._tell(self.on_created, contract)

    def _open(self, contract: Contract) -> None:
        world, coin = self.world, contract.coin.name
        crowd = Crowd(
            self.floor, contract.market, lambda ns: world.fair(coin, contract.open_ns, contract.close_ns, ns),
            world.moves_hz, may_switch=False,
        )  # fmt: skip
        crowd.start()
        self.floor.agenda.at(contract.close_ns, crowd.stop)

    @staticmethod
    def _tell(listeners: list[Callable[[Contract], None]], contract: Contract) -> None:
        for listener in listeners:
            listener(contract)


def _tickers(coin: Coin, close_ns: int) -> tuple[str, str, str]:
    """Series, event and market of the window that closes then, e.g. KXBTC15M-26MAY242000-00."""
    close = datetime.fromtimestamp(close_ns // NS_PER_S, UTC).astimezone(_NEW_YORK)
    series = f"KX{coin.name}15M"
    event = f"{series}-{close:%y%b%d%H%M}".upper()
    return series, event, f"{event}-{close:%M}"

"""The rolling crypto windows: every five and fifteen minutes a new one, listed a day before it opens.

Only the window that is open and the next one have a crowd; the books of later ones stand still until then.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary
from observer.exchange.markets.coins import Coin
from observer.exchange.markets.crowd import COARSE, Crowd
from observer.exchange.markets.world import World
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.listed import Event, Fees, Listed, Series, Tag
from observer.exchange.wire import dice
from observer.kit.clock import NS_PER_S

CRYPTO, UP_OR_DOWN = Tag(21, "Crypto", "crypto"), Tag(102127, "Up or Down", "up-or-down")
CRYPTO_FEES = Fees("crypto_fees_v2", 0.07)
DAY_NS = 86_400 * NS_PER_S
_SPANS = {"5m": (300, 10684, Tag(102892, "5M", "5M")), "15m": (900, 10192, Tag(102467, "15M", "15M"))}
_STEP_NS = 300 * NS_PER_S
_NEW_YORK = ZoneInfo("America/New_York")


class Rolling:
    """Lists windows, wakes their crowds, settles them.

    Args:
        floor: whose agenda it lives by.
        world: the prices that windows begin and end at.
        board: where windows are listed.
        spans: "5m", "15m".
    """

    def __init__(self, floor: Floor, world: World, board: Board, spans: tuple[str, ...] = ("5m", "15m")) -> None:
        self.floor, self.world, self.board, self.spans = floor, world, board, spans
        self._crowds: dict[str, Crowd] = {}
        now_ns = floor.agenda.now_ns
        for span in spans:
            width_ns = _SPANS[span][0] * NS_PER_S
            first_ns = now_ns // width_ns * width_ns
            for open_ns in range(first_ns, now_ns + DAY_NS + 1, width_ns):
                self._list(span, open_ns, is_news=False)
        self._tend()

    def _tend(self) -> None:
        """Every five minutes: list what comes a day from now, wake what opens next, forget what is long over."""
        now_ns = self.floor.agenda.now_ns
        for span in self.spans:
            width_ns = _SPANS[span][0] * NS_PER_S
            open_ns = now_ns // width_ns * width_ns
            self._list(span, (now_ns + DAY_NS) // width_ns * width_ns, is_news=True)
            for coin in self.world.coins.values():
                self._wake(_slug(coin, span, open_ns), self.world.moves_hz)
                self._wake(_slug(coin, span, open_ns + width_ns), self.world.moves_hz / 4)
        self.board.forget(now_ns)
        self.world.forget_before(now_ns - DAY_NS)
        self.floor.agenda.at(now_ns // _STEP_NS * _STEP_NS + _STEP_NS, self._tend)

    def _list(self, span: str, open_ns: int, *, is_news: bool) -> None:
        for place, coin in enumerate(self.world.coins.values()):
            if _slug(coin, span, open_ns) not in self.board.events:
                self.board.add(self._event(place, coin, span, open_ns), is_news=is_news)

    def _wake(self, slug: str, rate_hz: float) -> None:
        listed = self.board.slug(slug)
        if listed is None or listed.is_closed(self.floor.agenda.now_ns):
            return
        _ = listed.market  # makes its crowd
        crowd = self._crowds[slug]
        crowd.rate_hz = rate_hz
        if not crowd.is_running:
            crowd.start()
            self.floor.agenda.at(listed.closes_ns, lambda: self._close(slug))

    def _close(self, slug: str) -> None:
        crowd = self._crowds.pop(slug, None)
        if crowd is not None:
            crowd.stop()

    def _event(self, place: int, coin: Coin, span: str, open_ns: int) -> Event:
        seconds, series_number, tag = _SPANS[span]
        close_ns = open_ns + seconds * NS_PER_S
        slug, roll = _slug(coin, span, open_ns), dice(self.floor.seed, "window", _slug(coin, span, open_ns))
        number = (place * 10 + len(span)) * 10_000_000 + open_ns // _STEP_NS
        event = Event(
            number, slug, _title(coin, open_ns, close_ns), open_ns - DAY_NS - roll.randint(0, 600) * NS_PER_S,
            open_ns, close_ns, (CRYPTO, UP_OR_DOWN, tag, Tag(1_000 + place, coin.word, coin.word.lower())),
            Series(series_number + place * 7, f"{coin.slug}-up-or-down-{span}", f"{coin.name} Up or Down {span}", span),
            coin.slug, span, _rule(coin),
        )  # fmt: skip
        world = self.world
        event.markets.append(
            Listed(
                number + 1_000_000_000, slug, event.title, event, ("Up", "Down"),
                "v2" if roll.random() < 0.25 else "v1", f"https://data.chain.link/streams/{coin.slug}-usd", CRYPTO_FEES,
                close_ns + roll.randint(16, 150) * NS_PER_S, self._make,
                lambda: world.boundary(coin.name, open_ns), lambda: world.boundary(coin.name, close_ns),
                lambda: world.fair(coin.name, open_ns, close_ns, close_ns), is_announced=roll.random() < 0.8,
            )
        )  # fmt: skip
        return event

    def _make(self, listed: Listed) -> Binary:
        event, world = listed.event, self.world
        coin = event.asset.upper()
        market = Binary(listed.slug, COARSE, self.floor.agenda.now_ns)
        crowd = Crowd(
            self.floor, market, lambda ns: world.fair(coin, event.start_ns, event.end_ns, ns), world.moves_hz
        )  # fmt: skip
        self._crowds[listed.slug] = crowd
        return market


def _slug(coin: Coin, span: str, open_ns: int) -> str:
    return f"{coin.slug}-updown-{span}-{open_ns // NS_PER_S}"


def _title(coin: Coin, open_ns: int, close_ns: int) -> str:
    start, end = (datetime.fromtimestamp(ns // NS_PER_S, UTC).astimezone(_NEW_YORK) for ns in (open_ns, close_ns))
    return f"{coin.word} Up or Down - {start:%B} {start.day}, {_hour(start)}-{_hour(end)} ET"


def _hour(when: datetime) -> str:
    return f"{when.hour % 12 or 12}:{when:%M%p}"


def _rule(coin: Coin) -> str:
    return (
        f'Resolves to "Up" if the time-weighted average {coin.word} price at the end of the range is greater than or '
        f'equal to that at its beginning, otherwise to "Down". Source: Chainlink {coin.name}/USD.'
    )

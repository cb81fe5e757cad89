"""The rolling crypto windows: one after the other without end, each listed a day before it opens.

Only the window that is open and the next one have a crowd; the books of later ones stand still until then.
"""

from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary
from observer.exchange.markets.coins import Coin
from observer.exchange.markets.crowd import COARSE, Crowd
from observer.exchange.markets.world import World
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.listed import Event, Fees, Listed, Tag
from observer.exchange.venues.polymarket.spans import SPANS, Span
from observer.exchange.wire import dice
from observer.kit.clock import NS_PER_S

CRYPTO, UP_OR_DOWN = Tag(21, "Crypto", "crypto"), Tag(102127, "Up or Down", "up-or-down")
CRYPTO_FEES = Fees("crypto_fees_v2", 0.07)
DAY_NS = 86_400 * NS_PER_S
_STEP_NS = 300 * NS_PER_S


class Rolling:
    """Lists windows, wakes their crowds, settles them.

    Args:
        floor: whose agenda it lives by.
        world: the prices that windows begin and end at.
        board: where windows are listed.
    """

    def __init__(self, floor: Floor, world: World, board: Board) -> None:
        self.floor, self.world, self.board = floor, world, board
        self._crowds: dict[str, Crowd] = {}
        now_ns = floor.agenda.now_ns
        for span in SPANS.values():
            for open_ns in span.openings(now_ns, now_ns + DAY_NS):
                self._list(span, open_ns, is_news=False)
        self._tend()

    def _tend(self) -> None:
        """Every five minutes: list what comes a day from now, wake what opens next, forget what is long over."""
        now_ns = self.floor.agenda.now_ns
        for span in SPANS.values():
            open_ns = span.opening(now_ns)
            self._list(span, span.opening(now_ns + DAY_NS), is_news=True)
            for coin in self.world.coins.values():
                self._wake(span.slug(coin, open_ns), self.world.moves_hz)
                self._wake(span.slug(coin, span.after(open_ns)), self.world.moves_hz / 4)
        self.board.forget(now_ns)
        self.world.forget_before(now_ns - DAY_NS)
        self.floor.agenda.at(now_ns // _STEP_NS * _STEP_NS + _STEP_NS, self._tend)

    def _list(self, span: Span, open_ns: int, *, is_news: bool) -> None:
        for place, coin in enumerate(self.world.coins.values()):
            if span.slug(coin, open_ns) not in self.board.events:
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

    def _event(self, place: int, coin: Coin, span: Span, open_ns: int) -> Event:
        slug, close_ns, world = span.slug(coin, open_ns), open_ns + span.width_ns, self.world
        roll = dice(self.floor.seed, "window", slug)
        number = (place * 10 + list(SPANS).index(span.name)) * 10_000_000 + open_ns // _STEP_NS
        event = Event(
            number, slug, span.title(coin, open_ns), open_ns - DAY_NS - roll.randint(0, 600) * NS_PER_S, open_ns,
            close_ns, (CRYPTO, UP_OR_DOWN, span.tag, Tag(1_000 + place, coin.word, coin.word.lower())),
            span.series(place, coin), coin.slug, span.name, span.rule(coin),
        )  # fmt: skip
        event.markets.append(
            Listed(
                number + 1_000_000_000, slug, event.title, event, ("Up", "Down"),
                "v2" if roll.random() < 0.25 else "v1", span.source(coin), CRYPTO_FEES,
                close_ns + roll.randint(16, 150) * NS_PER_S, lambda listed: self._make(listed, coin, span),
                lambda: world.boundary(coin.name, open_ns, is_candle=span.is_candle),
                lambda: world.boundary(coin.name, close_ns, is_candle=span.is_candle),
                lambda: world.fair(coin.name, open_ns, close_ns, close_ns, is_candle=span.is_candle),
                is_announced=roll.random() < 0.8,
            )
        )  # fmt: skip
        return event

    def _make(self, listed: Listed, coin: Coin, span: Span) -> Binary:
        world, (open_ns, close_ns) = self.world, (listed.event.start_ns, listed.event.end_ns)
        market = Binary(listed.slug, COARSE, self.floor.agenda.now_ns)

        def fair(ns: int) -> float:
            return world.fair(coin.name, open_ns, close_ns, ns, is_candle=span.is_candle)

        self._crowds[listed.slug] = Crowd(self.floor, market, fair, world.moves_hz)
        return market

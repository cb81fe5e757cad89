"""A recording played as live markets: the same windows, the same quotes at the same times, the same outcomes.

One window is read ahead in a thread, so a long recording needs little memory and no file holds the markets up.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary
from observer.exchange.markets.taped import changes_at
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.listed import Event, Fees, Listed, Series
from observer.exchange.venues.polymarket.rolling import CRYPTO, DAY_NS, UP_OR_DOWN
from observer.exchange.venues.polymarket.rtds import BINANCE, CHAINLINK, Rtds
from observer.exchange.wire import dice, to_scaled
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import Market, Tape
from observer.store.outcomes import read_outcomes
from observer.store.reader import Recording
from observer.store.reference import Prices
from observer.store.trades import Trades

VENUE = "polymarket"
_READ_AHEAD_NS = 120 * NS_PER_S
_TOPICS = {"chainlink": CHAINLINK, "binance-spot": BINANCE}
_SERIES_NUMBERS = {"btc-updown-5m": 10684, "btc-updown-15m": 10192}


class _Window(NamedTuple):
    tape: Tape
    trades: Trades | None


def first_open_ns(folder: Path) -> int:
    """When the first Polymarket window of a recording opens; raises `UsageError` where there is none."""
    return _markets(Recording(folder), folder)[0].open_ns


class Replayed:
    """Lists a recording's windows and plays them.

    Args:
        floor: whose agenda it lives by.
        folder: the recording.
        board: where windows are listed.
        rtds: where recorded reference prices are published.

    Raises:
        BadRecording: there is no recording.
        UsageError: it holds no Polymarket windows.
    """

    def __init__(self, floor: Floor, folder: Path, board: Board, rtds: Rtds) -> None:
        self.floor, self.board, self.rtds = floor, board, rtds
        self.recording = Recording(folder)
        self._outcomes = read_outcomes(folder)
        self._reader = ThreadPoolExecutor(1, "replay")
        self._ahead: dict[str, Future[_Window]] = {}
        markets = _markets(self.recording, folder)
        for number, market in enumerate(markets):
            board.add(self._event(number, market), is_news=False)
            floor.agenda.at(market.open_ns - _READ_AHEAD_NS, lambda m=market: self._read_ahead(m))
            if market.close_ns > floor.agenda.now_ns:
                floor.agenda.at(market.open_ns, lambda m=market: self._play(m))
        for symbol, source in self.recording.references():
            if source in _TOPICS:
                prices = self.recording.reference(symbol, source, floor.agenda.now_ns, markets[-1].close_ns)
                self._speak(symbol, source, prices, 0)

    def _event(self, number: int, market: Market) -> Event:
        slug, span = market.market_id, market.series.rpartition("-")[2]
        series = Series(
            _SERIES_NUMBERS.get(market.series, 90_000 + sum(market.series.encode())),
            market.series.replace("-updown-", "-up-or-down-"), market.series, span,
        )  # fmt: skip
        event = Event(
            10_000 + number, slug, slug, market.open_ns - DAY_NS, market.open_ns, market.close_ns,
            (CRYPTO, UP_OR_DOWN), series, market.symbol.lower(), span, market.settlement_rule,
        )  # fmt: skip
        roll = dice(self.floor.seed, "window", slug)
        event.markets.append(
            Listed(
                50_000 + number, slug, slug, event, ("Up", "Down"), "v1",
                f"https://data.chain.link/streams/{market.symbol.lower()}-usd",
                Fees("crypto_fees", market.fees.rate, int(market.fees.exponent), 0.0),
                market.close_ns + roll.randint(16, 150) * NS_PER_S, self._make,
                strike=lambda: market.strike, payoff_up=lambda: self._payoff(slug), is_announced=roll.random() < 0.8,
            )
        )  # fmt: skip
        return event

    def _make(self, listed: Listed) -> Binary:
        tick = to_scaled(self.recording.market(listed.slug).price_tick)
        return Binary(listed.slug, tick, self.floor.agenda.now_ns, is_unified=False)

    def _payoff(self, slug: str) -> float | None:
        """As recorded; where nobody recorded it, what the last quotes say."""
        if slug in self._outcomes:
            return self._outcomes[slug].payoff_up
        listed = self.board.slug(slug)
        assert listed is not None
        last = listed.market.last_mid()
        return None if last is None else float(last >= 0.5)

    def _read_ahead(self, market: Market) -> None:
        self._read(market)

    def _read(self, market: Market) -> Future[_Window]:
        if market.market_id not in self._ahead:
            self._ahead[market.market_id] = self._reader.submit(self._load, market.market_id)
        return self._ahead[market.market_id]

    def _load(self, market_id: str) -> _Window:
        return _Window(self.recording.tape(market_id), self.recording.trades(market_id))

    def _play(self, market: Market) -> None:
        window = self._read(market).result()
        del self._ahead[market.market_id]
        listed = self.board.slug(market.market_id)
        assert listed is not None
        self._tick(listed.market, window, 0)
        if window.trades is not None and len(window.trades):
            self._trade(listed.market, window.trades, 0)

    def _tick(self, market: Binary, window: _Window, t: int) -> None:
        """Put down what happens at tick `t`, which puts down the next."""
        tape = window.tape

        def act() -> None:
            market.apply(int(tape.recv_ns[t]), changes_at(tape, t, market))
            if t + 1 < len(tape):
                self._tick(market, window, t + 1)

        self.floor.agenda.at(int(tape.recv_ns[t]), act)

    def _trade(self, market: Binary, trades: Trades, n: int) -> None:
        def act() -> None:
            token, side = int(trades.token[n]), int(trades.side[n])
            price, size = to_scaled(round(float(trades.price[n]), 6)), to_scaled(round(float(trades.size[n]), 6))
            market.apply(int(trades.recv_ns[n]), (), market.print_of(token, side, price, size))
            if n + 1 < len(trades):
                self._trade(market, trades, n + 1)

        self.floor.agenda.at(int(trades.recv_ns[n]), act)

    def _speak(self, symbol: str, source: str, prices: Prices, n: int) -> None:
        if n >= len(prices.recv_ns):
            return
        name = f"{symbol.lower()}/usd" if source == "chainlink" else f"{symbol.lower()}usdt"

        def act() -> None:
            at_ns = int(prices.recv_ns[n])
            if np.isfinite(prices.price[n]):
                self.rtds.publish(_TOPICS[source], name, at_ns, float(prices.price[n]))
            self._speak(symbol, source, prices, n + 1)

        self.floor.agenda.at(int(prices.recv_ns[n]), act)


def _markets(recording: Recording, folder: Path) -> list[Market]:
    markets = sorted((m for m in recording.markets() if m.venue == VENUE), key=lambda m: (m.open_ns, m.market_id))
    if not markets:
        raise UsageError(
            f"--replay {folder}: the recording holds no {VENUE} windows, which are all that can be played."
        )
    return markets

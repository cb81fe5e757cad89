"""Frames as Polymarket's market socket sends them, made from the six bundled windows: what a quarter of an hour costs.

The windows are played side by side as six markets on one connection. Best prices and the depth of the best five levels
are the recorded ones, second by second; what happens between and behind them is drawn: sizes, cancels, trades. Both
tokens are told of each change, with token ids of 77 digits and a hash each, in the mix that was seen on the real socket
(7,771 price changes, 338 best prices, 314 books and 155 trades in a window).
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.ports import Instrument, Listing
from observer.records import DOWN, UP, Market
from observer.samples import sample
from observer.venues.fees import schedule_on

OPEN_NS = 1_790_000_100 * NS_PER_S
WINDOW_S = 900
SAMPLE = "polymarket_btc15m_6_windows"
_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "HYPE")
# Drawn changes a second; with those that the recorded quotes make there are about 7,771 in a window.
_CHANGES_PER_S, _TRADES_PER_S, _BEST_FRAC = 4.8, 155 / WINDOW_S, 0.08
_BID, _ASK = 0, 1
_USUAL = ("5", "10", "11.5", "15", "20", "25", "30", "40", "50", "100", "200", "250", "500")  # sizes people type


@dataclass
class SimulatedBook:
    """One market's book of Up in cents, mirrored for Down, and the frames that tell of its changes.

    Args:
        coin: whose market it is.
        path: (N, 5) seconds into the window, best bid and ask in cents, shares over the best five levels of each.
        rng: what is not recorded is drawn from it.
    """

    coin: str
    path: NDArray[np.float64]
    rng: random.Random
    sides: tuple[dict[int, float], dict[int, float]] = field(default_factory=lambda: ({}, {}))
    arrived_ns: int = 0

    def __post_init__(self) -> None:
        self.market, self.up, self.down = self._hex(256), self._token(), self._token()

    def listing(self) -> Listing:
        """The market as it would be listed."""
        slug = f"{self.coin.lower()}-updown-15m-{OPEN_NS // NS_PER_S}"
        market = Market(
            market_id=slug, venue="polymarket", series=f"{self.coin.lower()}-updown-15m", symbol=self.coin,
            open_ns=OPEN_NS, close_ns=OPEN_NS + WINDOW_S * NS_PER_S, tick_ns=NS_PER_S // 2, price_tick=0.01,
            lot_shares=0.01, fees=schedule_on("polymarket-crypto", OPEN_NS), settlement_rule="as the bundled windows",
        )  # fmt: skip
        tokens = ((self.up, UP), (self.down, DOWN))
        return Listing(market, tuple(Instrument("polymarket", key, slug, token, self.coin) for key, token in tokens))

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(arrival, frame) in order: two whole books, then what happens."""
        self._to(self.path[0], 0.0)
        yield self._sent(0.0, [self._book(self.up, 0.0), self._book(self.down, 0.0)])
        at_s, row = 0.0, 0
        while at_s < WINDOW_S:
            at_s += self.rng.expovariate(_CHANGES_PER_S + _TRADES_PER_S)
            while row + 1 < len(self.path) and self.path[row + 1, 0] <= at_s:
                row += 1
                for change in self._to(self.path[row], self.path[row, 0]):
                    yield self._sent(self.path[row, 0], change)
            if self.rng.random() < _TRADES_PER_S / (_CHANGES_PER_S + _TRADES_PER_S):
                for event in self._trade(at_s):
                    yield self._sent(at_s, event)
            elif change := self._stir(at_s):
                yield self._sent(at_s, change)
                if self.rng.random() < _BEST_FRAC:
                    yield self._sent(at_s, self._best(at_s))

    def _to(self, row: NDArray[np.float64], at_s: float) -> list[dict[str, Any]]:
        """Move the touch and the depth to what was recorded; return the changes."""
        if row[1] >= row[2]:  # the two sides were polled at different moments
            return []
        changes: list[dict[str, Any]] = []
        sides = ((_BID, row[1], row[3]), (_ASK, row[2], row[4]))
        for side, best, _ in sides:  # first what goes, so that the book is never crossed
            gone = [p for p in self.sides[side] if not (p <= best if side == _BID else p >= best)]
            changes += [self._change(side, price, 0.0, at_s) for price in gone]
        for side, best, depth in sides:
            if np.isfinite(best):
                changes += self._filled(side, int(best), depth, at_s)
        return changes

    def _filled(self, side: int, best: int, depth: float, at_s: float) -> list[dict[str, Any]]:
        """Levels from the best price outwards where there are none, and the recorded depth of the best five."""
        levels = self.sides[side]
        near = [p for p in (best - i if side == _BID else best + i for i in range(40)) if 0 < p < 100]
        changes = [self._change(side, price, self._size(), at_s) for price in near if price not in levels]
        wanted = round(levels[best] + depth - sum(levels[p] for p in near[:5]), 2) if np.isfinite(depth) else 0.0
        if wanted >= 0.01 and wanted != levels[best]:
            changes.append(self._change(side, best, wanted, at_s))
        return changes

    def _stir(self, at_s: float) -> dict[str, Any] | None:
        """Somebody changes a level near the touch, not the best one's price."""
        side = self.rng.randrange(2)
        levels = self.sides[side]
        prices = sorted(levels, reverse=side == _BID)
        if not prices:
            return None
        price = prices[min(int(self.rng.expovariate(0.35)), len(prices) - 1)]
        is_gone = price != prices[0] and self.rng.random() < 0.2
        return self._change(side, price, 0.0 if is_gone else self._size(), at_s)

    def _change(self, side: int, price: int, size: float, at_s: float) -> dict[str, Any]:
        """Set a level and tell both tokens."""
        if size:
            self.sides[side][price] = size
        else:
            self.sides[side].pop(price, None)
        words = ("BUY", "SELL")
        told = [
            {"asset_id": token, "price": _price(p), "size": _number(size), "side": words[s], "hash": self._hex(160)[2:],
             "best_bid": bid, "best_ask": ask}
            for token, p, s in ((self.up, price, side), (self.down, 100 - price, 1 - side))
            for bid, ask in (self._touch(token),)
        ]  # fmt: skip
        return {
            "market": self.market, "price_changes": told, "timestamp": _ms(at_s), "event_type": "price_change",
        }  # fmt: skip

    def _trade(self, at_s: float) -> list[dict[str, Any]]:
        """A trade at the best ask or bid, and the books after it."""
        side = self.rng.randrange(2)
        if not self.sides[side]:
            return []
        price = (max if side == _BID else min)(self.sides[side])
        trade = {
            "market": self.market, "asset_id": self.up, "price": _price(price), "size": self._text(),
            "side": "SELL" if side == _BID else "BUY", "fee_rate_bps": "0", "timestamp": _ms(at_s),
            "event_type": "last_trade_price", "transaction_hash": self._hex(256),
        }  # fmt: skip
        return [trade, self._book(self.up, at_s), self._book(self.down, at_s)]

    def _best(self, at_s: float) -> dict[str, Any]:
        bid, ask = self._touch(self.up)
        return {
            "market": self.market, "asset_id": self.up, "best_bid": bid, "best_ask": ask, "spread": "0.01",
            "timestamp": _ms(at_s), "event_type": "best_bid_ask",
        }  # fmt: skip

    def _book(self, token: str, at_s: float) -> dict[str, Any]:
        bids, asks = self._of(token)
        return {
            "market": self.market, "asset_id": token, "timestamp": _ms(at_s), "hash": self._hex(160)[2:],
            "bids": [{"price": _price(p), "size": _number(bids[p])} for p in sorted(bids)],
            "asks": [{"price": _price(p), "size": _number(asks[p])} for p in sorted(asks, reverse=True)],
            "tick_size": "0.01", "event_type": "book", "last_trade_price": "0.5",
        }  # fmt: skip

    def _of(self, token: str) -> tuple[dict[int, float], dict[int, float]]:
        bids, asks = self.sides
        if token == self.up:
            return bids, asks
        return {100 - p: size for p, size in asks.items()}, {100 - p: size for p, size in bids.items()}

    def _touch(self, token: str) -> tuple[str, str]:
        bids, asks = self._of(token)
        return _price(max(bids, default=0)), _price(min(asks, default=0))

    def _sent(self, at_s: float, event: Any) -> tuple[int, bytes]:
        """The frame and when it arrives: some milliseconds later, never before the one sent before it."""
        recv_ns = OPEN_NS + int(at_s * NS_PER_S) + int(self.rng.lognormvariate(2.7, 0.4) * NS_PER_MS)
        self.arrived_ns = max(self.arrived_ns + 1, recv_ns)
        return self.arrived_ns, json.dumps(event, separators=(",", ":")).encode()

    def _size(self) -> float:
        return float(self._text())

    def _text(self) -> str:
        drawn = self.rng.random()
        if drawn < 0.5:
            return self.rng.choice(_USUAL)
        return f"{self.rng.lognormvariate(3.5, 1.3) + 0.01:.2f}" if drawn < 0.75 else str(self.rng.randrange(1, 400))

    def _hex(self, bits: int) -> str:
        return f"0x{self.rng.getrandbits(bits):0{bits // 4}x}"

    def _token(self) -> str:
        return str(self.rng.randrange(10**76, 10**77))


def load(seed: int = 0) -> tuple[list[Listing], list[tuple[int, bytes]]]:
    """Six markets, and all their frames in order of arrival."""
    columns = ("ts", "market_start", "up_bid", "up_ask", "up_bid_depth5", "up_ask_depth5")
    ticks = pq.read_table(sample(SAMPLE) / "ticks.parquet", columns=list(columns)).to_pandas()
    books: list[SimulatedBook] = []
    for coin, (start, window) in zip(_COINS, ticks.groupby("market_start"), strict=True):
        seconds = (window.ts - start).dt.total_seconds().to_numpy()
        cents = [np.round(window[name].to_numpy() * 100) for name in columns[2:4]]
        path = np.stack([seconds, *cents, *(window[name].to_numpy() for name in columns[4:])], axis=1)
        books.append(SimulatedBook(coin, path, random.Random(f"{seed} {coin}")))
    listings = [book.listing() for book in books]
    frames = sorted(chain.from_iterable(book.frames() for book in books), key=lambda frame: frame[0])
    return listings, frames


def _ms(at_s: float) -> str:
    return str(OPEN_NS // NS_PER_MS + int(at_s * 1000))


def _price(cents: int) -> str:
    return f"{cents / 100:g}"


def _number(size: float) -> str:
    return f"{size:.2f}".rstrip("0").rstrip(".")

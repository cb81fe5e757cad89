"""One symbol: turns its book's changes into the venue's streams."""

from collections.abc import Callable
from typing import Any

from observer.book import ASK, BID
from observer.exchange.floor import Floor
from observer.exchange.markets.spot import SpotBook, SpotStep, SpotTrade
from observer.exchange.venues.binance.streams import Stream
from observer.exchange.wire import decimals_of, fixed, ms
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import SCALE
from observer.records import SELL

Publish = Callable[[str, str, dict[str, Any]], None]
_FUNDING_NS = 8 * 3600 * NS_PER_S


class Feed:
    """One symbol of one of the two venues.

    Args:
        floor: whose agenda it lives by.
        venue: "binance-spot" or "binance-usdm".
        symbol: e.g. "BTCUSDT".
        book: the symbol's book.
        publish: called with (stream name, symbol, message).
        is_read: whether anybody reads a stream; what nobody reads is not made.
    """

    def __init__(
        self, floor: Floor, venue: str, symbol: str, book: SpotBook, publish: Publish, is_read: Callable[[str], bool]
    ) -> None:
        self.floor, self.venue, self.symbol, self.book = floor, venue, symbol, book
        self.is_futures = venue == "binance-usdm"
        self._publish, self._is_read, self._lower = publish, is_read, symbol.lower()
        self._price_decimals = decimals_of(book.grid) if self.is_futures else 8
        self._size_decimals = decimals_of(book.walk.coin.lot) if self.is_futures else 8
        self._timed: dict[str, _Diffs | None] = {}
        self._best: tuple[Any, ...] = ()
        book.watchers.append(self._stepped)

    def price(self, value: int) -> str:
        """A price as this venue writes it."""
        return fixed(value, self._price_decimals)

    def size(self, value: int) -> str:
        """A size as this venue writes it."""
        return fixed(value, self._size_decimals)

    def rows(self, side: int, depth: int) -> list[list[str]]:
        """The best levels, best first."""
        return [[self.price(price), self.size(size)] for price, size in self.book.book.top(side, depth)]

    def stamp(self) -> int:
        """Milliseconds, by the venue's clock."""
        return ms(self.floor.stamp_ns(self.venue))

    def begin(self, stream: Stream) -> None:
        """Start what is sent by the clock, once."""
        if not stream.every_ms or stream.name in self._timed:
            return
        self._timed[stream.name] = _Diffs(self, stream) if stream.kind == "depth" and not stream.levels else None
        self._again(stream)

    def snapshot(self, depth: int) -> dict[str, Any]:
        """The answer to a depth request."""
        found: dict[str, Any] = {"lastUpdateId": self.book.last_id}
        if self.is_futures:
            found["E"] = self.stamp()
            found["T"] = ms(self.book.changed_ns + self.floor.faults.skew_ns(self.venue))
        return {**found, "bids": self.rows(BID, depth), "asks": self.rows(ASK, depth)}

    def ticker(self) -> dict[str, Any]:
        """Best prices, as REST and the socket both show them."""
        (bid, bid_size), (ask, ask_size) = (self.book.book.top(side, 1)[0] for side in (BID, ASK))
        return {"b": self.price(bid), "B": self.size(bid_size), "a": self.price(ask), "A": self.size(ask_size)}

    def mark(self) -> dict[str, Any]:
        """Mark price, index and funding."""
        price, now_ns = self.book.price_scaled(), self.floor.agenda.now_ns
        return {
            "e": "markPriceUpdate", "E": self.stamp(), "s": self.symbol, "p": fixed(price, 8), "ap": fixed(price, 8),
            "P": fixed(price, 8), "i": fixed(price - price % (SCALE // 10**4), 8), "r": "0.00010000",
            "T": ms((now_ns // _FUNDING_NS + 1) * _FUNDING_NS), "st": 1,
        }  # fmt: skip

    def _stepped(self, book: SpotBook, step: SpotStep) -> None:
        for diffs in self._timed.values():
            if diffs is not None and step.levels:
                diffs.add(step, book.last_id)
        if step.trade is not None:
            for kind, make in (("trade", self._trade), ("aggTrade", self._aggregate)):
                if self._is_read(name := f"{self._lower}@{kind}"):
                    self._publish(name, self.symbol, make(step.trade))
        best = (*book.book.top(BID, 1), *book.book.top(ASK, 1))
        if best != self._best:
            self._best = best
            if self._is_read(name := f"{self._lower}@bookTicker"):
                self._publish(name, self.symbol, self._book_ticker())

    def _book_ticker(self) -> dict[str, Any]:
        best = self.ticker()
        if not self.is_futures:
            return {"u": self.book.last_id, "s": self.symbol, **best}
        stamp = self.stamp()
        return {
            "e": "bookTicker", "u": self.book.last_id, "E": stamp, "T": stamp, "s": self.symbol, **best, "st": 1,
            "ps": self.symbol,
        }  # fmt: skip

    def _trade(self, trade: SpotTrade) -> dict[str, Any]:
        stamp = self.stamp()
        found: dict[str, Any] = {
            "e": "trade", "E": stamp, "s": self.symbol, "t": trade.number, "p": self.price(trade.price),
            "q": self.size(trade.size), "T": stamp, "m": trade.side == SELL,
        }  # fmt: skip
        found["X" if self.is_futures else "M"] = "MARKET" if self.is_futures else True
        return found

    def _aggregate(self, trade: SpotTrade) -> dict[str, Any]:
        stamp = self.stamp()
        found: dict[str, Any] = {
            "e": "aggTrade", "E": stamp, "s": self.symbol, "a": trade.number, "p": self.price(trade.price),
            "q": self.size(trade.size), "f": trade.number, "l": trade.number, "T": stamp, "m": trade.side == SELL,
        }  # fmt: skip
        found["st" if self.is_futures else "M"] = 1 if self.is_futures else True
        return found

    def _again(self, stream: Stream) -> None:
        width_ns = stream.every_ms * NS_PER_MS
        self.floor.agenda.at((self.floor.agenda.now_ns // width_ns + 1) * width_ns, lambda: self._beat(stream))

    def _beat(self, stream: Stream) -> None:
        diffs = self._timed[stream.name]
        if diffs is not None:
            diffs.flush()
        elif stream.kind == "markPrice":
            self._publish(stream.name, self.symbol, self.mark())
        else:
            self._publish(stream.name, self.symbol, self._partial(stream.levels))
        self._again(stream)

    def _partial(self, levels: int) -> dict[str, Any]:
        bids, asks, last = self.rows(BID, levels), self.rows(ASK, levels), self.book.last_id
        if not self.is_futures:
            return {"lastUpdateId": last, "bids": bids, "asks": asks}
        stamp = self.stamp()
        return {
            "e": "depthUpdate", "E": stamp, "T": stamp, "s": self.symbol, "ps": self.symbol, "st": 1, "U": last,
            "u": last, "pu": last, "b": bids, "a": asks,
        }  # fmt: skip

    def publish(self, name: str, message: dict[str, Any]) -> None:
        """Send a message of this symbol."""
        self._publish(name, self.symbol, message)


class _Diffs:
    """What changed since the last message of one diff stream."""

    def __init__(self, feed: Feed, stream: Stream) -> None:
        self._feed, self._stream = feed, stream
        self._first = self._last = 0
        self._before = feed.book.last_id
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def add(self, step: SpotStep, last_id: int) -> None:
        """Take changes in."""
        self._first = self._first or step.first_id
        self._last = last_id
        for side, price, size in step.levels:
            self._sides[side][price] = size

    def flush(self) -> None:
        """Send them, if there are any."""
        if not self._first:
            return
        feed, stamp = self._feed, self._feed.stamp()
        message: dict[str, Any] = {"e": "depthUpdate", "E": stamp}
        if feed.is_futures:
            message["T"] = stamp
        message["s"] = feed.symbol
        if feed.is_futures:
            message.update(ps=feed.symbol, st=1)
        message.update(U=self._first, u=self._last)
        if feed.is_futures:
            message["pu"] = self._before
        for key, levels in zip("ba", self._sides, strict=True):
            message[key] = [[feed.price(price), feed.size(size)] for price, size in levels.items()]
        self._first, self._before, self._sides = 0, self._last, ({}, {})
        feed.publish(self._stream.name, message)

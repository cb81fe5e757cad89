"""A binary market: the books of its two tokens, and who watches them.

In a unified market a bid for Up at p is an offer of Down at 1 − p of the same size, so changing one book changes the
other. A replayed market is not unified: its two books are what somebody saw, one after the other.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from observer.book import ASK, BID, Book
from observer.kit.decimals import SCALE
from observer.records import BUY, DOWN, UP


class Change(NamedTuple):
    """A level's new total, and the best prices of its token after the change (0: empty side)."""

    token: int
    side: int
    price: int
    old: int
    new: int
    best_bid: int
    best_ask: int


class Print(NamedTuple):
    """A trade: what the taker did with which token."""

    token: int
    side: int
    price: int
    size: int
    number: int


class Step(NamedTuple):
    """What happened to a market at one moment."""

    ns: int
    changes: tuple[Change, ...]
    trade: Print | None


class Watcher(Protocol):
    """Somebody who turns a market's steps into messages."""

    def stepped(self, market: "Binary", step: Step) -> None:
        """Levels changed or a trade happened; the books are as they were left by the step."""
        ...

    def tick_changed(self, market: "Binary", old: int) -> None:
        """The market's price step is another one from now on."""
        ...


def other(token: int) -> int:
    """The other token of a market."""
    return DOWN if token == UP else UP


class Binary:
    """One market.

    Attributes:
        key: unique name; seeds whatever is made up about it.
        books: by token, `records.UP` and `records.DOWN`.
        is_unified: whether the two mirror each other.
        tick: price step, scaled.
        n_changes: levels changed so far; the sequence number of its state.
        changed_ns: when it last changed.
        last_price: price of the last trade by token, 0 before the first.
    """

    def __init__(self, key: str, tick: int, now_ns: int, *, is_unified: bool = True) -> None:
        self.key, self.tick, self.is_unified = key, tick, is_unified
        self.books = {UP: Book(), DOWN: Book()}
        for book in self.books.values():
            book.replace((), ())
        self.n_changes = 0
        self.n_trades = 0
        self.changed_ns = now_ns
        self.last_price = {UP: 0, DOWN: 0}
        self.watchers: list[Watcher] = []

    def apply(self, ns: int, levels: Iterable[tuple[int, int, int, int]], trade: Print | None = None) -> None:
        """Set levels (token, side, price, size), in order, and tell the watchers once.

        Levels that are so already change nothing; a step that changes nothing and trades nothing is not told.
        """
        changes: list[Change] = []
        for token, side, price, size in levels:
            old = self.books[token].size_at(side, price)
            if old == size:
                continue
            changes.append(self._set(token, side, price, old, size))
            if self.is_unified:
                changes.append(self._set(other(token), ASK if side == BID else BID, SCALE - price, old, size))
        if not changes and trade is None:
            return
        self.changed_ns = ns
        if trade is not None:
            self.last_price[trade.token] = trade.price
            if self.is_unified:
                self.last_price[other(trade.token)] = SCALE - trade.price
        step = Step(ns, tuple(changes), trade)
        for watcher in self.watchers:
            watcher.stepped(self, step)

    def print_of(self, token: int, side: int, price: int, size: int) -> Print:
        """A trade with the market's next number."""
        self.n_trades += 1
        return Print(token, side, price, size, self.n_trades)

    def take(self, ns: int, token: int, side: int, size: int) -> None:
        """Let a taker buy or sell at the best price, at most what is there; nothing happens on an empty side."""
        hit = ASK if side == BUY else BID
        top = self.books[token].top(hit, 1)
        if top:
            (price, there), size = top[0], min(size, top[0][1])
            self.apply(ns, [(token, hit, price, there - size)], self.print_of(token, side, price, size))

    def last_mid(self) -> float | None:
        """Middle of the Up book, USD; None where a side is empty."""
        bid, ask = self.books[UP].best(BID), self.books[UP].best(ASK)
        return (bid + ask) / 2 / SCALE if bid and ask else None

    def set_tick(self, ns: int, tick: int) -> None:
        """Change the price step and tell the watchers."""
        old, self.tick, self.changed_ns = self.tick, tick, ns
        for watcher in self.watchers:
            watcher.tick_changed(self, old)

    def _set(self, token: int, side: int, price: int, old: int, new: int) -> Change:
        book = self.books[token]
        book.set(side, price, new)
        self.n_changes += 1
        return Change(token, side, price, old, new, book.best(BID), book.best(ASK))

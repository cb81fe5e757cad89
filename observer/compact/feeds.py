"""Reference prices and trades of the underlyings, out of the events of one segment.

A price is sampled on the tick grid: of each half second the latest value that had arrived, with the time it arrived at.
It is kept where it changed, and every ten seconds while it is confirmed, so that a feed that stands still does not
look dead. Where a venue sends a book, the price is its mid; a book that is unknown, one-sided or crossed has none.

Books go on from one segment to the next, so their state is kept with the place where they left off (`encode_books`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from observer.book import ASK, BID, Book
from observer.compact.names import Names
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.records import UNKNOWN_NS
from observer.store.batch import BOOK, LEVEL, LOST, PRICE, TRADE, Batch, Dropped, InstrumentSeen
from observer.store.trades import Trades

GRID_NS = NS_PER_S // 2
CONFIRM_NS = 10 * NS_PER_S
Books = dict[int, Book]  # by instrument number
Name = tuple[str, str]  # symbol or instrument, source


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in order of arrival, (N,) each."""

    recv_ns: NDArray[np.int64]
    venue_ns: NDArray[np.int64]
    price: NDArray[np.float64]


@dataclass(slots=True)
class _Feed:
    """One underlying while a segment is read."""

    seen: InstrumentSeen
    book: Book
    tick: int = -1  # the half second of the events in hand
    is_quoted: bool = False  # by its book, not by bare prices
    recv_ns: int = 0
    venue_ns: int = UNKNOWN_NS
    price: float = 0.0
    kept: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])
    trades: list[tuple[int, int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int, int]])


class FeedSampler:
    """Takes the batches of one segment.

    Args:
        books: state at the segment's start, by instrument number; moved on in place.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._feeds: dict[int, _Feed | None] = {}

    def take(self, batch: Batch, names: Names) -> None:
        """Read a batch's events; `names` must have learnt from its notes."""
        if any(isinstance(note, Dropped) and note.what == "events" for note in batch.notes):
            for book in self._books.values():
                book.invalidate()
        feeds = self._feeds
        for event in batch.events:
            number = event[2]
            if number not in feeds:
                feeds[number] = self._feed(names.instruments.get(number))
            feed = feeds[number]
            if feed is not None:
                _read(feed, event)

    def close(self) -> tuple[dict[Name, Prices], dict[Name, Trades]]:
        """(symbol, source) -> prices, and (instrument, source) -> trades."""
        prices: dict[Name, list[tuple[int, int, float]]] = {}
        trades: dict[Name, list[tuple[int, int, int, int, int]]] = {}
        for feed in self._feeds.values():
            if feed is not None:
                _keep(feed)
                prices.setdefault((feed.seen.symbol, feed.seen.source), []).extend(feed.kept)
                name = (f"{feed.seen.source}:{feed.seen.key}", feed.seen.source)
                trades.setdefault(name, []).extend(feed.trades)
        return (
            {name: _prices(rows) for name, rows in prices.items() if rows},
            {name: trades_of(rows, 0) for name, rows in trades.items() if rows},
        )

    def _feed(self, seen: InstrumentSeen | None) -> _Feed | None:
        if seen is None or seen.token or not seen.source:
            return None
        return _Feed(seen, self._books.setdefault(seen.number, Book()))


def trades_of(rows: Iterable[tuple[int, int, int, int, int]], token: int) -> Trades:
    """Trades from (recv_ns, venue_ns, side, price, size) rows in units of 1e-9."""
    table = np.array(list(rows), np.int64).reshape(-1, 5)
    n = len(table)
    return Trades(
        table[:, 0].copy(), table[:, 1].copy(), np.full(n, token, np.int8), table[:, 2].astype(np.int8),
        table[:, 3] / SCALE, table[:, 4] / SCALE,
    )  # fmt: skip


def encode_books(books: Books) -> bytes:
    """The books that are known, for the segment after."""
    known = {number: [book.top(side, 2**31) for side in (BID, ASK)] for number, book in books.items() if book.is_valid}
    return msgspec.msgpack.encode(known)


def decode_books(data: bytes) -> Books:
    """The books that `encode_books` wrote; raises `msgspec.MsgspecError` on anything else."""
    books: Books = {}
    for number, (bids, asks) in msgspec.msgpack.decode(data, type=dict[int, list[list[tuple[int, int]]]]).items():
        books[number] = Book()
        books[number].replace(bids, asks)
    return books


def _read(feed: _Feed, event: tuple[Any, ...]) -> None:
    kind, recv_ns = event[0], event[3]
    tick = -(-recv_ns // GRID_NS)
    if tick != feed.tick:
        _keep(feed)
        feed.tick = tick
    if kind == TRADE:
        feed.trades.append((recv_ns, *event[4:8]))
        return
    if kind == LOST:
        feed.book.invalidate()
        return
    feed.recv_ns, feed.venue_ns = recv_ns, event[4]
    feed.is_quoted = kind != PRICE
    if kind == LEVEL:
        if feed.book.is_valid:
            feed.book.set(event[6], event[7], event[8])
    elif kind == BOOK:
        feed.book.replace(event[6], event[7])
    else:
        feed.price = event[5] / SCALE


def _keep(feed: _Feed) -> None:
    """Keep the value of the half second that has ended, if it says something new."""
    if feed.recv_ns == 0:
        return
    price = _mid(feed.book) if feed.is_quoted else feed.price
    last = feed.kept[-1] if feed.kept else None
    is_news = last is None or price != last[2] or feed.recv_ns - last[0] >= CONFIRM_NS
    if price > 0 and is_news:
        feed.kept.append((feed.recv_ns, feed.venue_ns, price))
    feed.recv_ns = 0


def _mid(book: Book) -> float:
    """The mid, 0 where there is none."""
    bid, ask = book.best(BID), book.best(ASK)
    return (bid + ask) / 2 / SCALE if 0 < bid < ask else 0.0


def _prices(rows: list[tuple[int, int, float]]) -> Prices:
    rows.sort(key=lambda row: row[0])
    recv_ns, venue_ns, price = zip(*rows, strict=True)
    return Prices(np.array(recv_ns, np.int64), np.array(venue_ns, np.int64), np.array(price))

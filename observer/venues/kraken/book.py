"""Kraken's numbers and books: exact, cut to depth, and proven by the venue's checksum.

Prices are JSON numbers whose *text* counts: the checksum is the CRC32 of the digits as the venue prints them, ten asks
and then ten bids, without points and leading zeros. A pair prints a fixed number of decimals; as many as any level
since its last snapshot had are taken for it, and a level that is printed shorter is padded.
"""

from decimal import Decimal
from zlib import crc32

import msgspec

from observer.book import ASK, BID, Book
from observer.kit.decimals import DECIMALS, BadNumber, scaled
from observer.ports import Instrument, Level

DEPTH = 10
_CHECKED = 10  # levels a side that the checksum covers, whatever the depth
_LONGEST_NUMBER = 40
_FARTHEST_EXPONENT = 30

Side = tuple[list[Level], int, int]  # levels as printed, most decimals of a price and of a size


class PrintedLevel(msgspec.Struct, gc=False):
    """A level whose numbers are still text."""

    price: msgspec.Raw
    qty: msgspec.Raw


class PairBook:
    """One pair's book as one connection's messages make it.

    Attributes:
        instrument: the pair as the recorder knows it.
        book: not valid until a snapshot.
        price_decimals, size_decimals: how many the pair prints.
    """

    __slots__ = ("book", "instrument", "price_decimals", "size_decimals")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.book = instrument, Book()
        self.price_decimals = self.size_decimals = 0

    def replace(self, bids: Side, asks: Side) -> None:
        """Take a snapshot, and the pair's number of decimals with it."""
        self.price_decimals = self.size_decimals = 0
        self._see(bids, asks)
        self.book.replace(bids[0], asks[0])
        self.book.truncate(DEPTH)

    def update(self, bids: Side, asks: Side) -> list[tuple[int, int, int]]:
        """Apply new totals and cut the book to its depth; returns every level that changed: side, price, total."""
        self._see(bids, asks)
        changes: list[tuple[int, int, int]] = []
        for side, (levels, _, _) in ((BID, bids), (ASK, asks)):
            for price, size in levels:
                self.book.set(side, price, size)
                changes.append((side, price, size))
            changes += [(side, price, 0) for price, _ in self.book.top(side, DEPTH + len(levels))[DEPTH:]]
        self.book.truncate(DEPTH)
        return changes

    def checksum(self) -> int:
        """The checksum of the book as it is now."""
        price_unit, size_unit = 10 ** (DECIMALS - self.price_decimals), 10 ** (DECIMALS - self.size_decimals)
        levels = [*self.book.top(ASK, _CHECKED), *self.book.top(BID, _CHECKED)]
        return crc32("".join(f"{price // price_unit}{size // size_unit}" for price, size in levels).encode())

    def _see(self, *sides: Side) -> None:
        self.price_decimals = max(self.price_decimals, *(side[1] for side in sides))
        self.size_decimals = max(self.size_decimals, *(side[2] for side in sides))


def side_of(printed: list[PrintedLevel]) -> Side:
    """The levels of one side, and the most decimals that were printed; raises `BadNumber`."""
    levels: list[Level] = []
    price_decimals = size_decimals = 0
    for level in printed:
        price, decimals = number_of(level.price)
        if not price:
            raise BadNumber("price of zero")
        price_decimals = max(price_decimals, decimals)
        size, decimals = number_of(level.qty)
        size_decimals = max(size_decimals, decimals)
        levels.append((price, size))
    return levels, price_decimals, size_decimals


def number_of(raw: msgspec.Raw) -> tuple[int, int]:
    """A JSON number in units of 1e-9, and how many decimals it was printed with; raises `BadNumber`."""
    text = bytes(raw).decode("ascii", "replace")
    if len(text) > _LONGEST_NUMBER:
        raise BadNumber("number of more than 40 characters")
    if "e" in text or "E" in text:
        text = _plain(text)
    decimals = len(text.partition(".")[2])
    if decimals > DECIMALS:
        raise BadNumber("more than nine decimals")
    return scaled(text), decimals


def _plain(text: str) -> str:
    """Without an exponent, which would make a text of any length if it were not looked at first."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise BadNumber("no number") from None
    if not number.is_finite() or abs(number.adjusted()) > _FARTHEST_EXPONENT:
        raise BadNumber("number out of range")
    return f"{number:f}"

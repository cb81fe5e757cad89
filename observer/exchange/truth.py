"""A book as it really is, for tests to compare theirs with."""

from typing import Any, NamedTuple

from observer.book import ASK, BID, Book
from observer.kit.decimals import text_of


class TrueBook(NamedTuple):
    """One book.

    Attributes:
        venue, key: whose, by the venue's own id.
        market: slug or ticker of a binary market, else the symbol.
        seq: grows with every change.
        changed_ns: when it last changed.
        book: the book.
    """

    venue: str
    key: str
    market: str
    seq: int
    changed_ns: int
    book: Book

    def to_dict(self, depth: int) -> dict[str, Any]:
        """Plain data; levels (price, size) as decimal text, best first, at most `depth` a side."""
        bids, asks = (
            [[text_of(price), text_of(size)] for price, size in self.book.top(side, depth)] for side in (BID, ASK)
        )
        return {
            "venue": self.venue, "key": self.key, "market": self.market, "seq": self.seq, "time_ns": self.changed_ns,
            "bids": bids, "asks": asks,
        }  # fmt: skip

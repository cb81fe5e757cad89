"""The hash that Polymarket puts into a book by REST: a check that nothing in it was changed on the way.

Books on the socket carry one too, but it covers the last trade's price, which the frame often lacks or has too late,
so only REST books are checked.
"""

from hashlib import sha1

import msgspec

from observer.venues.polymarket.words import read_rest_book

_json = msgspec.json.Encoder().encode


def book_hash(payload: bytes) -> str:
    """What the hash of this book by REST should be; raises one of `BAD_JSON` where it is no book."""
    book = read_rest_book(payload)
    said = {
        "market": book.market, "asset_id": book.asset_id, "timestamp": str(book.timestamp), "hash": "",
        "bids": book.bids, "asks": book.asks, "min_order_size": book.min_order_size, "tick_size": book.tick_size,
        "neg_risk": book.neg_risk, "last_trade_price": book.last_trade_price,
    }  # fmt: skip
    return sha1(_json(said), usedforsecurity=False).hexdigest()

"""cryptofeed's side of `bench_decode.py`: run by an interpreter that has cryptofeed, on a file of frames.

Its own Binance handler reads each frame and applies it to its own book; one subscriber is called and does nothing.
"""

import asyncio
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptofeed.defines import BINANCE, L2_BOOK  # type: ignore[import-not-found]
from cryptofeed.exchanges import Binance  # type: ignore[import-not-found]
from cryptofeed.symbols import Symbols  # type: ignore[import-not-found]
from cryptofeed.types import OrderBook  # type: ignore[import-not-found]

REPEATS = 3


async def nothing(book: Any, receipt_timestamp: float) -> None:
    """A subscriber."""


async def read(snapshot: dict[str, Any], messages: list[str]) -> tuple[float, list[float]]:
    """CPU seconds, and the best prices at the end."""
    feed = Binance(symbols=["BTC-USDT"], channels=[L2_BOOK], callbacks={L2_BOOK: nothing})
    sides = ({Decimal(price): Decimal(size) for price, size in snapshot[name]} for name in ("bids", "asks"))
    bids, asks = sides
    feed._l2_book["BTC-USDT"] = OrderBook(BINANCE, "BTC-USDT", max_depth=0, bids=bids, asks=asks)
    feed.last_update_id["BTC-USDT"] = snapshot["lastUpdateId"]
    began = time.process_time()
    for message in messages:
        await feed.message_handler(message, None, 0.0)
    took = time.process_time() - began
    book = feed._l2_book["BTC-USDT"].book
    return took, [float(book.bids.index(0)[0]), float(book.asks.index(0)[0])]


def main() -> int:
    """Read the file, print one JSON object."""
    first, *messages = Path(sys.argv[1]).read_text().splitlines()
    Symbols.set(BINANCE, {"BTC-USDT": "BTCUSDT"}, {"symbols": []})
    took, best = min(asyncio.run(read(json.loads(first), messages)) for _ in range(REPEATS))
    print(json.dumps({"us_per_message": 1e6 * took / len(messages), "best": best}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

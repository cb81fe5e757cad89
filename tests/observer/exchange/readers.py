"""The shortest honest readers of the venues' books, written for these tests from the protocol notes alone.

Each keeps one dictionary a side, from price text to size, exactly as the messages say.
"""

from decimal import Decimal
from typing import Any

Side = dict[Decimal, Decimal]


def number(text: Any) -> Decimal:
    """Decimal text, or a JSON number."""
    return Decimal(str(text))


class BookReader:
    """Books by key, each a pair of dictionaries (bids, asks)."""

    def __init__(self) -> None:
        self.books: dict[str, tuple[Side, Side]] = {}

    def replace(self, key: str, bids: list[Any], asks: list[Any]) -> None:
        """Take a whole book of (price, size)."""
        self.books[key] = tuple({number(p): number(s) for p, s in side if number(s)} for side in (bids, asks))  # type: ignore[assignment]

    def set(self, key: str, side: int, price: Any, size: Any) -> None:
        """Set a level's total."""
        levels = self.books[key][side]
        if number(size):
            levels[number(price)] = number(size)
        else:
            levels.pop(number(price), None)

    def read(self, message: Any) -> None:
        """One message; what it means is each reader's own."""
        raise NotImplementedError

    def read_all(self, messages: list[Any]) -> None:
        """Messages in order."""
        for message in messages:
            self.read(message)

    def shown(self, key: str, depth: int = 10**9) -> list[list[list[Decimal]]]:
        """Both sides, best first."""
        bids, asks = self.books[key]
        return [
            [[p, bids[p]] for p in sorted(bids, reverse=True)[:depth]],
            [[p, asks[p]] for p in sorted(asks)[:depth]],
        ]  # fmt: skip


def true_levels(book: Any, depth: int = 10**9) -> list[list[list[Decimal]]]:
    """A `TrueBook` in the form of `BookReader.shown`."""
    shown = book.to_dict(min(depth, 10**6)) if not isinstance(book, dict) else book
    return [[[number(p), number(s)] for p, s in shown[side][:depth]] for side in ("bids", "asks")]


class PolymarketReader(BookReader):
    """Reads the market socket."""

    def __init__(self) -> None:
        super().__init__()
        self.trades: list[dict[str, Any]] = []
        self.others: list[dict[str, Any]] = []

    def read(self, message: dict[str, Any]) -> None:
        """One event; checks the best prices that a change tells."""
        kind = message["event_type"]
        if kind == "book":
            rows = [[[row["price"], row["size"]] for row in message[side]] for side in ("bids", "asks")]
            self.replace(message["asset_id"], rows[0], rows[1])
        elif kind == "price_change":
            for change in message["price_changes"]:
                key = change["asset_id"]
                if key in self.books:
                    self.set(key, 0 if change["side"] == "BUY" else 1, change["price"], change["size"])
                    bids, asks = self.books[key]
                    assert max(bids, default=Decimal(0)) == number(change["best_bid"])
                    assert min(asks, default=Decimal(0)) == number(change["best_ask"])
        elif kind == "last_trade_price":
            self.trades.append(message)
        else:
            self.others.append(message)


class KalshiReader(BookReader):
    """Reads `orderbook_delta`; No bids are kept as offers of Yes."""

    def __init__(self) -> None:
        super().__init__()
        self.holes = 0
        self._seq: dict[int, int] = {}

    def read(self, message: dict[str, Any]) -> None:
        """One message."""
        if "seq" in message:
            sid = message["sid"]
            self.holes += message["seq"] != self._seq.get(sid, 0) + 1
            self._seq[sid] = message["seq"]
        body = message.get("msg", {})
        if message["type"] == "orderbook_snapshot":
            no = [[1 - number(price), size] for price, size in body.get("no_dollars_fp", [])]
            self.replace(body["market_ticker"], body.get("yes_dollars_fp", []), no)
        elif message["type"] == "orderbook_delta":
            is_no = body["side"] == "no"
            price = 1 - number(body["price_dollars"]) if is_no else number(body["price_dollars"])
            levels = self.books[body["market_ticker"]][int(is_no)]
            total = levels.get(price, Decimal(0)) + number(body["delta_fp"])
            assert total >= 0
            self.set(body["market_ticker"], int(is_no), price, total)


class BinanceReader(BookReader):
    """Keeps one symbol's book from a snapshot and diffs, by the venue's own rules.

    Attributes:
        is_synced: whether a snapshot and the diffs after it fit together.
        gaps: how often a diff did not follow the one before.
    """

    def __init__(self, *, is_futures: bool) -> None:
        super().__init__()
        self.is_futures, self.is_synced, self.gaps = is_futures, False, 0
        self._buffer: list[dict[str, Any]] = []
        self._last = 0

    def snapshot(self, symbol: str, answer: dict[str, Any]) -> bool:
        """Take a REST snapshot; False where it is older than the first diff, so another one must be fetched."""
        last = answer["lastUpdateId"]
        diffs = [diff for diff in self._buffer if diff["u"] > last or (self.is_futures and diff["u"] == last)]
        if diffs and not self._fits(diffs[0], last):
            return False
        self.replace(symbol, answer["bids"], answer["asks"])
        self._last, self.is_synced = last, True
        for n, diff in enumerate(diffs):
            self._apply(diff, is_first=n == 0)
        self._buffer.clear()
        self._is_first = not diffs
        return True

    def read(self, diff: dict[str, Any]) -> None:
        """A diff."""
        if not self.is_synced:
            self._buffer.append(diff)
        elif diff["u"] > self._last:
            self._apply(diff, is_first=self._is_first)
            self._is_first = False

    def _fits(self, diff: dict[str, Any], last: int) -> bool:
        if self.is_futures:
            return diff["U"] <= last <= diff["u"] or diff["pu"] == last
        return diff["U"] <= last + 1 <= diff["u"]

    def _apply(self, diff: dict[str, Any], *, is_first: bool) -> None:
        follows = self._fits(diff, self._last) if is_first or not self.is_futures else diff["pu"] == self._last
        self.gaps += not follows
        for side, key in enumerate("ba"):
            for price, size in diff[key]:
                self.set(diff["s"], side, price, size)
        self._last = diff["u"]


class CoinbaseReader(BookReader):
    """Reads `l2_data` and watches the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.holes, self._sequence = 0, -1

    def read(self, message: dict[str, Any]) -> None:
        """One message of any channel."""
        if "sequence_num" not in message:
            return
        self.holes += message["sequence_num"] != self._sequence + 1
        self._sequence = message["sequence_num"]
        for event in message["events"] if message["channel"] == "l2_data" else ():
            if event["type"] == "snapshot":
                self.books[event["product_id"]] = ({}, {})
            for row in event["updates"]:
                side = 0 if row["side"] == "bid" else 1
                self.set(event["product_id"], side, row["price_level"], row["new_quantity"])

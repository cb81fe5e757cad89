"""The rebuilt book against one kept slowly, in decimals, by somebody who reads the frames with plain `json`."""

import json
from decimal import Decimal

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.kit.decimals import SCALE
from observer.ports import Instrument
from observer.venues.polymarket.book_hash import book_hash
from observer.venues.polymarket.market_stream import MarketStream
from tests.samples.polymarket_frames import DOWN_ID, RECV_NS, UP_ID, book, changes, instruments, old_changes
from tests.samples.recording_line import RecordingLine
from tests.samples.shared_data import shared

RECORDED = "raw_ws_samples/polymarket_binance_coinbase_2026-04.parquet"
SIDES = {"BUY": BID, "SELL": ASK}


class SlowBooks:
    """Token -> side -> price -> size, as a reader of the documentation would keep them."""

    def __init__(self) -> None:
        self.books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}

    def read(self, payload: bytes) -> None:
        said = json.loads(payload)
        for event in said if isinstance(said, list) else [said]:
            if event.get("event_type", "book") == "book" and "bids" in event:
                self.books[event["asset_id"]] = {
                    "BUY": {Decimal(x["price"]): Decimal(x["size"]) for x in event["bids"]},
                    "SELL": {Decimal(x["price"]): Decimal(x["size"]) for x in event["asks"]},
                }
            for change in event.get("price_changes") or event.get("changes") or []:
                key = change.get("asset_id") or event["asset_id"]
                if key in self.books:
                    self.books[key][change["side"]][Decimal(change["price"])] = Decimal(change["size"])

    def levels(self, key: str, side: str) -> dict[Decimal, Decimal]:
        return {price: size for price, size in self.books[key][side].items() if size}


def same(instrument: Instrument, slow: SlowBooks) -> bool:
    """Whether every level of both sides is equal, exactly."""
    return instrument.book.is_valid and all(
        {Decimal(price) / SCALE: Decimal(size) / SCALE for price, size in instrument.book.top(side, 10_000)}
        == slow.levels(instrument.key, name)
        for name, side in SIDES.items()
    )


sizes = st.one_of(st.just("0"), st.decimals(Decimal("0.01"), 10**6, places=2).map(str))
bid_prices = st.integers(1, 49).map(lambda cents: f"0.{cents:02d}")
ask_prices = st.integers(50, 99).map(lambda cents: f"0.{cents:02d}".rstrip("0"))
change = st.one_of(
    st.tuples(st.just("BUY"), bid_prices, sizes), st.tuples(st.just("SELL"), ask_prices, sizes)
)  # never crossed, so every frame is lawful
books = st.tuples(
    st.dictionaries(bid_prices, sizes, max_size=8), st.dictionaries(ask_prices, sizes, max_size=8)
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(first=books, steps=st.lists(st.one_of(books, st.lists(change, min_size=1, max_size=4), change), max_size=15))
def test_the_book_equals_one_kept_in_decimals_after_every_frame(first: object, steps: list[object]) -> None:
    up, _ = instruments()
    line, slow = RecordingLine(recv_ns=RECV_NS), SlowBooks()
    decoder = MarketStream([up], line)

    for step in [first, *steps]:
        payload = _frame(step, slow)
        slow.read(payload)
        decoder.message(payload)

        assert same(up, slow)
    assert not line.of("refuse")
    assert not line.disagreed


def _frame(step: object, slow: SlowBooks) -> bytes:
    """A book, changes in the new schema with their best prices worked out slowly, or one in the old."""
    if isinstance(step, tuple) and isinstance(step[0], dict):
        bids, asks = step
        return book(UP_ID, list(bids.items()), list(asks.items()))
    if isinstance(step, tuple):
        return old_changes(UP_ID, step)
    assert isinstance(step, list)
    entries: list[tuple[str, str, str, str, str, str]] = []
    after = SlowBooks()
    after.books = {UP_ID: {side: dict(slow.books[UP_ID][side]) for side in SIDES}}
    for side, price, size in step:
        after.books[UP_ID][side][Decimal(price)] = Decimal(size)
        best_bid = max(after.levels(UP_ID, "BUY"), default=Decimal(0))
        best_ask = min(after.levels(UP_ID, "SELL"), default=Decimal(0))
        entries.append((UP_ID, side, price, size, str(best_bid), str(best_ask)))
        entries.append((DOWN_ID, "BUY", "0.5", "1", "0.5", "0"))  # the other token, which nobody asked for
    return changes(*entries)


def test_every_recorded_frame_is_read_and_rebuilds_the_recorded_books() -> None:
    rows = pq.read_table(shared(RECORDED)).to_pylist()
    frames = [
        (int(row["ts_recv"].timestamp() * 1e3) * 1_000_000, row["kind"], row["payload"].encode())
        for row in rows
        if row["source"] == "polymarket_clob"
    ]
    carried = {key: Instrument("polymarket", key, "m", 1, "BTC") for key in _tokens([f for _, _, f in frames])}
    line, slow = RecordingLine(), SlowBooks()
    decoder = MarketStream(list(carried.values()), line)
    n_compared = 0

    for line.recv_ns, kind, payload in frames:
        named = _tokens([payload])
        if kind == "rest_book":
            before = len(line.calls)
            decoder.snapshot(carried[named.pop()], payload)
            if len(line.calls) == before:  # older than what was applied
                continue
        else:
            assert decoder.message(payload) == (kind != "new_market")
        slow.read(payload)
        n_compared += len(named)

        assert all(same(carried[key], slow) for key in named)
    assert line.counts().keys() == {"book", "level", "top"}
    assert not line.disagreed
    assert n_compared > 400


def test_every_recorded_book_by_rest_has_the_hash_that_the_venue_gave_it() -> None:
    rows = pq.read_table(shared(RECORDED), filters=[("kind", "=", "rest_book")]).to_pylist()

    wrong = [row for row in rows if book_hash(row["payload"].encode()) != json.loads(row["payload"])["hash"]]

    assert len(rows) > 500
    assert not wrong


def test_the_hash_of_a_book_is_the_venues_own() -> None:
    payload = (
        b'{"market":"0xaabbcc","asset_id":"100","timestamp":"123456789","hash":"","min_order_size":"100",'
        b'"bids":[{"price":"0.3","size":"100"},{"price":"0.4","size":"100"}],"tick_size":"0.01","neg_risk":false,'
        b'"asks":[{"price":"0.6","size":"100"},{"price":"0.7","size":"100"}],"last_trade_price":"0.5"}'
    )

    assert book_hash(payload) == "0458ea5755c9f73d64a14636fa5c36ed460ec394"


def _tokens(frames: list[bytes]) -> set[str]:
    found: set[str] = set()
    for payload in frames:
        said = json.loads(payload)
        for event in said if isinstance(said, list) else [said]:
            found |= {event["asset_id"]} if "asset_id" in event else set()
            found |= {entry["asset_id"] for entry in event.get("price_changes", [])}
    return found

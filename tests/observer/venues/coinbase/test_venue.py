"""Coinbase's products and sockets, and what its recorded frames tell about whose side a trade carries."""

import asyncio
import json
from collections import Counter

import msgspec
import pyarrow.parquet as pq
import pytest

from observer.ports import Selection
from observer.venues.coinbase import Coinbase
from observer.venues.coinbase.decoder import CoinbaseDecoder
from observer.venues.table import VENUES
from observer.venues.urls import URLS, resolve
from tests.observer.venues.binance.test_venue import AnsweringRest
from tests.samples.recording_line import RecordingLine
from tests.samples.shared_data import shared


def test_coinbase_is_in_the_table() -> None:
    assert VENUES["coinbase"](URLS).name == "coinbase"


def test_each_product_has_its_own_connection_and_each_channel_its_own_subscription() -> None:
    venue = Coinbase(URLS)

    plans = venue.plan(venue.feeds(Selection(("btc", "eth"))))

    assert [plan.name for plan in plans] == ["BTC-USD", "ETH-USD"]
    assert plans[0].url == "wss://advanced-trade-ws.coinbase.com"
    assert [json.loads(text) for text in plans[0].subscribe] == [
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": channel}
        for channel in ("level2", "market_trades", "heartbeats")
    ]
    assert plans[0].max_message_bytes == 32 << 20
    assert 0 < plans[0].silence_s <= 30


def test_all_connections_may_open_in_the_same_second() -> None:
    """Eight unauthenticated messages a second are allowed, and the first must come within five."""
    plans = Coinbase(URLS).plan(Coinbase(URLS).feeds(Selection()))

    sent_s = sorted(i * plan.subscribe_gap_s for plan in plans for i in range(len(plan.subscribe)))

    assert max(sum(start <= at < start + 1 for at in sent_s) for start in sent_s) <= 8
    assert len([at for at in sent_s if at == 0.0]) == len(plans)


@pytest.mark.parametrize(("words", "symbols"), [(("sol",), ["SOL"]), (("sports",), []), (("crypto",), None)])
def test_the_wanted_coins_are_fed(words: tuple[str, ...], symbols: list[str] | None) -> None:
    feeds = Coinbase(URLS).feeds(Selection(words))

    assert symbols is None or [feed.symbol for feed in feeds] == symbols
    assert all((feed.source, feed.token, feed.key) == ("coinbase", 0, f"{feed.symbol}-USD") for feed in feeds)


def test_there_is_nothing_to_list_and_nothing_that_ends() -> None:
    rest = AnsweringRest()

    assert asyncio.run(Coinbase(URLS).discover(rest, Selection(), 0)) == []
    assert rest.asked == []


def test_a_book_by_rest_is_asked_for_at_the_public_address() -> None:
    venue, rest = Coinbase(resolve("http://127.0.0.1:1")), AnsweringRest(b"x")

    asyncio.run(venue.snapshot(rest, venue.feeds(Selection(("btc",)))[0]))

    asked = "http://127.0.0.1:1/coinbase/rest/api/v3/brokerage/market/product_book"
    assert rest.asked == [(asked, {"product_id": "BTC-USD"})]


def _recorded() -> list[dict[str, object]]:
    """Frames of the older feed of the same exchange, in order."""
    old = pq.read_table(shared("raw_ws_samples/cryptofeed_multi_venue_2021_2022.parquet")).to_pylist()
    new = pq.read_table(shared("raw_ws_samples/polymarket_binance_coinbase_2026-04.parquet")).to_pylist()
    rows = [row for row in old if row["venue"] == "coinbase" and row["direction"] == "in"]
    return rows + [row for row in new if row["source"] == "coinbase"]


def test_recorded_frames_of_the_older_feed_are_counted_by_name_and_never_believed() -> None:
    rows = _recorded()
    line = RecordingLine()
    venue = Coinbase(URLS)
    decoder = CoinbaseDecoder(venue.feeds(Selection()), line)

    n_data = 0
    for row in rows:
        line.recv_ns = int(row["ts_recv"].timestamp() * 1e9)  # type: ignore[attr-defined]  # pyright: ignore
        n_data += decoder.message(str(row["payload"]).encode())

    assert n_data == 0
    assert set(line.counts()) == {"unknown"}
    assert Counter(what for (what,) in line.of("unknown")) == {
        "l2update": 2427, "ticker": 382, "match": 20, "snapshot": 10, "last_match": 10, "subscriptions": 56,
    }  # fmt: skip


def test_the_matching_engine_names_the_makers_side_of_a_match() -> None:
    """Recorded books, matches and tickers of the older feed: a match at the ask is a "sell", its ticker a "buy".

    The engine behind `market_trades` is the same one. Frames of that channel are in no recording at hand, so this does
    not decide how the channel names its sides; it says which reading needs no second convention in one exchange.
    """
    books: dict[str, tuple[dict[float, float], dict[float, float]]] = {}
    match_sides: dict[tuple[str, int], str] = {}
    told: Counter[tuple[str, bool]] = Counter()
    tickers: Counter[bool] = Counter()

    for row in _recorded():
        body = msgspec.json.decode(str(row["payload"]).encode())
        product = body.get("product_id", "")
        if body["type"] == "snapshot":
            bids, asks = ({float(price): float(size) for price, size in body[side]} for side in ("bids", "asks"))
            books[product] = (bids, asks)
        elif body["type"] == "l2update":
            for side, price, size in body["changes"]:
                books[product][side == "sell"][float(price)] = float(size)
        elif body["type"] == "match":
            bid = max(price for price, size in books[product][0].items() if size)
            ask = min(price for price, size in books[product][1].items() if size)
            told[body["side"], float(body["price"]) > (bid + ask) / 2] += 1
            match_sides[product, body["trade_id"]] = body["side"]
        elif body["type"] == "ticker" and (product, body["trade_id"]) in match_sides:
            tickers[match_sides[product, body["trade_id"]] != body["side"]] += 1

    assert told == {("sell", True): 20}
    assert tickers[True] >= 15
    assert tickers[False] == 0

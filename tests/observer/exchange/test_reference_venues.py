"""Binance, Coinbase, Kraken and Hyperliquid as their readers meet them."""

import json
import zlib
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from observer.exchange.venues.binance.feed import Feed
from observer.exchange.venues.binance.socket import BinanceSession
from observer.exchange.venues.binance.streams import parse
from observer.exchange.venues.coinbase import CoinbaseSession
from observer.exchange.venues.hyperliquid import HyperliquidSession
from observer.exchange.venues.kraken import KrakenSession
from tests.observer.exchange.readers import BinanceReader, BookReader, CoinbaseReader, true_levels
from tests.observer.exchange.stage import KeptPeer, Stage

# Kraken's published vector: asks low to high, bids high to low.
KRAKEN_ASKS = """45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 45290.2/0.15890660
45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542 45299.5/0.18772827"""
KRAKEN_BIDS = """45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 45280.3/1.54592586
45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737 45276.6/0.15445238"""


def only_book(stage: Stage, key: str, depth: int = 10**6) -> list[Any]:
    (book,) = stage.venue.books({key})
    return true_levels(book, depth)


def binance(stage: Stage, *names: str, data_class: str = "", **options: bool) -> tuple[KeptPeer, BinanceSession]:
    peer = stage.peer("ws")
    session = BinanceSession(stage.venue._socket, peer, data_class, list(names), **options)
    peer.begin(session)
    return peer, session


def feed(stage: Stage) -> Feed:
    return stage.venue._feeds["BTCUSDT"]


@pytest.mark.parametrize(("name", "data_class"), [("binance-spot", ""), ("binance-usdm", "public")])
@pytest.mark.parametrize("wait_ms", [0, 130, 200, 333, 1_050])
def test_a_book_kept_by_the_venues_own_rules_is_the_true_book(name: str, data_class: str, wait_ms: int) -> None:
    """The snapshot is fetched at some moment between two diffs; from then on no diff may be missing."""
    stage = Stage(name)
    peer, _ = binance(stage, "btcusdt@depth@100ms", data_class=data_class)
    reader = BinanceReader(is_futures=name == "binance-usdm")
    stage.run(wait_ms / 1_000)
    for diff in peer.messages():
        reader.read(diff)

    assert reader.snapshot("BTCUSDT", feed(stage).snapshot(5_000))
    for _ in range(60):
        stage.run(1.0)
        for diff in peer.messages():
            reader.read(diff)
    stage.floor.is_still = True
    stage.run(1.0)
    for diff in peer.messages():
        reader.read(diff)

    assert reader.gaps == 0
    assert reader.shown("BTCUSDT") == only_book(stage, "BTCUSDT")


def test_a_snapshot_often_falls_inside_the_next_diff() -> None:
    stage, inside = Stage("binance-spot"), 0
    peer, _ = binance(stage, "btcusdt@depth@100ms")

    for _ in range(50):
        stage.run(0.137)
        last = feed(stage).snapshot(10)["lastUpdateId"]
        peer.messages()
        stage.run(0.1)
        inside += any(diff["U"] <= last < diff["u"] for diff in peer.messages())

    assert inside > 5


def test_spot_diffs_follow_by_one_and_futures_diffs_by_their_predecessor() -> None:
    spot, futures = Stage("binance-spot"), Stage("binance-usdm")
    spot_peer, _ = binance(spot, "btcusdt@depth@100ms")
    futures_peer, _ = binance(futures, "btcusdt@depth@100ms", data_class="public")
    spot.run(30)
    futures.run(30)
    diffs, futures_diffs = spot_peer.messages(), futures_peer.messages()

    assert all(b["U"] == a["u"] + 1 for a, b in pairwise(diffs))
    assert all(b["pu"] == a["u"] for a, b in pairwise(futures_diffs))
    assert any(b["U"] > a["u"] + 1 for a, b in pairwise(futures_diffs))


@pytest.mark.parametrize(
    ("name", "is_futures", "data_class", "is_heard"),
    [
        ("btcusdt@depth", False, "", True),
        ("btcusdt@depth@100ms", False, "", True),
        ("BTCUSDT@depth", False, "", False),
        ("btcusdt@depth@250ms", True, "public", False),
        ("btcusdt@depth@500ms", True, "public", True),
        ("btcusdt@aggTrade", True, "market", True),
        ("btcusdt@aggTrade", True, "public", False),
        ("btcusdt@aggTrade", True, "", False),
        ("btcusdt@bookTicker", True, "", True),
        ("btcusdt@markPrice@1s", True, "market", True),
        ("btcusdt@markPrice@1s", False, "", False),
    ],
)
def test_only_the_right_name_at_the_right_base_is_heard(
    name: str, is_futures: bool, data_class: str, is_heard: bool
) -> None:
    assert (parse(name, is_futures, data_class) is not None) == is_heard


def test_a_wrong_stream_is_acknowledged_and_then_silent() -> None:
    stage = Stage("binance-usdm")
    peer, session = binance(stage, data_class="public")

    session.message('{"method":"SUBSCRIBE","params":["BTCUSDT@depth","btcusdt@aggTrade"],"id":7}')
    session.message('{"method":"LIST_SUBSCRIPTIONS","id":8}')
    stage.run(30)

    assert peer.messages() == [
        {"result": None, "id": 7},
        {"result": ["BTCUSDT@depth", "btcusdt@aggTrade"], "id": 8},
    ]


def test_combined_frames_are_wrapped_and_microseconds_can_be_had() -> None:
    stage = Stage("binance-spot")
    peer, session = binance(stage, "btcusdt@trade", is_combined=True, is_micro=True)
    stage.run(20)
    frames = peer.messages()

    assert {frame["stream"] for frame in frames} == {"btcusdt@trade"}
    assert all(frame["data"]["E"] > 10**15 for frame in frames)
    session.message('{"method":"SET_PROPERTY","params":["combined",false],"id":1}')
    session.message("not json")
    session.message('{"method":"DANCE","id":2}')
    answers = peer.messages()

    assert [answer.get("code") for answer in answers] == [None, 3, 2]


def test_the_aggressor_of_a_binance_trade_is_the_side_that_did_not_make() -> None:
    stage = Stage("binance-spot")
    peer, _ = binance(stage, "btcusdt@trade", "btcusdt@bookTicker")
    best, checked = None, 0
    for _ in range(2_000):
        stage.run(0.02)
        for message in peer.messages():
            if message.get("e") != "trade":
                best = message
            elif best is not None:
                assert message["p"] == (best["b"] if message["m"] else best["a"])
                checked += 1

    assert checked > 20


def test_too_many_commands_in_a_second_end_the_connection() -> None:
    stage = Stage("binance-spot")
    peer, session = binance(stage)
    closed: list[int] = []
    peer.close = lambda code, reason="": closed.append(code)  # type: ignore[method-assign]

    for n in range(6):
        session.message(f'{{"method":"GET_PROPERTY","params":["combined"],"id":{n}}}')

    assert closed == [1008]


def coinbase(stage: Stage) -> tuple[KeptPeer, CoinbaseSession]:
    peer = stage.peer("ws")
    session = CoinbaseSession(stage.venue, peer)
    stage.venue.sessions.append(session)
    peer.begin(session)
    return peer, session


def ask(session: Any, channel: str, *products: str) -> None:
    session.message(json.dumps({"type": "subscribe", "product_ids": list(products), "channel": channel}))


def test_a_reader_of_coinbase_keeps_the_true_book_and_sees_no_hole() -> None:
    stage, reader = Stage("coinbase"), CoinbaseReader()
    peer, session = coinbase(stage)
    for channel in ("heartbeats", "level2", "market_trades", "ticker"):
        ask(session, channel, "BTC-USD")

    for _ in range(60):
        stage.run(1.0)
        for message in peer.messages():
            reader.read(message)
        assert reader.shown("BTC-USD") == only_book(stage, "BTC-USD")

    assert reader.holes == 0


def test_coinbase_begins_with_snapshots_and_acknowledges_what_is_subscribed() -> None:
    stage = Stage("coinbase", coins=("BTC", "ETH"))
    stage.run(60)
    peer, session = coinbase(stage)
    ask(session, "level2", "BTC-USD")
    ask(session, "market_trades", "ETH-USD")
    messages = peer.messages()

    assert [m["channel"] for m in messages] == ["subscriptions", "l2_data", "subscriptions", "market_trades"]
    assert [m["sequence_num"] for m in messages] == [0, 1, 2, 3]
    assert messages[2]["events"][0]["subscriptions"] == {"level2": ["BTC-USD"], "market_trades": ["ETH-USD"]}
    assert messages[3]["events"][0]["type"] == "snapshot"
    assert {u["side"] for u in messages[1]["events"][0]["updates"]} == {"bid", "offer"}


def kraken(stage: Stage, channel: str = "book", depth: int = 10) -> tuple[KeptPeer, KrakenSession]:
    peer = stage.peer("ws")
    session = KrakenSession(stage.venue, peer)
    stage.venue.sessions.append(session)
    peer.begin(session)
    params = {"channel": channel, "symbol": ["BTC/USD"], "snapshot": True}
    if channel == "book":
        params["depth"] = depth
    session.message(json.dumps({"method": "subscribe", "params": params, "req_id": 1}))
    return peer, session


def crc(asks: list[tuple[str, str]], bids: list[tuple[str, str]]) -> int:
    """The venue's recipe, from the decimal text of the ten best levels a side."""
    text = "".join((p.replace(".", "").lstrip("0") + s.replace(".", "").lstrip("0")) for p, s in [*asks, *bids])
    return zlib.crc32(text.encode())


def test_the_recipe_of_the_checksum_makes_the_published_number() -> None:
    asks, bids = ([tuple(row.split("/")) for row in rows.split()] for rows in (KRAKEN_ASKS, KRAKEN_BIDS))

    assert crc(asks, bids) == 3310070434  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [10, 25, 100])
def test_every_kraken_message_carries_the_checksum_of_the_book_it_makes(depth: int) -> None:
    """Applied and cut to the depth, from the decimal text of the frames themselves."""
    stage = Stage("kraken")
    peer, _ = kraken(stage, depth=depth)
    sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    checked = 0
    for _ in range(200):
        stage.run(0.1)
        for text in peer.texts():
            message = json.loads(text, parse_float=str, parse_int=str)
            if message.get("channel") != "book":
                continue
            (row,) = message["data"]
            for name, levels in sides.items():
                if message["type"] == "snapshot":
                    levels.clear()
                for level in row[name]:
                    if Decimal(level["qty"]):
                        levels[level["price"]] = level["qty"]
                    else:
                        levels.pop(level["price"], None)
                best = sorted(levels, key=Decimal, reverse=name == "bids")
                for price in best[depth:]:
                    del levels[price]
            top = {
                name: [(p, levels[p]) for p in sorted(levels, key=Decimal, reverse=name == "bids")[:10]]
                for name, levels in sides.items()
            }
            assert crc(top["asks"], top["bids"]) == int(row["checksum"])
            checked += 1

    assert checked > 200
    assert [[[Decimal(p), Decimal(s)] for p, s in top[name]] for name in ("bids", "asks")] == only_book(
        stage, "BTC/USD", 10
    )


def test_kraken_answers_requests_with_their_number() -> None:
    stage = Stage("kraken")
    peer, session = kraken(stage, channel="instrument")
    session.message('{"method":"ping","req_id":9}')
    session.message('{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":11},"req_id":10}')
    answers = peer.messages()

    assert (answers[0]["success"], answers[0]["req_id"]) == (True, 1)
    assert answers[1]["data"]["pairs"][0]["symbol"] == "BTC/USD"
    assert (answers[2]["method"], answers[2]["req_id"]) == ("pong", 9)
    assert answers[3]["success"] is False


def test_hyperliquid_sends_the_whole_book_twice_a_second() -> None:
    stage, reader = Stage("hyperliquid"), BookReader()
    peer = stage.peer("ws")
    session = HyperliquidSession(stage.venue, peer)
    stage.venue.sessions.append(session)
    peer.begin(session)
    for kind in ("l2Book", "trades"):
        session.message(json.dumps({"method": "subscribe", "subscription": {"type": kind, "coin": "BTC"}}))
    session.message('{"method":"ping"}')
    stage.run(20)
    stage.floor.is_still = True
    stage.run(1)

    messages = peer.messages()
    books = [m["data"] for m in messages if m["channel"] == "l2Book"]
    for book in books:
        rows = [[(level["px"], level["sz"]) for level in side] for side in book["levels"]]
        reader.replace("BTC", rows[0], rows[1])

    assert 40 <= len(books) <= 44
    assert reader.shown("BTC") == only_book(stage, "BTC", 20)
    assert {m["channel"] for m in messages} == {"l2Book", "trades", "subscriptionResponse", "pong"}

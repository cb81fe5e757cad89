"""What the exchange sends has the form of what the venues really sent: the same keys, the same types.

The recorded frames are of April 2026 (Polymarket, Binance) and of 2021 (Binance books); keys that a venue has added
since may be there in addition, none may be missing.
"""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from observer.exchange.venues.binance.socket import BinanceSession
from observer.exchange.venues.polymarket.clob_routes import Clob
from observer.exchange.venues.polymarket.market_socket import MarketSession
from observer.exchange.venues.polymarket.rtds import RtdsSession
from observer.records import UP
from tests.observer.exchange.stage import Stage
from tests.samples.shared_data import shared

APRIL = "raw_ws_samples/polymarket_binance_coinbase_2026-04.parquet"
OLD = "raw_ws_samples/cryptofeed_multi_venue_2021_2022.parquet"


def shape(value: Any) -> Any:
    """Keys and types; a list has the shape of its items, which must agree; null fits everything."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [shape(item) for item in value]
        return [items[0]] if items else []
    if value is None or isinstance(value, bool | str):
        return type(value).__name__
    return "number"


def missing(recorded: Any, ours: Any, at: str = "") -> list[str]:
    """Where the recorded shape is not in ours."""
    if recorded == "NoneType" or ours == "NoneType":
        return []
    if isinstance(recorded, dict) and isinstance(ours, dict):
        lost = [f"{at}.{key} is missing" for key in recorded if key not in ours]
        return lost + [
            line for key in recorded if key in ours for line in missing(recorded[key], ours[key], f"{at}.{key}")
        ]
    if isinstance(recorded, list) and isinstance(ours, list):
        return missing(recorded[0], ours[0], f"{at}[]") if recorded and ours else []
    return [] if recorded == ours else [f"{at}: {recorded} there, {ours} here"]


def recorded(path: str, column: str, kind: str, find: str = "") -> list[Any]:
    """Recorded frames of a kind."""
    table = pq.read_table(shared(path), columns=[column, "payload"], use_threads=False).to_pylist()
    found = [json.loads(row["payload"]) for row in table if row[column] == kind and find in row["payload"]]
    assert found
    return found


def market_frames(seconds: float) -> list[str]:
    stage = Stage("polymarket")
    peer = stage.peer("market")
    session = MarketSession(stage.venue.socket, peer)
    peer.begin(session)
    tokens = [token for listed in list(stage.venue.board.markets())[:4] for token in listed.tokens]
    session.message(json.dumps({"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}))
    stage.run(seconds)
    return peer.texts()


def only(kind: str, frames: list[str]) -> Any:
    """The first frame that holds an event of a kind."""
    return next(json.loads(text) for text in frames if f'"event_type":"{kind}"' in text)


@pytest.fixture(scope="module")
def frames() -> list[str]:
    return market_frames(300)


@pytest.mark.parametrize("kind", ["book", "price_change", "new_market"])
def test_the_market_sockets_events_have_the_recorded_form(frames: list[str], kind: str) -> None:
    ours = shape(only(kind, frames))

    for frame in recorded(APRIL, "kind", kind):
        theirs = frame
        if kind == "price_change":
            assert len(frame["price_changes"]) == len(only(kind, frames)["price_changes"]) == 2
        assert missing(shape(theirs), ours) == []
        assert isinstance(frame, list) == (kind == "book")


def test_a_rest_book_has_the_recorded_form_key_by_key() -> None:
    stage = Stage("polymarket")
    listed = next(iter(stage.venue.board.markets()))

    ours = Clob(stage.floor, stage.venue.board)._book(listed, UP, "")

    for book in recorded(APRIL, "kind", "rest_book"):
        assert list(book) == list(ours)
        assert missing(shape(book), shape(ours)) == []


@pytest.mark.parametrize("kind", ["subscribe", "update"])
def test_the_live_data_socket_has_the_recorded_form(kind: str) -> None:
    stage = Stage("polymarket")
    stage.run(60)
    peer = stage.peer("rtds")
    session = RtdsSession(stage.venue.rtds, peer)
    peer.begin(session)
    wanted = {"topic": "crypto_prices_chainlink", "type": "*", "filters": '{"symbol":"btc/usd"}'}
    session.message(json.dumps({"action": "subscribe", "subscriptions": [wanted]}))
    stage.run(5)
    ours = next(message for message in peer.messages() if message["type"] == kind)

    for frame in recorded(APRIL, "kind", kind):
        assert missing(shape(frame), shape(ours)) == []
        assert frame["topic"] == ours["topic"]


@pytest.mark.parametrize(
    ("path", "column", "kind", "venue", "name", "find"),
    [
        (APRIL, "kind", "trade", "binance-spot", "btcusdt@trade", "@trade"),
        (OLD, "venue", "binance_spot", "binance-spot", "btcusdt@depth@100ms", "depthUpdate"),
        (OLD, "venue", "binance_futures", "binance-usdm", "btcusdt@bookTicker", "bookTicker"),
    ],
)
def test_binance_frames_have_the_recorded_form(
    path: str, column: str, kind: str, venue: str, name: str, find: str
) -> None:
    stage = Stage(venue)
    peer = stage.peer("ws")
    session = BinanceSession(stage.venue._socket, peer, "", [name], is_combined=True)
    peer.begin(session)
    stage.run(20)
    ours = peer.messages()[-1]

    for frame in recorded(path, column, kind, find):
        assert missing(shape(frame), shape(ours)) == []


def test_a_missing_key_and_another_type_are_noticed() -> None:
    assert missing({"a": {"b": "str"}}, {"a": {}}) == [".a.b is missing"]
    assert missing({"a": ["str"]}, {"a": ["number"]}) == [".a[]: str there, number here"]

"""What the decoder of settlement prices takes for a price of now, and how exactly."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from observer.kit.clock import NS_PER_MS
from observer.kit.decimals import scaled
from observer.ports import Selection
from observer.records import UNKNOWN_NS
from observer.store.reference import by_preference
from observer.venues.polymarket import Polymarket, rtds
from observer.venues.urls import resolve
from tests.samples.recording_line import RecordingLine
from tests.samples.shared_data import shared

AT_MS = 1_784_851_200_000
RECV_NS = (AT_MS + 1_300) * NS_PER_MS
E18 = "65048078902260626000000"


def message(topic: str, symbol: str, value: Any, exact: str | None = None, kind: str = "update", **more: Any) -> bytes:
    payload = {"symbol": symbol, "timestamp": AT_MS, "value": value} | more
    if exact is not None:
        payload["full_accuracy_value"] = exact
    return json.dumps({"topic": topic, "type": kind, "timestamp": AT_MS + 1160, "payload": payload}).encode()


def heard(*payloads: bytes) -> tuple[RecordingLine, list[bool]]:
    line = RecordingLine(recv_ns=RECV_NS)
    decoder = rtds.ReferenceStream(rtds.feeds("polymarket", ["btc", "doge"]), line)
    return line, [decoder.message(payload) for payload in payloads]


@pytest.mark.parametrize(
    ("payload", "key", "price"),
    [
        (message("crypto_prices_chainlink", "btc/usd", 65048.08, E18), "chainlink:btc/usd", "65048.078902261"),
        (message("crypto_prices_twap_sixty", "btc/usd", 65048.08, E18), "chainlink-twap60:btc/usd", "65048.078902261"),
        (message("crypto_prices_twap_thirty", "btc/usd", 65048.08, E18), "chainlink-twap30:btc/usd", "65048.078902261"),
        (message("crypto_prices", "btcusdt", 65051.2, "65051.20000000"), "polymarket-binance:btcusdt", "65051.2"),
        (message("crypto_prices", "btcusdt", 65051.2), "polymarket-binance:btcusdt", "65051.2"),
        (message("crypto_prices", "btc/usd", 65040.1), "chainlink:btc/usd", "65040.1"),  # under the other's name
        (message("crypto_prices", "dogeusdt", 1.2e-05), "polymarket-binance:dogeusdt", "0.000012"),
    ],
)  # fmt: skip
def test_a_price_goes_to_the_feed_that_its_topic_and_symbol_name(payload: bytes, key: str, price: str) -> None:
    line, is_data = heard(payload)

    assert is_data == [True]
    assert line.of("price", key) == [(scaled(price), AT_MS * NS_PER_MS)]
    assert line.counts() == {"price": 1}


def test_the_exact_field_is_read_beyond_what_a_float_holds() -> None:
    line, _ = heard(message("crypto_prices_chainlink", "btc/usd", 65048.07, "65048070000000001000000"))

    assert line.of("price")[0][0] == 65_048_070_000_000  # 65048.070000000001 rounds down to 1e-9
    assert heard(message("crypto_prices_chainlink", "btc/usd", 65048.07, "65048070000001000000000"))[0].of("price")[0][
        0
    ] == (65_048_070_000_001)


def test_a_back_fill_is_no_price_of_now_and_no_data() -> None:
    old = {"symbol": "btc/usd", "data": [{"timestamp": AT_MS - 40_000, "value": 65040.1}]}
    payload = json.dumps({"topic": "crypto_prices", "type": "subscribe", "timestamp": AT_MS, "payload": old}).encode()

    line, is_data = heard(payload)

    assert is_data == [False]
    assert not line.calls


def test_a_symbol_that_is_not_recorded_still_proves_that_the_socket_lives() -> None:
    line, is_data = heard(message("crypto_prices_chainlink", "eth/usd", 2000.5, "2000500000000000000000"))

    assert is_data == [True]
    assert not line.calls


def test_a_scale_that_was_misread_is_noticed() -> None:
    line, is_data = heard(message("crypto_prices_chainlink", "btc/usd", 65048.07, "65048070000000"))

    assert is_data == [False]
    assert not line.of("price")
    assert line.counts() == {"refuse": 1}


@pytest.mark.parametrize("value", ["NaN", -1.0, 0, "x", None, 1e300, [], "1e999999999"])
def test_a_value_that_is_no_price_is_refused(value: Any) -> None:
    line, is_data = heard(message("crypto_prices", "btcusdt", value))

    assert is_data == [False]
    assert line.counts() == {"refuse": 1}


def test_a_time_far_ahead_of_ours_is_recorded_as_unknown() -> None:
    line, _ = heard(message("crypto_prices", "btcusdt", 65051.2, timestamp=AT_MS + 60_000))

    assert line.of("price") == [(scaled("65051.2"), UNKNOWN_NS)]
    assert line.counts()["refuse"] == 1


def test_a_topic_that_the_venue_no_longer_knows_is_heard() -> None:
    line, is_data = heard(b'{"body":{"message":"topic x not found"},"statusCode":401}')

    assert is_data == [False]
    assert line.counts() == {"refuse": 1}


def test_an_empty_frame_and_a_pong_are_nothing() -> None:
    line, is_data = heard(b"", b"PONG", b"pong")

    assert is_data == [False] * 3
    assert not line.calls


def test_each_topic_is_asked_for_in_a_frame_of_its_own_and_without_a_filter() -> None:
    venue = Polymarket(resolve())

    (plan,) = venue.plan(venue.feeds(Selection(("btc",))))

    assert [json.loads(frame)["subscriptions"] for frame in plan.subscribe] == [
        [{"topic": topic, "type": "*"}] for topic in rtds.SOURCES
    ]
    assert plan.silence_s == 10.0


def test_the_settlement_price_is_preferred_over_what_is_passed_on() -> None:
    assert by_preference(["chainlink-twap60", "kraken", "polymarket-binance", "binance-spot", "chainlink"]) == [
        "chainlink", "binance-spot", "polymarket-binance", "kraken", "chainlink-twap60",
    ]  # fmt: skip


def test_every_recorded_message_is_a_price_or_a_back_fill() -> None:
    rows = pq.read_table(
        shared("raw_ws_samples/polymarket_binance_coinbase_2026-04.parquet"),
        filters=[("source", "=", "polymarket_rtds_chainlink")],
    ).to_pylist()
    line = RecordingLine()
    decoder = rtds.ReferenceStream(rtds.feeds("polymarket", ["btc", "eth", "sol"]), line)

    for row in rows:
        line.recv_ns = int(row["ts_recv"].timestamp() * 1e3) * NS_PER_MS
        assert decoder.message(row["payload"].encode()) == (row["kind"] == "update")
    said = [
        int(json.loads(row["payload"])["payload"]["full_accuracy_value"]) for row in rows if row["kind"] == "update"
    ]
    assert [price for price, _ in line.of("price")] == [(exact + 5 * 10**8) // 10**9 for exact in said]
    assert line.counts() == {"price": 918}

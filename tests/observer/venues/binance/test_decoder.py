"""Binance's frames: read as documented, and nothing believed that cannot be."""

import json
from collections.abc import Sequence

import pytest

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.ports import Instrument
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.binance import spot, usdm
from observer.venues.binance.decoder import (
    BAD_NUMBER,
    BAD_SNAPSHOT,
    NOT_OURS,
    SHUTDOWN,
    UNREADABLE_FRAME,
    BinanceDecoder,
)
from observer.venues.binance.rules import SPOT, USDM
from observer.venues.check import check_venue
from observer.venues.urls import URLS
from tests.samples.recording_line import RecordingLine

MADE_MS = 1_784_851_200_000
RECV_NS = MADE_MS * NS_PER_MS + 40 * NS_PER_MS
E9 = 10**9

SPOT_REST = b'{"lastUpdateId":160,"bids":[["97000.10","1.2"],["96999.00","0"]],"asks":[["97000.11","0.5"]]}'
USDM_REST = (
    b'{"lastUpdateId":160,"E":1784851200002,"T":1784851200001,"bids":[["97000.1","1.2"]],"asks":[["97000.2","4.0"]]}'
)


def wrapped(stream: str, **data: object) -> bytes:
    """An event as a combined stream sends it."""
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


def depth(first: int, last: int, bids: list[list[str]], asks: list[list[str]], **more: object) -> bytes:
    """A depth event of BTCUSDT."""
    return wrapped(
        "btcusdt@depth@100ms", e="depthUpdate", E=MADE_MS, s="BTCUSDT", U=first, u=last, b=bids, a=asks, **more
    )


def trade(trade_id: int, is_buyer_maker: bool, **more: object) -> bytes:
    """A trade of BTCUSDT."""
    data = {"e": "trade", "E": MADE_MS, "s": "BTCUSDT", "t": trade_id, "p": "97000.10", "q": "0.010", "T": MADE_MS - 1}
    return wrapped("btcusdt@trade", **{**data, "m": is_buyer_maker, **more})


SPOT_SESSION = [
    depth(155, 160, [["97000.10", "1.2"]], []),
    depth(161, 164, [["97000.10", "0"], ["97000.09", "3.00000000"]], [["97000.11", "0.25"], ["97001.00", "7"]]),
    trade(12345, is_buyer_maker=True, M=True),
    trade(12346, is_buyer_maker=False, M=True),
    depth(165, 165, [], [["97000.11", "0"]]),
]
USDM_SESSION = [
    depth(150, 160, [["97000.1", "1.2"]], [], pu=149, T=MADE_MS - 3, st=1, ps="BTCUSDT"),
    depth(171, 175, [["97000.0", "2"]], [["97000.2", "3.5"]], pu=160, T=MADE_MS - 2),
    trade(7, is_buyer_maker=True, X="MARKET"),
    trade(8, is_buyer_maker=True, X="INSURANCE_FUND"),
    trade(9, is_buyer_maker=False, X="NA", p="0", q="0"),
]
PRICES_SESSION = [
    wrapped(
        "btcusdt@markPrice@1s", e="markPriceUpdate", E=MADE_MS, s="BTCUSDT", p="97001.15000000", i="96999.62659091",
        P="97000.2", r="0.00010000", T=MADE_MS + 3_600_000, st=1, ap="97000.0",
    )
]  # fmt: skip
SILENT = [b'{"result":null,"id":1}', b'{"result":["btcusdt@trade"],"id":3}', b'{"id":2,"result":true}']


def make_spot() -> Sequence[Instrument]:
    return [Instrument("binance-spot", "BTCUSDT", "", 0, "BTC", "binance-spot")]


def make_usdm() -> Sequence[Instrument]:
    keys = ("BTCUSDT", "BTCUSDT@markPrice", "BTCUSDT@indexPrice")
    return [Instrument("binance-usdm", key, "", 0, "BTC", "binance-usdm") for key in keys]


def decoder(rule: object = SPOT) -> tuple[BinanceDecoder, RecordingLine, dict[str, Instrument]]:
    """A decoder of BTCUSDT with its line."""
    instruments = {instrument.key: instrument for instrument in make_usdm()}
    line = RecordingLine(recv_ns=RECV_NS)
    return BinanceDecoder(instruments.values(), line, rule), line, instruments  # type: ignore[arg-type]  # pyright: ignore


def test_spot_keeps_the_contract_of_every_venue() -> None:
    check_venue(
        spot(URLS), make_spot, {"books": SPOT_SESSION}, recv_ns=RECV_NS, silent=SILENT, answers=lambda _: SPOT_REST
    )


def test_usdm_keeps_the_contract_of_every_venue() -> None:
    check_venue(
        usdm(URLS), make_usdm, {"books": USDM_SESSION, "prices": PRICES_SESSION},
        recv_ns=RECV_NS, silent=SILENT, answers=lambda _: USDM_REST,
    )  # fmt: skip


def test_a_spot_session_is_read_as_documented() -> None:
    read, line, instruments = decoder()
    btc = instruments["BTCUSDT"]

    assert read.message(SPOT_SESSION[0])
    assert line.counts() == {"fetch": 1}
    read.snapshot(btc, SPOT_REST)
    assert [read.message(frame) for frame in SPOT_SESSION[1:]] == [True] * 4

    assert btc.book.top(BID, 9) == [(97_000_090_000_000, 3 * E9)]
    assert btc.book.top(ASK, 9) == [(97_001_000_000_000, 7 * E9)]
    assert line.of("book") == [
        (((97_000_100_000_000, 1_200_000_000),), ((97_000_110_000_000, 500_000_000),), UNKNOWN_NS, 160)
    ]
    assert line.of("level")[-1] == (ASK, 97_000_110_000_000, 0, MADE_MS * NS_PER_MS, 165)
    assert line.of("trade") == [
        (SELL, 97_000_100_000_000, 10_000_000, (MADE_MS - 1) * NS_PER_MS, "12345"),
        (BUY, 97_000_100_000_000, 10_000_000, (MADE_MS - 1) * NS_PER_MS, "12346"),
    ]


def test_usdm_events_carry_the_time_of_the_matching_engine_and_only_trades_of_the_book() -> None:
    read, line, instruments = decoder(USDM)
    read.message(USDM_SESSION[0])
    read.snapshot(instruments["BTCUSDT"], USDM_REST)

    assert [read.message(frame) for frame in USDM_SESSION[1:]] == [True] * 4

    assert line.of("book")[0][2] == (MADE_MS + 1) * NS_PER_MS
    assert line.of("level")[-1] == (ASK, 97_000_200_000_000, 3_500_000_000, (MADE_MS - 2) * NS_PER_MS, 175)
    assert [args[-1] for args in line.of("trade")] == ["7"]


def test_mark_and_index_are_two_prices() -> None:
    read, line, _ = decoder(USDM)

    assert read.message(PRICES_SESSION[0])

    assert line.of("price", "BTCUSDT@markPrice") == [(97_001_150_000_000, MADE_MS * NS_PER_MS)]
    assert line.of("price", "BTCUSDT@indexPrice") == [(96_999_626_590_910, MADE_MS * NS_PER_MS)]


def test_an_event_that_is_not_wrapped_is_read_all_the_same() -> None:
    read, line, _ = decoder()

    assert read.message(json.dumps(json.loads(SPOT_SESSION[2])["data"]).encode())

    assert len(line.of("trade")) == 1


@pytest.mark.parametrize(
    "frame", [b'{"e":"serverShutdown","E":1784851200000}', wrapped("!serverShutdown", e="serverShutdown", E=MADE_MS)]
)
def test_a_server_that_shuts_down_is_left(frame: bytes) -> None:
    read, line, _ = decoder()

    assert not read.message(frame)

    assert line.of("lost_all") == [(SHUTDOWN,)]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"error":{"code":4,"msg":"Too many subscriptions"}}',
        b'{"code":2,"msg":"Invalid request: unknown variant"}',
        b'{"error":{"code":3,"msg":"Invalid JSON"},"id":1}',
    ],
)
def test_an_error_ends_the_connection_and_is_told(frame: bytes) -> None:
    read, line, _ = decoder()

    assert not read.message(frame)

    assert line.counts() == {"lost_all": 1}
    assert "venue answers" in line.of("lost_all")[0][0]


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([["NaN", "1"]], []),
        ([["-97000.1", "1"]], []),
        ([["97000.1", "-1"]], []),
        ([["97000.1", "1e3"]], []),
        ([["0", "1"]], []),
        ([["97000.1", "99999999999999999999"]], []),
        ([["97000.1", "1"]], [["97000.2", "Infinity"]]),
    ],
)
def test_a_number_that_cannot_be_is_refused_and_the_book_lost_at_the_next_event(
    bids: list[list[str]], asks: list[list[str]]
) -> None:
    read, line, instruments = decoder()
    read.message(SPOT_SESSION[0])
    read.snapshot(instruments["BTCUSDT"], SPOT_REST)

    assert not read.message(depth(161, 161, bids, asks))
    assert line.of("refuse") == [(BAD_NUMBER,)]
    assert not line.of("level")
    read.message(depth(162, 162, [["97000.00", "1"]], []))

    assert line.counts()["lost"] == 1
    assert not instruments["BTCUSDT"].book.is_valid


@pytest.mark.parametrize("field", ["E", "U", "u", "b", "a", "s"])
def test_a_missing_or_misshapen_field_is_refused(field: str) -> None:
    for value in (None, "x", -1, 1.5, {"a": 1}, [[1]], 2**70):
        body = json.loads(SPOT_SESSION[0])
        body["data"][field] = value
        read, line, _ = decoder()

        assert not read.message(json.dumps(body).encode()), (field, value)

        assert line.counts()["refuse"] + line.counts()["unknown"] == 1, (field, value)


def test_a_time_ahead_of_ours_is_refused_but_not_the_level() -> None:
    read, line, instruments = decoder()
    read.message(SPOT_SESSION[0])
    read.snapshot(instruments["BTCUSDT"], SPOT_REST)
    line.recv_ns -= 60 * NS_PER_S

    assert read.message(SPOT_SESSION[1])

    assert line.counts()["refuse"] == 1
    assert line.of("level")[0][3] == UNKNOWN_NS


def test_a_strange_event_or_symbol_is_counted_by_name() -> None:
    read, line, _ = decoder()

    assert not read.message(wrapped("btcusdt@avgPrice", e="avgPrice", E=MADE_MS, s="BTCUSDT"))
    assert not read.message(wrapped("btcusdt@bookTicker", u=1, s="BTCUSDT", b="1", B="1", a="2", A="1"))
    assert not read.message(SPOT_SESSION[0].replace(b'"BTCUSDT"', b'"OTHER"'))
    assert not read.message(SPOT_SESSION[2].replace(b'"BTCUSDT"', b'"OTHER"'))

    assert [what for (what,) in line.of("unknown")] == ["avgPrice", "event without a type", NOT_OURS, NOT_OURS]


@pytest.mark.parametrize("frame", [b"", b"PONG", b"[]", b"[1]", b"null", b"\xff", b"[" * 5000, b'{"e":' * 5000])
def test_what_is_no_object_is_refused(frame: bytes) -> None:
    read, line, _ = decoder()

    assert not read.message(frame)

    assert line.of("refuse") == [(UNREADABLE_FRAME,)]


@pytest.mark.parametrize("kind", ["[]", "{}", "1", "null"])
def test_an_event_whose_type_is_no_word_is_not_read(kind: str) -> None:
    read, line, _ = decoder()

    assert not read.message(b'{"stream":"x","data":{"e":' + kind.encode() + b"}}")

    assert line.counts() == {"unknown": 1}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b'{"lastUpdateId":160,"bids":[["97000.2","1"]],"asks":[["97000.1","1"]]}',
        b'{"lastUpdateId":160,"bids":[["97000.2","1"],["97000.2","2"]],"asks":[]}',
        b'{"lastUpdateId":160,"bids":[["NaN","1"]],"asks":[]}',
        b'{"lastUpdateId":-1,"bids":[],"asks":[]}',
        b'{"lastUpdateId":160,"bids":[[97000.1,1]],"asks":[]}',
    ],
)
def test_a_rest_book_that_cannot_be_is_refused_and_asked_for_again(answer: bytes) -> None:
    read, line, instruments = decoder()
    read.message(SPOT_SESSION[0])

    read.snapshot(instruments["BTCUSDT"], answer)
    assert line.of("refuse") == [(BAD_SNAPSHOT,)]
    read.message(SPOT_SESSION[1])

    assert line.counts()["fetch"] == 2
    assert not line.of("book")


def test_a_silent_instrument_is_looked_after_by_what_else_arrives() -> None:
    read, line, instruments = decoder()
    read.message(SPOT_SESSION[0])
    read.snapshot(instruments["BTCUSDT"], SPOT_REST)

    for _ in range(40):
        line.recv_ns += NS_PER_S
        read.message(SPOT_SESSION[2])

    assert line.counts()["fetch"] == 2

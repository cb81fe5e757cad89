"""Kraken's books are the venue's own, checksum by checksum, and nothing else is believed."""

import asyncio
import json
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_S, parse_iso
from observer.kit.decimals import SCALE, BadNumber
from observer.ports import Selection
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.check import check_venue
from observer.venues.kraken import Kraken
from observer.venues.kraken.book import number_of
from observer.venues.kraken.decoder import KrakenDecoder
from observer.venues.urls import URLS
from tests.samples import kraken_session as kraken
from tests.samples.recording_line import RecordingLine

AT_NS = parse_iso(kraken.AT)
SNAPSHOT = kraken.book("snapshot", kraken.BIDS, kraken.ASKS, kraken.CHECKSUM)

# As they came from the venue: ALGO/USD on 2024-10-03, USDG/USD on 2026-09-17.
ALGO = (
    b'{"channel":"book","type":"snapshot","data":[{"symbol":"ALGO/USD","bids":[{"price":0.12291,"qty":27039.62776299},'
    b'{"price":0.12290,"qty":8136.33288180},{"price":0.12287,"qty":10984.20817349},{"price":0.12283,"qty":28027.05025639},'
    b'{"price":0.12280,"qty":9705.60000000},{"price":0.12279,"qty":15215.53522714},{"price":0.12275,"qty":4067.00000000},'
    b'{"price":0.12274,"qty":30639.39949109},{"price":0.12268,"qty":2531.96119986},{"price":0.12267,"qty":16299.00000000}],'
    b'"asks":[{"price":0.12307,"qty":600.00000000},{"price":0.12308,"qty":4042.11919517},{"price":0.12312,'
    b'"qty":10284.53891000},{"price":0.12314,"qty":16155.08885299},{"price":0.12315,"qty":5186.05778473},{"price":0.12316,'
    b'"qty":32828.24000000},{"price":0.12317,"qty":7751.65718582},{"price":0.12318,"qty":32298.82000000},{"price":0.12319,'
    b'"qty":1864.66899600},{"price":0.12322,"qty":4718.99755630}],"checksum":2375857985}]}',
    b'{"channel":"book","type":"update","data":[{"symbol":"ALGO/USD","bids":[{"price":0.12275,"qty":6597.51731160}],'
    b'"asks":[],"checksum":1100635717,"timestamp":"2024-10-03T02:46:57.050170Z"}]}',
)  # fmt: skip
USDG = (
    b'{"channel":"book","type":"snapshot","data":[{"symbol":"USDG/USD","bids":[{"price":0.9999,"qty":653645.22211},'
    b'{"price":0.9998,"qty":21389.49905},{"price":0.9997,"qty":311181.88799},{"price":0.9996,"qty":935949.00167},{"price":'
    b'0.9995,"qty":5.25262},{"price":0.9993,"qty":15819.07585},{"price":0.9990,"qty":28045.34609},{"price":0.9985,"qty":'
    b'35372.52894},{"price":0.9900,"qty":10.07905},{"price":0.9835,"qty":240.14072}],"asks":[{"price":1.0000,"qty":'
    b'382506.65119},{"price":1.0001,"qty":242215.90771},{"price":1.0002,"qty":357570.43200},{"price":1.0003,"qty":'
    b'936797.08901},{"price":1.0004,"qty":10578.85361},{"price":1.0005,"qty":83656.47123},{"price":1.0007,"qty":15819.07585}'
    b',{"price":1.0010,"qty":23655.03579},{"price":1.0015,"qty":35372.52894},{"price":1.0024,"qty":5000.00000}],'
    b'"checksum":3225719247,"timestamp":"2026-09-17T06:16:44.386754Z"}]}',
)  # fmt: skip


@pytest.fixture
def line() -> RecordingLine:
    return RecordingLine(recv_ns=kraken.RECV_NS)


@pytest.mark.parametrize(
    ("symbol", "frames"),
    [("BTC/USD", (SNAPSHOT,)), ("ALGO/USD", ALGO), ("USDG/USD", USDG)],
    ids=["guide", "2024", "2026"],
)
def test_checksums_of_the_venue_itself_are_right(symbol: str, frames: tuple[bytes, ...]) -> None:
    line, instrument = RecordingLine(recv_ns=parse_iso("2026-10-01T00:00:00Z")), kraken.pair(symbol)
    decoder = KrakenDecoder(line, [instrument])

    for payload in frames:
        assert decoder.message(payload) is True

    assert instrument.book.is_valid
    assert set(line.counts()) <= {"book", "level"}
    assert len(line.of("level")) == len(frames) - 1


def test_a_wrong_checksum_loses_the_book_and_subscribes_its_pair_anew(line: RecordingLine) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument, kraken.pair("ETH/USD")])
    decoder.message(SNAPSHOT)

    decoder.message(kraken.book("update", [("45283.5", "0.20000000")], [], 1))
    decoder.message(kraken.book("update", [("45283.5", "0.30000000")], [], 2))

    assert not instrument.book.is_valid
    assert line.of("level") == []
    assert line.of("lost") == [("checksum mismatch",)]
    commands = [json.loads(payload) for (payload,) in line.of("send")]
    assert [command["method"] for command in commands] == ["unsubscribe", "subscribe"]
    assert commands[1]["params"] == {"channel": "book", "symbol": ["BTC/USD"], "depth": 10, "snapshot": True}
    assert len({command["req_id"] for command in commands}) == 2
    decoder.message(SNAPSHOT)
    assert instrument.book.is_valid
    assert line.of("book")[-1][2] == AT_NS
    decoder.message(kraken.book("update", [("45283.5", "0.20000000")], [], 1))
    assert len(line.of("send")) == 4


def test_a_snapshot_with_a_wrong_checksum_is_no_book_and_is_asked_for_again_ever_more_rarely(
    line: RecordingLine,
) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument])
    asked_s: list[int] = []
    for second in range(40):
        line.recv_ns = kraken.RECV_NS + second * NS_PER_S
        decoder.message(kraken.book("snapshot", kraken.BIDS, kraken.ASKS, kraken.CHECKSUM + 1))
        asked_s += [second] * (len(line.of("send")) // 2)
        line.clear()

    assert not instrument.book.is_valid
    assert asked_s == [0, 5, 15, 35]


def test_levels_that_fall_out_of_the_depth_are_removed_from_the_recorded_book_too(line: RecordingLine) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument])
    decoder.message(SNAPSHOT)
    asks = [("45285.0", "1.00000000"), *kraken.ASKS[:9]]

    decoder.message(kraken.book("update", [], asks[:1], kraken.checksum(kraken.BIDS, asks)))

    assert [args[:3] for args in line.of("level")] == [
        (ASK, 45285 * SCALE, SCALE),
        (ASK, 45299_500_000_000, 0),
    ]
    assert len(instrument.book.top(ASK, 99)) == 10


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), price_decimals=st.integers(0, 9), size_decimals=st.integers(0, 9))
def test_any_session_equals_a_book_of_decimals(seed: int, price_decimals: int, size_decimals: int) -> None:
    rng = random.Random(seed)
    line, instrument = RecordingLine(recv_ns=kraken.RECV_NS), kraken.pair()
    decoder = KrakenDecoder(line, [instrument])
    sides: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}

    def printed(is_bid: bool) -> list[kraken.Printed]:
        best = sorted(sides[is_bid].items(), reverse=is_bid)[:10]
        sides[is_bid] = dict(best)
        return [(f"{price:.{price_decimals}f}", f"{size:.{size_decimals}f}") for price, size in best]

    def some(is_bid: bool) -> tuple[Decimal, Decimal]:
        units = rng.randrange(1, 40) if is_bid else rng.randrange(41, 80)
        return Decimal(units).scaleb(-price_decimals), Decimal(rng.randrange(1, 10**6)).scaleb(-size_decimals)

    for is_bid in (True, False):
        sides[is_bid] = dict(some(is_bid) for _ in range(12))
    bids, asks = printed(True), printed(False)
    decoder.message(kraken.book("snapshot", bids, asks, kraken.checksum(bids, asks)))
    for _ in range(40):
        changed: dict[bool, list[kraken.Printed]] = {True: [], False: []}
        for is_bid in rng.choices([True, False], k=rng.randrange(1, 4)):
            price, size = some(is_bid)
            if price in sides[is_bid] and rng.random() < 0.5:
                size = Decimal(0)
            sides[is_bid][price] = size
            changed[is_bid].append((f"{price:.{price_decimals}f}", f"{size:.{size_decimals}f}"))
            if not size:
                del sides[is_bid][price]
        bids, asks = printed(True), printed(False)
        decoder.message(kraken.book("update", changed[True], changed[False], kraken.checksum(bids, asks)))

    assert line.counts()["lost"] == line.counts()["refuse"] == 0
    for side, is_bid in ((BID, True), (ASK, False)):
        found = [(Decimal(p) / SCALE, Decimal(s) / SCALE) for p, s in instrument.book.top(side, 99)]
        assert found == sorted(sides[is_bid].items(), reverse=is_bid)


def test_a_level_that_is_printed_short_is_padded_to_what_the_pair_prints(line: RecordingLine) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument])
    short = [("45281", "0.1"), *kraken.BIDS[4:]]
    whole = [("45281.0", "0.10000000"), *kraken.BIDS[4:]]

    decoder.message(kraken.book("snapshot", short, kraken.ASKS, kraken.checksum(whole, kraken.ASKS)))

    assert instrument.book.is_valid


def test_a_snapshot_says_anew_how_many_decimals_a_pair_prints(line: RecordingLine) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument])
    decoder.message(SNAPSHOT)
    bids, asks = [("45281", "0.1")], [("45285", "0.5")]

    decoder.message(kraken.book("snapshot", bids, asks, kraken.checksum(bids, asks)))

    assert instrument.book.is_valid
    finer = [("45281.50", "0.25"), ("45281.00", "0.10")]
    check = kraken.checksum(finer, [("45285.00", "0.50")])
    decoder.message(kraken.book("update", finer[:1], [], check))
    assert instrument.book.is_valid


def test_a_number_is_looked_at_before_its_exponent_is_written_out() -> None:
    for text in (b"1e999999999", b"1e-999999999"):
        with pytest.raises(BadNumber, match="out of range"):
            number_of(msgspec.Raw(text))


@pytest.mark.parametrize(("price", "expected"), [("1E-9", 1), ("5e-05", 50_000), ("4.5e4", 45_000 * SCALE)])
def test_numbers_with_an_exponent_are_exact(line: RecordingLine, price: str, expected: int) -> None:
    KrakenDecoder(line, [kraken.pair()]).message(kraken.trade(price=price))

    assert line.of("trade")[0][1] == expected


@pytest.mark.parametrize(
    "text",
    ["NaN", "-1.0", "0.0", "1e999999999", "1e-999999999", "Infinity", '"45285.2"', "null", "0.0000000001", "[1]",
     "9" * 41, "92233720369.0"],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_in_trades_and_books(line: RecordingLine, text: str) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument])

    decoder.message(kraken.trade(price=text))
    decoder.message(kraken.book("snapshot", [(text, "1.0")], [], 0))

    assert line.counts()["refuse"] == 2
    assert line.counts()["trade"] == line.counts()["book"] == 0
    assert not instrument.book.is_valid


def test_a_crossed_book_is_lost_though_its_checksum_is_right(line: RecordingLine) -> None:
    instrument = kraken.pair()
    bids, asks = [("45285", "0.1")], [("45285", "0.5")]

    KrakenDecoder(line, [instrument]).message(kraken.book("snapshot", bids, asks, kraken.checksum(bids, asks)))

    assert line.of("lost") == [("crossed book",)]


def test_trades_say_what_the_taker_did(line: RecordingLine) -> None:
    decoder = KrakenDecoder(line, [kraken.pair()])

    decoder.message(kraken.trade(side="buy", trade_id=7))
    decoder.message(kraken.trade(side="sell", trade_id=8))

    assert line.of("trade") == [
        (BUY, 45_285_200_000_000, 276_250, AT_NS, "7"),
        (SELL, 45_285_200_000_000, 276_250, AT_NS, "8"),
    ]


def test_maintenance_and_its_end_are_noted_once(line: RecordingLine) -> None:
    decoder = KrakenDecoder(line, [kraken.pair()])
    for system in ("online", "maintenance", "maintenance", "online"):
        status = {"version": "2.0.9", "system": system, "api_version": "v2", "connection_id": 13834774380200032777}
        assert decoder.message(json.dumps({"channel": "status", "type": "update", "data": [status]}).encode()) is False

    assert line.of("changed") == [("kraken", "status", "maintenance"), ("kraken", "status", "online")]


def test_a_refused_command_is_flagged(line: RecordingLine) -> None:
    decoder = KrakenDecoder(line, [kraken.pair()])

    decoder.message(b'{"error":"Currency pair not supported X/USD","method":"subscribe","success":false,"req_id":1}')
    decoder.message(b'{"error":"Exceeded msg rate"}')

    assert line.of("refuse") == [
        ("venue says: Currency pair not supported X/USD",),
        ("venue says: Exceeded msg rate",),
    ]


def test_a_book_that_the_recorder_lost_is_asked_for_on_the_socket_not_taken_from_rest(line: RecordingLine) -> None:
    instrument = kraken.pair()
    decoder = KrakenDecoder(line, [instrument])
    decoder.message(SNAPSHOT)
    rest = b'{"error":[],"result":{"XXBTZUSD":{"asks":[["45285.20000","0.001",1]],"bids":[]}}}'
    decoder.snapshot(instrument, rest)
    assert line.counts()["send"] == 0

    instrument.book.invalidate()
    decoder.snapshot(instrument, rest)

    assert line.counts()["send"] == 2
    assert line.counts()["book"] == 1


def test_a_snapshot_need_not_have_a_time_and_a_wrong_one_is_flagged(line: RecordingLine) -> None:
    decoder = KrakenDecoder(line, [kraken.pair()])

    for at in (None, "yesterday", "2026-04-28T11:00:00Z", "0000-01-01T00:00:00Z"):
        decoder.message(kraken.book("snapshot", kraken.BIDS, kraken.ASKS, kraken.CHECKSUM, at=at))

    assert [args[2] for args in line.of("book")] == [UNKNOWN_NS] * 4
    assert line.of("refuse") == [
        ("time that cannot be read",), ("time ahead of ours",), ("time that cannot be read",),
    ]  # fmt: skip


def test_the_contract_of_every_venue_holds() -> None:
    bids = [("45283.6", "0.50000000"), *kraken.BIDS[:9]]
    session = [
        SNAPSHOT,
        kraken.book("update", bids[:1], [], kraken.checksum(bids, kraken.ASKS)),
        kraken.trade(),
    ]
    ack = {"channel": "book", "symbol": "BTC/USD", "depth": 10, "snapshot": True}
    silent = [
        b'{"channel":"heartbeat"}',
        b'{"channel":"status","type":"update","data":[{"version":"2.0.9","system":"online"}]}',
        json.dumps({"method": "subscribe", "result": ack, "success": True, "req_id": 1}).encode(),
        b'{"method":"pong","req_id":9,"time_in":"x","time_out":"y"}',
    ]

    check_venue(
        Kraken(dict(URLS)), lambda: [kraken.pair(), kraken.pair("ETH/USD")], {"spot": session},
        recv_ns=kraken.RECV_NS, silent=silent,
    )  # fmt: skip


def test_feeds_are_dollar_pairs_on_one_connection_and_nothing_is_listed() -> None:
    venue = Kraken(dict(URLS))

    assert [(f.key, f.symbol, f.source) for f in venue.feeds(Selection(("btc", "sports")))] == [
        ("BTC/USD", "BTC", "kraken")
    ]
    assert venue.feeds(Selection(("politics",))) == []
    assert venue.plan([]) == []
    [plan] = venue.plan(venue.feeds(Selection()))
    book, trade = (json.loads(frame) for frame in plan.subscribe)
    assert book["params"]["depth"] == 10
    assert book["params"]["symbol"] == trade["params"]["symbol"]
    assert "BTC/USD" in book["params"]["symbol"]
    assert plan.url == URLS["kraken.ws"]


def test_the_rest_book_is_asked_for_by_the_older_names_of_its_coins() -> None:
    class Rest:
        async def get(self, url: str, params: dict[str, str] | None = None, headers: object = None) -> bytes:
            return f"{url} {params}".encode()

        async def post(self, url: str, body: bytes, headers: object = None) -> bytes:
            raise AssertionError

    asked = [asyncio.run(Kraken(dict(URLS)).snapshot(Rest(), kraken.pair(f"{coin}/USD"))) for coin in ("BTC", "DOGE")]

    assert asked[0] == b"https://api.kraken.com/0/public/Depth {'pair': 'XBTUSD', 'count': '10'}"
    assert b"XDGUSD" in asked[1]

"""Hyperliquid's books are whole, its touch is newer, and the recorded book is what both say together."""

import asyncio
import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import SCALE
from observer.ports import Instrument, Selection
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.check import check_venue
from observer.venues.hyperliquid import Hyperliquid
from observer.venues.hyperliquid.decoder import HyperliquidDecoder
from observer.venues.urls import URLS
from tests.samples.recording_line import RecordingLine

AT_MS = 1_703_875_200_000
RECV_NS = (AT_MS + 400) * NS_PER_MS
Printed = tuple[str, str]


def coin(name: str = "BTC") -> Instrument:
    return Instrument("hyperliquid", name, "", 0, name, "hyperliquid")


def frame(channel: str, data: Any) -> bytes:
    return json.dumps({"channel": channel, "data": data}).encode()


def level(printed: Printed | None) -> dict[str, Any] | None:
    return None if printed is None else {"px": printed[0], "sz": printed[1], "n": 3}


def book(bids: list[Printed], asks: list[Printed], ms: int = AT_MS, name: str = "BTC") -> bytes:
    return frame("l2Book", {"coin": name, "time": ms, "levels": [[level(x) for x in side] for side in (bids, asks)]})


def touch(bid: Printed | None, ask: Printed | None, ms: int = AT_MS, name: str = "BTC") -> bytes:
    return frame("bbo", {"coin": name, "time": ms, "bbo": [level(bid), level(ask)]})


def trade(**more: Any) -> dict[str, Any]:
    return {
        "coin": "BTC", "side": "B", "px": "98451.0", "sz": "0.01", "hash": "0x1", "time": AT_MS + 50,
        "tid": 118906512037719, "users": ["0x2", "0x3"], **more,
    }  # fmt: skip


BIDS: list[Printed] = [("98450.5", "2.5"), ("98450.0", "1.25"), ("98449.0", "7")]
ASKS: list[Printed] = [("98451.0", "1.5"), ("98452.0", "0.1")]


@pytest.fixture
def line() -> RecordingLine:
    return RecordingLine(recv_ns=RECV_NS)


def decimals(instrument: Instrument, side: int) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(p) / SCALE, Decimal(s) / SCALE) for p, s in instrument.book.top(side, 99)]


def exact(printed: list[Printed]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(size)) for price, size in printed]


def test_every_book_replaces_the_one_before(line: RecordingLine) -> None:
    instrument = coin()
    decoder = HyperliquidDecoder(line, [instrument])

    decoder.message(book(BIDS, ASKS))
    decoder.message(book(BIDS[1:], ASKS[:1], AT_MS + 500))

    assert decimals(instrument, BID) == exact(BIDS[1:])
    assert decimals(instrument, ASK) == exact(ASKS[:1])
    assert [args[2] for args in line.of("book")] == [AT_MS * NS_PER_MS, (AT_MS + 500) * NS_PER_MS]
    assert line.of("refuse") == []


def test_a_newer_touch_becomes_the_best_of_the_book(line: RecordingLine) -> None:
    instrument = coin()
    decoder = HyperliquidDecoder(line, [instrument])
    decoder.message(book(BIDS, ASKS))

    decoder.message(touch(("98450.0", "3"), ("98450.5", "0.5"), AT_MS + 100))

    assert decimals(instrument, BID) == exact([("98450.0", "3"), ("98449.0", "7")])
    assert decimals(instrument, ASK) == exact([("98450.5", "0.5"), *ASKS])
    assert {args[3] for args in line.of("level")} == {(AT_MS + 100) * NS_PER_MS}


def test_seconds_without_a_book_are_a_gap(line: RecordingLine) -> None:
    decoder = HyperliquidDecoder(line, [coin()])
    for second in (0, 3, 7):
        line.recv_ns = RECV_NS + second * NS_PER_S
        decoder.message(book(BIDS, ASKS, AT_MS + second * 1000))

    assert [call.method for call in line.calls] == ["book", "book", "lost", "book"]


def test_a_side_without_a_touch_is_empty(line: RecordingLine) -> None:
    instrument = coin()
    decoder = HyperliquidDecoder(line, [instrument])
    decoder.message(book(BIDS, ASKS))

    decoder.message(touch(None, ("98451.0", "1.5"), AT_MS + 100))

    assert decimals(instrument, BID) == []
    assert decimals(instrument, ASK) == exact(ASKS)
    assert len(line.of("level")) == 3


def test_an_older_touch_changes_nothing_and_an_older_book_takes_the_newer_touch_with_it(line: RecordingLine) -> None:
    instrument = coin()
    decoder = HyperliquidDecoder(line, [instrument])
    decoder.message(book(BIDS, ASKS))

    decoder.message(touch(("1.0", "1"), ("2.0", "1"), AT_MS - 1))
    assert line.of("level") == []
    decoder.message(touch(("98450.0", "3"), ("98451.0", "1.5"), AT_MS + 200))
    decoder.message(book(BIDS, ASKS[:1], AT_MS + 100))
    decoder.message(book([("5", "5")], [], AT_MS - 100))

    assert decimals(instrument, BID) == exact([("98450.0", "3"), ("98449.0", "7")])
    assert decimals(instrument, ASK) == exact(ASKS[:1])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_recorded_touch_is_always_the_last_one_told(seed: int) -> None:
    rng = random.Random(seed)
    line, instrument = RecordingLine(recv_ns=RECV_NS), coin()
    decoder = HyperliquidDecoder(line, [instrument])
    decoder.message(book(BIDS, ASKS))
    last = (Decimal(BIDS[0][0]), Decimal(ASKS[0][0]))
    for ms in range(1, 200):
        mid = rng.randrange(20, 80)
        bids = sorted(rng.sample(range(1, mid), k=min(5, mid - 1)), reverse=True)
        asks = sorted(rng.sample(range(mid, 100), k=5))
        sides = [[(f"{p / 10}", f"{rng.randrange(1, 99)}") for p in side] for side in (bids, asks)]
        if rng.random() < 0.3:
            decoder.message(book(sides[0], sides[1], AT_MS + ms))
        else:
            decoder.message(touch(sides[0][0], sides[1][0], AT_MS + ms))
        last = (Decimal(sides[0][0][0]), Decimal(sides[1][0][0]))

        found = (Decimal(instrument.book.best(BID)) / SCALE, Decimal(instrument.book.best(ASK)) / SCALE)
        assert found == last

    assert line.counts()["refuse"] == 0


def test_trades_say_who_was_the_aggressor(line: RecordingLine) -> None:
    decoder = HyperliquidDecoder(line, [coin()])

    decoder.message(frame("trades", [trade(), trade(side="A", tid=7), trade(coin="PEPE")]))
    decoder.message(frame("trades", [trade()]))

    expected = (98_451 * SCALE, SCALE // 100, (AT_MS + 50) * NS_PER_MS)
    assert line.of("trade") == [(BUY, *expected, "118906512037719"), (SELL, *expected, "7")]
    assert line.counts()["duplicate"] == 1


@pytest.mark.parametrize("fields", [{"px": "NaN"}, {"px": "-1"}, {"sz": "0"}, {"sz": "1e3"}, {"px": ""}])
def test_a_number_that_cannot_be_is_refused(line: RecordingLine, fields: dict[str, str]) -> None:
    decoder = HyperliquidDecoder(line, [coin()])
    wrong = {"px": "98450.5", "sz": "1", **fields}

    decoder.message(frame("trades", [trade(**fields)]))
    decoder.message(book([(wrong["px"], wrong["sz"])], []))
    decoder.message(touch((wrong["px"], wrong["sz"]), None))

    assert line.counts() == {"refuse": 3, "lost": 1}


def test_a_crossed_book_is_lost_until_the_next_and_a_crossed_touch_is_passed_over(line: RecordingLine) -> None:
    instrument = coin()
    decoder = HyperliquidDecoder(line, [instrument])
    decoder.message(book(BIDS, ASKS))

    decoder.message(touch(("98452.0", "1"), ("98451.0", "1"), AT_MS + 1))
    assert decimals(instrument, BID) == exact(BIDS)
    decoder.message(book(ASKS, ASKS, AT_MS + 2))
    assert not instrument.book.is_valid
    decoder.message(touch(("98450.0", "1"), ("98451.0", "1"), AT_MS + 3))
    assert not instrument.book.is_valid
    assert line.of("level") == []
    decoder.message(book(BIDS, ASKS, AT_MS + 4))

    assert decimals(instrument, BID) == exact(BIDS)


def test_a_time_from_the_future_stops_no_later_book(line: RecordingLine) -> None:
    instrument = coin()
    decoder = HyperliquidDecoder(line, [instrument])

    decoder.message(book(BIDS[2:], [], AT_MS + 3_600_000))
    decoder.message(touch(("98450.0", "9"), None, AT_MS + 3_600_000))
    line.recv_ns += 600 * NS_PER_MS
    decoder.message(book(BIDS, ASKS, AT_MS + 900))

    assert [args[2] for args in line.of("book")] == [UNKNOWN_NS, (AT_MS + 900) * NS_PER_MS]
    assert line.of("refuse") == [("time ahead of ours",)] * 2
    assert decimals(instrument, BID) == exact(BIDS)


def test_a_refused_subscription_is_flagged(line: RecordingLine) -> None:
    HyperliquidDecoder(line, [coin()]).message(frame("error", "Invalid subscription {...}"))

    assert line.of("refuse") == [("venue says: Invalid subscription {...}",)]


def test_the_contract_of_every_venue_holds() -> None:
    session = [book(BIDS, ASKS), touch(("98450.0", "3"), ("98451.0", "1.5"), AT_MS + 100), frame("trades", [trade()])]
    subscription = {"type": "l2Book", "coin": "BTC", "nSigFigs": None, "mantissa": None}
    silent = [
        b"Websocket connection established.",
        b'{"channel":"pong"}',
        frame("subscriptionResponse", {"method": "subscribe", "subscription": subscription}),
    ]

    check_venue(
        Hyperliquid(dict(URLS)), lambda: [coin(), coin("ETH")], {"perpetuals": session}, recv_ns=RECV_NS, silent=silent
    )


def test_feeds_share_one_connection_that_is_kept_awake() -> None:
    venue = Hyperliquid(dict(URLS))

    assert [(f.key, f.symbol, f.source) for f in venue.feeds(Selection(("eth",)))] == [("ETH", "ETH", "hyperliquid")]
    assert venue.feeds(Selection(("politics",))) == []
    assert venue.plan([]) == []
    [plan] = venue.plan(venue.feeds(Selection(("btc", "eth"))))
    wanted = [json.loads(text)["subscription"] for text in plan.subscribe]
    assert wanted == [{"type": kind, "coin": name} for name in ("BTC", "ETH") for kind in ("l2Book", "bbo", "trades")]
    assert plan.ping == b'{"method":"ping"}'
    assert plan.ping_every_s <= 50


class FakeRest:
    async def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
        raise AssertionError("Hyperliquid is asked by POST")

    async def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        assert (url, headers) == (URLS["hyperliquid.rest"], {"Content-Type": "application/json"})
        assert json.loads(body) == {"type": "l2Book", "coin": "BTC"}
        return json.dumps(json.loads(book(BIDS, ASKS))["data"]).encode()


def test_a_book_by_rest_is_a_book_like_any_other(line: RecordingLine) -> None:
    instrument, venue = coin(), Hyperliquid(dict(URLS))
    decoder = HyperliquidDecoder(line, [instrument])

    decoder.snapshot(instrument, asyncio.run(venue.snapshot(FakeRest(), instrument)))
    decoder.snapshot(instrument, b"null")

    assert decimals(instrument, BID) == exact(BIDS)
    assert line.of("refuse") == [("REST book of an unknown form",)]

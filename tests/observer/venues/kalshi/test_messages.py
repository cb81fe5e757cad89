"""Trades, lifecycle, indices and strangers on a Kalshi connection; and everything every venue owes."""

from typing import Any

import pytest

from observer.kit.clock import NS_PER_MS
from observer.kit.decimals import SCALE
from observer.ports import Instrument
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.check import check_venue
from tests.samples import kalshi_session as kalshi
from tests.samples.recording_line import RecordingLine

AT_NS = kalshi.AT_MS * NS_PER_MS


@pytest.fixture
def line() -> RecordingLine:
    return RecordingLine(recv_ns=kalshi.RECV_NS)


def instruments() -> list[Instrument]:
    return [
        kalshi.up(),
        kalshi.up("KXFED-26DEC-T4.25", "KXFED-26DEC-T4.25#2026-11-20T19"),
        Instrument("kalshi", "BRTI", "", 0, "BTC", "kalshi-cf"),
        Instrument("kalshi", "ETHUSD_RTI", "", 0, "ETH", "kalshi-cf"),
    ]


def index(kind: str, **body: object) -> bytes:
    return kalshi.frame(type=kind, sid=8, seq=42, msg=body)


FAST = index(
    "cfbenchmarks_value_5hz", index_id="BRTI", value_usd="68000.12000000", source_ts_ms=kalshi.AT_MS - 20,
    received_at=kalshi.AT_MS, data='{"type":"value","id":"BRTI","time":1795201381103,"value":"68000.12"}',
)  # fmt: skip


def slow(index_id: str, value: str) -> bytes:
    data = f'{{"type":"value","id":"{index_id}","time":{kalshi.AT_MS},"value":"{value}"}}'
    average = {"value": "67990.5", "count": 60}
    return index("cfbenchmarks_value", index_id=index_id, received_at=kalshi.AT_MS, data=data, avg_60s_data=average)


def test_the_contract_of_every_venue_holds() -> None:
    quarter = [
        kalshi.subscribed(),
        kalshi.subscribed(2, "trade", 2),
        kalshi.subscribed(3, "market_lifecycle_v2", 3),
        kalshi.snapshot(1, [["0.5400", "120.00"], ["0.5500", "50.00"]], [["0.4300", "80.00"]]),
        kalshi.delta(2, "yes", "0.5500", "-5.50"),
        kalshi.delta(3, "no", "0.4400", "0.01"),
        kalshi.trade(),
        kalshi.lifecycle("determined", result="yes", settlement_value="1.0000"),
        kalshi.lifecycle("settled"),
    ]
    frames = {
        "quarter-hour": quarter,
        "long-0": [kalshi.subscribed(), kalshi.snapshot(1, [["0.9", "7"]], [], ticker="KXFED-26DEC-T4.25")],
        "index": [kalshi.frame(id=1, type="subscribed", sid=8), FAST, slow("ETHUSD_RTI", "3100.5")],
    }
    silent = [
        kalshi.subscribed(7, "ticker", 70),
        kalshi.lifecycle("created", "KXELSE-1"),
        kalshi.frame(type="event_lifecycle", sid=3, msg={"event_ticker": "KXELSE", "series_ticker": "KXELSE"}),
        kalshi.frame(id=3, sid=90, seq=4, type="ok", msg={}),
        kalshi.frame(id=3, sid=90, seq=5, type="unsubscribed"),
    ]

    check_venue(kalshi.venue(), instruments, frames, recv_ns=kalshi.RECV_NS, silent=silent, has_totals=False)


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"taker_outcome_side": "yes", "taker_side": None}, BUY),
        ({"taker_outcome_side": "no", "taker_side": None}, SELL),
        ({"taker_outcome_side": None, "taker_side": "yes"}, BUY),
        ({"taker_outcome_side": None, "taker_side": "no"}, SELL),
        # The newer field is the unambiguous one: yes is a bid, however the taker got there.
        ({"taker_outcome_side": "yes", "taker_side": "no"}, BUY),
    ],
)
def test_a_taker_for_yes_buys_up_and_one_for_no_sells_it_at_the_yes_price(
    line: RecordingLine, fields: dict[str, Any], side: int
) -> None:
    kalshi.decoder(line).message(kalshi.trade("abc", **fields))

    assert line.of("trade") == [(side, 560_000_000, 136 * SCALE, AT_NS, "abc")]


def test_a_block_trade_met_no_quote_and_is_kept_raw_only(line: RecordingLine) -> None:
    assert kalshi.decoder(line).message(kalshi.trade(is_block_trade=True)) is True

    assert line.calls == []


@pytest.mark.parametrize(
    "fields",
    [
        {"count_fp": "0.00"},
        {"count_fp": "-1.00"},
        {"yes_price_dollars": "1.0000"},
        {"yes_price_dollars": "NaN"},
        {"taker_side": None, "taker_outcome_side": None},
        {"taker_side": "maybe", "taker_outcome_side": None},
        {"trade_id": "x" * 201},
        {"ts_ms": 1e300},
        {"ts_ms": -5},
    ],
)
def test_a_trade_that_cannot_be_is_refused(line: RecordingLine, fields: dict[str, Any]) -> None:
    kalshi.decoder(line).message(kalshi.trade(**fields))

    assert line.counts() == {"refuse": 1}


def test_a_time_from_the_future_is_flagged_and_the_level_still_counts(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line)
    decoder.message(kalshi.snapshot(1, [["0.5500", "54.00"]], []))

    decoder.message(kalshi.delta(2, "yes", "0.5500", "1.00", ts_ms=kalshi.AT_MS + 3_600_000))
    decoder.message(kalshi.delta(3, "yes", "0.5500", "1.00", ts_ms=1_600_000))

    assert line.of("refuse") == [("time ahead of ours",), ("time before 2020",)]
    assert [(args[2], args[3]) for args in line.of("level")] == [(55 * SCALE, UNKNOWN_NS), (56 * SCALE, UNKNOWN_NS)]


@pytest.mark.parametrize(
    ("body", "payoff"),
    [
        ({"result": "yes", "settlement_value": "1.0000"}, 1.0),
        ({"result": "no", "settlement_value": "0.0000"}, 0.0),
        ({"result": "no"}, 0.0),
        ({"result": "scalar", "settlement_value": "0.5000"}, 0.5),
    ],
)
def test_an_outcome_is_told_when_it_is_settled_not_when_it_is_determined(
    line: RecordingLine, body: dict[str, Any], payoff: float
) -> None:
    decoder = kalshi.decoder(line)

    decoder.message(kalshi.lifecycle("determined", determination_ts=1_795_202_160, **body))
    before = line.of("outcome")
    decoder.message(kalshi.lifecycle("settled", settled_ts=1_795_202_460))

    assert before == []
    assert [args[:2] for args in line.of("outcome")] == [(kalshi.TICKER, payoff)]
    assert line.of("changed") == [(kalshi.TICKER, "status", word) for word in ("determined", "settled")]


@pytest.mark.parametrize(
    "body",
    [
        {"result": "scalar", "settlement_value": "0.3700"},
        {"result": "scalar"},
        {"result": ""},
        {"result": "void", "settlement_value": "0.5000"},
        {"result": "yes", "settlement_value": "0.0000"},
        {"result": "yes", "settlement_value": "NaN"},
    ],
)
def test_a_payoff_that_is_none_of_ours_becomes_no_outcome(line: RecordingLine, body: dict[str, Any]) -> None:
    decoder = kalshi.decoder(line)

    decoder.message(kalshi.lifecycle("determined", **body))
    decoder.message(kalshi.lifecycle("settled"))

    assert line.of("outcome") == []
    assert line.counts()["refuse"] == 1


def test_a_part_of_a_longer_market_has_no_outcome_of_its_own(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line, kalshi.up("KXFED-26DEC-T4.25", "KXFED-26DEC-T4.25#2026-11-20T19"))

    decoder.message(kalshi.lifecycle("determined", "KXFED-26DEC-T4.25", result="yes"))
    decoder.message(kalshi.lifecycle("settled", "KXFED-26DEC-T4.25"))

    assert line.of("outcome") == []


def test_pauses_and_moved_closes_are_noted(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line)

    decoder.message(kalshi.lifecycle("deactivated"))
    decoder.message(kalshi.lifecycle("activated"))
    decoder.message(kalshi.lifecycle("close_date_updated", close_ts=1_795_202_000))

    assert [args[1:] for args in line.of("changed")] == [
        ("status", "deactivated"), ("status", "activated"), ("close_ts", "1795202000"),
    ]  # fmt: skip


def test_an_index_is_taken_from_the_fast_feed_and_from_the_slow_one_where_there_is_no_fast_one(
    line: RecordingLine,
) -> None:
    made = kalshi.venue()
    [plan] = made.plan(instruments()[2:])
    decoder = made.decoder(plan, line)

    for message in (slow("BRTI", "68000.10"), FAST, slow("BRTI", "68000.11"), slow("ETHUSD_RTI", "3100.5")):
        assert decoder.message(message) is True
    decoder.message(index("cfbenchmarks_value", index_id="ADAUSD_RTI", data="{}"))

    assert line.of("price", "BRTI") == [
        (68_000_100_000_000, AT_NS),
        (68_000_120_000_000, AT_NS - 20 * NS_PER_MS),
    ]
    assert line.of("price", "ETHUSD_RTI") == [(3_100_500_000_000, AT_NS)]
    assert line.counts() == {"price": 3}


@pytest.mark.parametrize("data", ["", "{", '{"value":"NaN"}', '{"value":1.5}', '{"value":"0"}', '{"value":"-1"}'])
def test_an_index_value_that_cannot_be_read_is_refused(line: RecordingLine, data: str) -> None:
    made = kalshi.venue()
    [plan] = made.plan(instruments()[2:])

    made.decoder(plan, line).message(index("cfbenchmarks_value", index_id="BRTI", data=data))

    assert line.counts() == {"refuse": 1}

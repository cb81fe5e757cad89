"""Kalshi's books add up exactly, whatever order of snapshots and signed changes they are made of."""

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.kit.decimals import SCALE
from observer.records import UNKNOWN_NS
from observer.venues.kalshi.books import BadBook, index_price, whole_book
from tests.samples import kalshi_session as kalshi
from tests.samples.recording_line import RecordingLine

Side = dict[Decimal, Decimal]


def as_decimals(levels: list[tuple[int, int]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price) / SCALE, Decimal(size) / SCALE) for price, size in levels]


def expected(yes: Side, no: Side) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    """The book of yes by the rule on the venue's page, in decimal arithmetic."""
    return sorted(yes.items(), reverse=True), sorted((1 - price, size) for price, size in no.items())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_session_of_fractional_changes_adds_up_to_the_decimal_book(seed: int) -> None:
    rng = random.Random(seed)
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)
    # Yes stays below 0.5 and no too, so that nothing crosses.
    sides: dict[str, Side] = {
        side: {Decimal(rng.randrange(1, 500)) / 1000: Decimal(rng.randrange(1, 9999)) / 100 for _ in range(8)}
        for side in ("yes", "no")
    }
    texts = {side: [[f"{p:.4f}", f"{s:.2f}"] for p, s in book.items()] for side, book in sides.items()}
    decoder.message(kalshi.snapshot(1, texts["yes"], texts["no"]))
    for seq in range(2, 120):
        side = rng.choice(["yes", "no"])
        book = sides[side]
        price = rng.choice([*book, Decimal(rng.randrange(1, 500)) / 1000])
        before = book.get(price, Decimal(0))
        change = -before if rng.random() < 0.3 and before else Decimal(rng.randrange(-int(before * 100), 9999)) / 100
        decoder.message(kalshi.delta(seq, side, f"{price:.4f}", f"{change:.2f}"))
        book[price] = before + change
        if not book[price]:
            del book[price]

    bids, asks = expected(sides["yes"], sides["no"])
    assert as_decimals(instrument.book.top(BID, 999)) == bids
    assert as_decimals(instrument.book.top(ASK, 999)) == asks
    assert line.counts().keys() == {"book", "level"}


def test_a_bid_for_no_is_an_offer_of_yes_at_one_minus_its_price() -> None:
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)

    decoder.message(kalshi.snapshot(1, [["0.5400", "120.00"], ["0.5500", "50.00"]], [["0.4300", "80.00"]]))
    decoder.message(kalshi.delta(2, "no", "0.4400", "0.01"))

    assert as_decimals(instrument.book.top(BID, 9)) == [
        (Decimal("0.55"), Decimal(50)),
        (Decimal("0.54"), Decimal(120)),
    ]
    assert as_decimals(instrument.book.top(ASK, 9)) == [
        (Decimal("0.56"), Decimal("0.01")),
        (Decimal("0.57"), Decimal(80)),
    ]
    [level] = line.of("level")
    assert level == (ASK, 560_000_000, 10_000_000, kalshi.AT_MS * 1_000_000, 2)


def test_a_change_of_exactly_what_is_there_removes_the_level() -> None:
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)

    decoder.message(kalshi.snapshot(1, [["0.55", "54.10"]], []))
    decoder.message(kalshi.delta(2, "yes", "0.5500", "-54.10"))

    assert instrument.book.is_valid
    assert instrument.book.top(BID, 9) == []


def test_a_level_below_zero_loses_the_book_and_asks_for_a_new_one() -> None:
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)

    decoder.message(kalshi.snapshot(1, [["0.55", "54.00"]], []))
    decoder.message(kalshi.delta(2, "yes", "0.5500", "-54.01"))
    decoder.message(kalshi.delta(3, "yes", "0.5500", "1.00"))

    assert not instrument.book.is_valid
    assert line.of("lost") == [("level below zero",)]
    [command] = kalshi.commands(line.of("send"))
    assert command["params"] == {"sids": [1], "market_tickers": [kalshi.TICKER], "action": "get_snapshot"}
    decoder.message(kalshi.snapshot(4, [["0.55", "1.00"]], []))
    assert instrument.book.top(BID, 9) == [(550_000_000, SCALE)]


@pytest.mark.parametrize(
    ("price", "change"),
    [("0.5500", "NaN"), ("nan", "1.00"), ("-0.55", "1.00"), ("0.55", "--1"), ("0.55", "1e9"), ("1.0000", "1.00"),
     ("0.0000", "1.00"), ("1.2", "1.00"), ("0.55", ""), ("0.55", "-"), ("0.55", "9223372036.00")],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused_and_loses_the_book(price: str, change: str) -> None:
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)
    decoder.message(kalshi.snapshot(1, [["0.55", "54.00"]], []))

    decoder.message(kalshi.delta(2, "yes", price, change))

    assert line.counts()["refuse"] == line.counts()["lost"] == 1
    assert line.counts()["level"] == 0
    assert not instrument.book.is_valid


@pytest.mark.parametrize(
    ("yes", "no", "why"),
    [
        ([["0.55", "1"]], [["0.45", "1"]], "crossed book"),
        ([["0.55", "1"], ["0.5500", "2"]], [], "price there twice"),
        ([["0", "1"]], [], "price outside 0 and 1"),
        ([], [["1.0000", "1"]], "price outside 0 and 1"),
    ],
)
def test_a_snapshot_that_cannot_be_is_no_book(yes: list[tuple[str, str]], no: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(BadBook, match=why):
        whole_book(yes, no)


def test_a_crossed_snapshot_is_refused_and_asked_for_again() -> None:
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)

    decoder.message(kalshi.snapshot(1, [["0.60", "1.00"]], [["0.45", "1.00"]]))

    assert line.of("refuse") == [("crossed book",)]
    assert not instrument.book.is_valid


def test_empty_sides_may_be_absent_and_empty_levels_are_left_out() -> None:
    line, instrument = RecordingLine(recv_ns=kalshi.RECV_NS), kalshi.up()
    decoder = kalshi.decoder(line, instrument)

    decoder.message(kalshi.frame(type="orderbook_snapshot", sid=1, seq=1, msg={"market_ticker": kalshi.TICKER}))
    decoder.message(kalshi.snapshot(2, [["0.10", "0.00"]], [["0.20", "3.00"]]))

    assert line.of("book") == [((), (), UNKNOWN_NS, 1), ((), ((800_000_000, 3 * SCALE),), UNKNOWN_NS, 2)]


def test_an_index_printed_finer_than_a_billionth_is_cut_there() -> None:
    assert index_price("0.10236212349999") == 102_362_123
    assert index_price("68000.12000000") == 68_000_120_000_000
    for text in ("0.0000000001", "0", "-1", "NaN", "1.x", "1e5"):
        with pytest.raises(ValueError, match=r".+"):
            index_price(text)

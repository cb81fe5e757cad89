"""What the decoder of the market socket makes of each message, and what it refuses to make of others."""

import json

import pytest

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import scaled
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.polymarket.market_stream import MarketStream
from tests.samples.polymarket_frames import (
    AT_MS,
    DOWN_ID,
    MARKET_ID,
    OTHER_ID,
    RECV_NS,
    UP_ID,
    array,
    book,
    changes,
    frame,
    instruments,
    old_changes,
    rest_book,
    trade,
)
from tests.samples.recording_line import RecordingLine

AT_NS = AT_MS * NS_PER_MS
BIDS = [("0.51", "150"), ("0.52", "120.5")]
ASKS = [("0.53", "80"), ("0.54", "10")]


class Heard:
    """A decoder with its line and its two tokens."""

    def __init__(self, *, with_books: bool = True, market_id: str = MARKET_ID) -> None:
        self.up, self.down = instruments(market_id)
        self.line = RecordingLine(recv_ns=RECV_NS)
        self.decoder = MarketStream([self.up, self.down], self.line)
        if with_books:
            down = ([("0.46", "10"), ("0.47", "80")], [("0.48", "120.5"), ("0.49", "150")])
            self.read(array(book(UP_ID, BIDS, ASKS), book(DOWN_ID, *down)))
            self.line.clear()

    def read(self, payload: bytes) -> bool:
        return self.decoder.message(payload)


def test_a_book_is_taken_best_first_and_exactly() -> None:
    heard = Heard(with_books=False)

    assert heard.read(book(UP_ID, BIDS, ASKS))
    assert heard.line.of("book", UP_ID) == [
        (
            ((scaled("0.52"), scaled("120.5")), (scaled("0.51"), scaled("150"))),
            ((scaled("0.53"), scaled("80")), (scaled("0.54"), scaled("10"))),
            AT_NS,
            -1,
        )
    ]


def test_a_change_sets_the_new_total_and_states_the_best_prices() -> None:
    heard = Heard()

    is_data = heard.read(
        changes(
            (UP_ID, "BUY", "0.52", "95.5", "0.52", "0.53"),
            (DOWN_ID, "SELL", "0.48", "95.5", "0.47", "0.48"),
        )
    )

    assert is_data
    assert heard.line.of("level") == [
        (BID, scaled("0.52"), scaled("95.5"), AT_NS, -1),
        (ASK, scaled("0.48"), scaled("95.5"), AT_NS, -1),
    ]
    assert heard.line.of("top") == [(scaled("0.52"), scaled("0.53")), (scaled("0.47"), scaled("0.48"))]
    assert not heard.line.disagreed


def test_a_change_of_size_zero_removes_the_level() -> None:
    heard = Heard()

    heard.read(changes((UP_ID, "SELL", "0.53", "0", "0.52", "0.54")))

    assert heard.up.book.best(ASK) == scaled("0.54")
    assert not heard.line.disagreed


@pytest.mark.parametrize("empty", ["0", "", "1"])
def test_an_empty_side_is_understood_however_it_is_written(empty: str) -> None:
    heard = Heard(with_books=False)
    heard.read(book(UP_ID, BIDS, [("0.53", "80")]))

    heard.read(changes((UP_ID, "SELL", "0.53", "0", "0.52", empty)))

    assert heard.line.of("top") == [(scaled("0.52"), 0)]
    assert not heard.line.disagreed


def test_a_lost_diff_is_noticed_by_the_best_prices_of_the_next() -> None:
    heard = Heard()

    heard.read(changes((UP_ID, "BUY", "0.4", "5", "0.51", "0.53")))  # the removal of 0.52 never came

    assert heard.line.disagreed == [UP_ID]


def test_tokens_that_were_not_asked_for_are_passed_over() -> None:
    heard = Heard()

    is_data = heard.read(changes((OTHER_ID, "BUY", "0.52", "95.5", "0.52", "0.53")))

    assert not is_data
    assert not heard.line.calls


def test_the_schema_of_before_september_2025_is_read() -> None:
    heard = Heard()

    heard.read(old_changes(UP_ID, ("BUY", "0.52", "7"), ("SELL", "0.55", "3")))

    assert heard.up.book.size_at(BID, scaled("0.52")) == scaled("7")
    assert heard.up.book.size_at(ASK, scaled("0.55")) == scaled("3")
    assert not heard.line.of("top")


def test_a_book_crossed_by_the_old_schema_is_lost() -> None:
    heard = Heard()

    heard.read(old_changes(UP_ID, ("BUY", "0.53", "7")))

    assert not heard.up.book.is_valid
    assert heard.line.counts()["refuse"] == 1


def test_a_trade_has_the_takers_side_and_an_id_made_of_all_it_says() -> None:
    heard = Heard()

    heard.read(trade(UP_ID, "BUY", "0.53", "25"))
    heard.read(trade(UP_ID, "BUY", "0.53", "25"))  # the same again: an overlapping connection
    heard.read(trade(UP_ID, "SELL", "0.52", "25"))  # another fill of one transaction

    (first, second) = heard.line.of("trade")
    assert first[:4] == (BUY, scaled("0.53"), scaled("25"), AT_NS)
    assert second[:4] == (SELL, scaled("0.52"), scaled("25"), AT_NS)
    assert len(heard.line.of("duplicate")) == 1


def test_a_trade_without_a_size_is_no_trade() -> None:
    heard = Heard()
    payload = frame(event_type="last_trade_price", asset_id=UP_ID, price="0.53", side="BUY", timestamp=str(AT_MS))

    heard.read(payload)

    assert heard.line.counts() == {"unknown": 1}


def test_a_new_price_step_throws_the_book_away_until_the_next() -> None:
    heard = Heard()
    switch = {"asset_id": UP_ID, "old_tick_size": "0.01", "new_tick_size": "0.001", "timestamp": str(AT_MS)}

    heard.read(frame(event_type="tick_size_change", **switch))
    was_valid = heard.up.book.is_valid
    heard.read(book(UP_ID, [("0.961", "5")], [("0.962", "5")], AT_MS + 5))

    assert not was_valid
    assert heard.up.book.is_valid
    assert heard.line.of("changed") == [(MARKET_ID, "price_tick", "0.001")]


def test_best_prices_alone_are_held_against_the_book_unless_they_are_older() -> None:
    heard = Heard()
    said = {"asset_id": UP_ID, "best_bid": "0.51", "best_ask": "0.53", "spread": "0.02"}

    heard.read(frame(event_type="best_bid_ask", **said, timestamp=str(AT_MS - 1)))
    before = list(heard.line.disagreed)
    heard.read(frame(event_type="best_bid_ask", **said, timestamp=str(AT_MS + 1)))

    assert before == []
    assert heard.line.disagreed == [UP_ID]


@pytest.mark.parametrize(("winner", "payoff"), [(UP_ID, 1.0), (DOWN_ID, 0.0)])
def test_a_resolution_is_an_official_outcome(winner: str, payoff: float) -> None:
    heard = Heard()

    heard.read(
        frame(event_type="market_resolved", assets_ids=[DOWN_ID, UP_ID], winning_asset_id=winner, timestamp=str(AT_MS))
    )

    assert heard.line.of("outcome") == [(MARKET_ID, payoff, "polymarket market_resolved")]


def test_a_resolution_gives_no_outcome_to_an_hour_cut_from_a_long_market() -> None:
    heard = Heard(market_id="fed-cuts#2026-04-28T09")

    heard.read(
        frame(event_type="market_resolved", assets_ids=[UP_ID, DOWN_ID], winning_asset_id=UP_ID, timestamp=str(AT_MS))
    )

    assert not heard.line.of("outcome")


def test_a_resolution_without_a_winner_of_its_own_is_refused() -> None:
    heard = Heard()

    heard.read(
        frame(event_type="market_resolved", assets_ids=[UP_ID, DOWN_ID], winning_asset_id=None, timestamp=str(AT_MS))
    )

    assert not heard.line.of("outcome")
    assert heard.line.counts()["refuse"] == 1


@pytest.mark.parametrize("payload", [b"PONG", b"", b"[]", frame(event_type="new_market", slug="x", assets_ids=["7"])])
def test_what_proves_nothing_is_no_data(payload: bytes) -> None:
    heard = Heard()

    assert not heard.read(payload)
    assert not heard.line.calls


def test_a_frame_of_an_unknown_type_is_counted_by_its_name_whatever_its_fields_are() -> None:
    heard = Heard()

    heard.read(frame(event_type="auction", price={"deep": [1]}, side="NEITHER"))

    assert heard.line.of("unknown") == [("auction",)]
    assert heard.up.book.is_valid


@pytest.mark.parametrize("price", ["0", "1", "1.2", "-0.5", "NaN", "5e-1", "0.1234567891", "", "０.５"])
def test_a_price_that_cannot_be_one_loses_the_book_it_was_meant_for_and_no_other(price: str) -> None:
    heard = Heard()

    heard.read(
        changes((UP_ID, "BUY", price, "1", "0.52", "0.53"), (DOWN_ID, "SELL", "0.48", "95.5", "0.47", "0.48")),
    )

    assert not heard.up.book.is_valid
    assert heard.down.book.size_at(ASK, scaled("0.48")) == scaled("95.5")
    assert heard.line.counts()["refuse"] == 1


@pytest.mark.parametrize("size", ["-1", "NaN", "1e3", "inf", "99999999999999999999"])
def test_a_size_that_cannot_be_one_loses_the_book(size: str) -> None:
    heard = Heard()

    heard.read(changes((UP_ID, "BUY", "0.5", size, "0.52", "0.53")))

    assert not heard.up.book.is_valid


@pytest.mark.parametrize("side", ["buy", "", None, 1])
def test_a_side_that_is_neither_loses_the_books_that_the_frame_names(side: object) -> None:
    heard = Heard()
    entry = {"asset_id": UP_ID, "price": "0.5", "size": "1", "side": side, "best_bid": "0.52", "best_ask": "0.53"}

    is_data = heard.read(frame(event_type="price_change", price_changes=[entry], timestamp=str(AT_MS)))

    assert not is_data
    assert not heard.up.book.is_valid
    assert heard.down.book.is_valid


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([("0.53", "1")], [("0.53", "1")]),
        ([("0.6", "1")], [("0.5", "1")]),
        ([("1.5", "1")], []),
        ([("0", "1")], []),
        ([("0.5", "1"), ("0.50", "2")], []),
        ([("0.5", "-1")], []),
    ],
)
def test_a_book_that_cannot_be_one_is_refused(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
    heard = Heard()

    heard.read(book(UP_ID, bids, asks))

    assert not heard.up.book.is_valid
    assert heard.line.counts()["refuse"] == 1


def test_a_book_without_a_side_is_not_an_empty_book() -> None:
    heard = Heard()

    heard.read(frame(event_type="book", asset_id=UP_ID, bids=[], timestamp=str(AT_MS)))

    assert not heard.up.book.is_valid


def test_best_prices_that_cross_each_other_lose_the_book() -> None:
    heard = Heard()

    heard.read(changes((UP_ID, "BUY", "0.53", "1", "0.53", "0.53")))

    assert not heard.up.book.is_valid
    assert heard.line.counts()["refuse"] == 1


def test_a_time_far_ahead_is_refused_and_the_level_beside_it_kept() -> None:
    heard = Heard()

    heard.read(changes((UP_ID, "BUY", "0.52", "1", "0.52", "0.53"), at_ms=AT_MS + 10_000))

    assert heard.line.of("level") == [(BID, scaled("0.52"), scaled("1"), UNKNOWN_NS, -1)]
    assert heard.line.counts()["refuse"] == 1


def test_an_array_with_one_bad_event_still_gives_the_good_ones() -> None:
    heard = Heard(with_books=False)
    bad = json.loads(book(DOWN_ID, [], []))
    bad["bids"] = 5

    is_data = heard.read(array(book(UP_ID, BIDS, ASKS), json.dumps(bad).encode()))

    assert is_data
    assert heard.up.book.is_valid
    assert not heard.down.book.is_valid
    assert heard.line.counts()["refuse"] == 1


def test_an_error_of_the_venue_is_heard() -> None:
    heard = Heard()

    assert not heard.read(b'{"error":"duplicate assets"}')
    assert not heard.read(b"INVALID OPERATION")
    assert heard.line.counts()["refuse"] == 2


def test_a_rest_book_that_is_older_than_what_was_applied_is_not_taken() -> None:
    heard = Heard()
    heard.read(changes((UP_ID, "BUY", "0.52", "1", "0.52", "0.53"), at_ms=AT_MS + 20))
    heard.line.lost(heard.up, "test")
    heard.line.clear()

    heard.decoder.snapshot(heard.up, rest_book(UP_ID, BIDS, ASKS, AT_MS + 19))

    assert not heard.line.of("book")
    assert heard.line.of("fetch", UP_ID) == [()]


def test_a_rest_book_that_is_always_too_old_is_not_asked_for_for_ever() -> None:
    heard = Heard()
    heard.line.lost(heard.up, "test")

    for _ in range(50):
        heard.decoder.snapshot(heard.up, rest_book(UP_ID, BIDS, ASKS, AT_MS - 1))

    assert len(heard.line.of("fetch")) == 5


def test_changes_that_overtook_a_rest_book_are_applied_to_it_and_those_in_it_are_not() -> None:
    heard = Heard()
    heard.line.lost(heard.up, "test")
    heard.read(changes((UP_ID, "BUY", "0.49", "4", "0.5", "0.53"), at_ms=AT_MS + 10))  # gone again when REST looked
    heard.read(changes((UP_ID, "BUY", "0.5", "9", "0.5", "0.53"), at_ms=AT_MS + 30))  # after REST looked

    heard.decoder.snapshot(heard.up, rest_book(UP_ID, [("0.5", "6")], ASKS, AT_MS + 20))

    assert heard.up.book.top(BID, 5) == [(scaled("0.5"), scaled("9"))]


def test_changes_that_a_rest_book_holds_already_do_not_take_it_back() -> None:
    heard = Heard()
    heard.line.lost(heard.up, "test")
    heard.decoder.snapshot(heard.up, rest_book(UP_ID, [("0.5", "6")], ASKS, AT_MS + 20))

    heard.read(changes((UP_ID, "BUY", "0.5", "4", "0.5", "0.53"), at_ms=AT_MS + 10))

    assert heard.up.book.size_at(BID, scaled("0.5")) == scaled("6")


def test_a_rest_book_of_another_token_is_refused() -> None:
    heard = Heard()

    heard.decoder.snapshot(heard.up, rest_book(DOWN_ID, BIDS, ASKS, AT_MS + 20))

    assert heard.line.counts() == {"refuse": 1}


def test_a_clock_that_is_wrong_by_seconds_does_not_keep_rest_books_out() -> None:
    heard = Heard(with_books=False)
    heard.line.recv_ns = RECV_NS - 30 * NS_PER_S  # our clock is half a minute slow
    heard.line.lost(heard.up, "test")
    heard.read(changes((UP_ID, "BUY", "0.5", "9", "0.5", "0.53"), at_ms=AT_MS + 30))
    heard.line.recv_ns += 50 * NS_PER_MS

    heard.decoder.snapshot(heard.up, rest_book(UP_ID, [("0.5", "6")], ASKS, AT_MS + 20))

    assert heard.up.book.size_at(BID, scaled("0.5")) == scaled("9")

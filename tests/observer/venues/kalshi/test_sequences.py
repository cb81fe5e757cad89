"""No message of Kalshi's gets lost unnoticed: holes, repeats, ended subscriptions and answers that do not come."""

import pytest

from observer.book import BID
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from tests.samples import kalshi_session as kalshi
from tests.samples.recording_line import RecordingLine

BOOK = [["0.5500", "54.00"]]


@pytest.fixture
def line() -> RecordingLine:
    return RecordingLine(recv_ns=kalshi.RECV_NS)


def test_a_hole_loses_every_book_of_its_subscription_and_asks_for_all_at_once(line: RecordingLine) -> None:
    up, other = kalshi.up(), kalshi.up(kalshi.OTHER)
    decoder = kalshi.decoder(line, up, other)
    decoder.message(kalshi.snapshot(1, BOOK, []))
    decoder.message(kalshi.snapshot(2, BOOK, [], ticker=kalshi.OTHER))

    decoder.message(kalshi.delta(4, "yes", "0.5500", "1.00"))

    assert not up.book.is_valid
    assert not other.book.is_valid
    assert line.of("lost") == [("sequence hole",)] * 2
    [command] = kalshi.commands(line.of("send"))
    assert command["cmd"] == "update_subscription"
    assert command["params"] == {
        "sids": [1], "market_tickers": [kalshi.TICKER, kalshi.OTHER], "action": "get_snapshot",
    }  # fmt: skip


def test_after_a_hole_nothing_counts_until_the_snapshot_and_everything_after_it_does(line: RecordingLine) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up)
    decoder.message(kalshi.snapshot(1, BOOK, []))
    decoder.message(kalshi.delta(3, "yes", "0.5500", "1.00"))
    decoder.message(kalshi.delta(4, "yes", "0.5500", "1.00"))
    assert line.of("level") == []

    decoder.message(kalshi.frame(id=4, sid=1, seq=5, type="ok", msg={"market_tickers": [kalshi.TICKER]}))
    decoder.message(kalshi.snapshot(6, [["0.5500", "57.00"]], []))
    decoder.message(kalshi.delta(7, "yes", "0.5500", "0.50"))

    assert up.book.top(BID, 9) == [(550_000_000, 57 * SCALE + SCALE // 2)]
    assert line.counts()["lost"] == line.counts()["send"] == 1


def test_a_snapshot_that_shows_the_hole_is_taken_for_its_own_market_only(line: RecordingLine) -> None:
    up, other = kalshi.up(), kalshi.up(kalshi.OTHER)
    decoder = kalshi.decoder(line, up, other)
    decoder.message(kalshi.snapshot(1, BOOK, []))
    decoder.message(kalshi.snapshot(2, BOOK, [], ticker=kalshi.OTHER))

    decoder.message(kalshi.snapshot(5, BOOK, []))

    assert up.book.is_valid
    assert not other.book.is_valid


def test_a_repeated_message_changes_nothing(line: RecordingLine) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up)
    decoder.message(kalshi.snapshot(1, BOOK, []))

    for seq in (2, 2, 1, 3):
        decoder.message(kalshi.delta(seq, "yes", "0.5500", "1.00"))

    assert up.book.top(BID, 9) == [(550_000_000, 56 * SCALE)]
    assert line.of("refuse") == [("sequence number seen before",)] * 2


def test_subscriptions_count_apart_from_each_other(line: RecordingLine) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up)
    decoder.message(kalshi.subscribed(2, "trade", 2))
    decoder.message(kalshi.subscribed(3, "market_lifecycle_v2", 3))
    decoder.message(kalshi.snapshot(1, BOOK, []))

    decoder.message(kalshi.frame(id=9, sid=2, seq=77, type="ok", msg={}))
    decoder.message(kalshi.frame(id=9, sid=2, seq=99, type="ok", msg={}))
    decoder.message(kalshi.frame(id=9, sid=99, seq=1, type="ok", msg={}))
    decoder.message(kalshi.delta(2, "yes", "0.5500", "1.00"))

    assert up.book.is_valid
    assert line.counts()["send"] == 0


def test_a_number_at_top_level_begins_a_subscription_too(line: RecordingLine) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up, is_running=False)
    decoder.message(kalshi.frame(id=1, type="subscribed", sid=7))
    decoder.snapshot(up, kalshi.frame(orderbook_fp={}))
    assert line.of("book") == []  # a book by REST is for decoders without a subscription
    line.clear()
    decoder.message(kalshi.snapshot(1, BOOK, [], sid=7))

    decoder.message(kalshi.delta(3, "yes", "0.5500", "1.00", sid=7))

    assert line.of("lost") == [("sequence hole",)]
    assert kalshi.commands(line.of("send"))[0]["params"]["sids"] == [7]


def test_a_subscription_whose_acknowledgement_was_lost_is_counted_all_the_same(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line, kalshi.up(), is_running=False)
    decoder.message(kalshi.snapshot(1, BOOK, []))

    decoder.message(kalshi.delta(3, "yes", "0.5500", "1.00"))

    assert line.of("lost") == [("sequence hole",)]


def test_a_snapshot_that_does_not_come_is_asked_for_again_ever_more_rarely(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line, kalshi.up())
    asked_s: list[int] = []
    for second in range(80):
        line.recv_ns = kalshi.RECV_NS + second * NS_PER_S
        decoder.message(kalshi.trade(f"t-{second}"))
        asked_s += [second] * len(line.of("send"))
        line.clear()

    assert asked_s == [5, 15, 35, 75]


def test_a_book_that_the_recorder_lost_is_asked_for_on_the_socket_not_taken_from_rest(line: RecordingLine) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up)
    decoder.message(kalshi.snapshot(1, BOOK, []))
    rest = kalshi.frame(orderbook_fp={"yes_dollars": [["0.1000", "5.00"]], "no_dollars": None})
    decoder.snapshot(up, rest)
    assert line.counts()["send"] == 0

    up.book.invalidate()
    decoder.snapshot(up, rest)
    decoder.message(kalshi.delta(2, "yes", "0.5500", "1.00"))

    assert len(line.of("book")) == 1
    assert line.counts()["send"] == 1
    assert line.of("level") == []


def test_a_decoder_without_a_subscription_reads_a_rest_book(line: RecordingLine) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up, is_running=False)

    decoder.snapshot(up, kalshi.frame(orderbook_fp={"yes_dollars": [["0.1000", "5.00"]], "no_dollars": None}))

    assert up.book.top(BID, 9) == [(100_000_000, 5 * SCALE)]


def error(code: int, **more: object) -> bytes:
    return kalshi.frame(type="error", msg={"code": code, "msg": "words"}, **more)


@pytest.mark.parametrize("code", [10, 25])
def test_an_ended_subscription_is_begun_anew(line: RecordingLine, code: int) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up)
    decoder.message(kalshi.snapshot(1, BOOK, []))

    decoder.message(error(code, sid=1))

    assert not up.book.is_valid
    [command] = kalshi.commands(line.of("send"))
    assert command["cmd"] == "subscribe"
    assert command["params"]["channels"] == ["orderbook_delta"]
    assert command["params"]["use_yes_price"] is False
    decoder.message(kalshi.delta(2, "yes", "0.5500", "9.00"))  # was on its way
    decoder.message(kalshi.subscribed(command["id"], sid=9))
    decoder.message(kalshi.snapshot(1, BOOK, [], sid=9))
    decoder.message(kalshi.delta(2, "yes", "0.5500", "1.00", sid=9))
    assert up.book.top(BID, 9) == [(550_000_000, 55 * SCALE)]


def test_a_subscription_that_ends_twice_in_a_row_costs_the_connection(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line, kalshi.up())
    decoder.message(error(25, sid=1))
    [command] = kalshi.commands(line.of("send"))
    decoder.message(kalshi.subscribed(command["id"], sid=2))

    decoder.message(error(25, sid=2))

    assert line.of("lost_all") == [("error 25 of the venue",)]


@pytest.mark.parametrize("code", [9, 10, 25])
def test_an_error_that_names_no_subscription_costs_the_connection(line: RecordingLine, code: int) -> None:
    kalshi.decoder(line, kalshi.up()).message(error(code))

    assert line.of("lost_all") == [(f"error {code} of the venue",)]


def test_one_unknown_market_does_not_cost_the_others_their_subscription(line: RecordingLine) -> None:
    gone, up, other, lost = (
        kalshi.up(name) for name in ("KXBTC15M-GONE", kalshi.TICKER, kalshi.OTHER, "KXZEC15M-GONE")
    )
    decoder = kalshi.decoder(line, gone, up, other, lost, is_running=False)

    def sent() -> list[tuple[int, str, list[str]]]:
        told = [(c["id"], c["cmd"], c["params"]["market_tickers"]) for c in kalshi.commands(line.of("send"))]
        line.clear()
        return told

    decoder.message(error(16, id=1))
    [(first, _, tickers)] = sent()
    assert tickers == ["KXBTC15M-26NOV201415-15"]
    decoder.message(kalshi.subscribed(first, sid=5))
    added = sent()
    assert [tickers for _, _, tickers in added] == [["KXBTC15M-GONE"], [kalshi.OTHER], ["KXZEC15M-GONE"]]
    for number, command, [ticker] in added:
        assert command == "update_subscription"
        if ticker.endswith("GONE"):
            decoder.message(error(16, id=number))
    sent()
    decoder.message(kalshi.snapshot(1, BOOK, [], sid=5))
    decoder.message(kalshi.snapshot(2, BOOK, [], ticker=kalshi.OTHER, sid=5))
    decoder.message(kalshi.delta(4, "yes", "0.55", "1", ticker=kalshi.OTHER, sid=5))

    assert line.counts()["lost"] == 2
    [(_, _, tickers)] = sent()
    assert tickers == [kalshi.TICKER, kalshi.OTHER]


def test_markets_that_are_all_unknown_end_in_silence(line: RecordingLine) -> None:
    decoder = kalshi.decoder(line, kalshi.up(), kalshi.up(kalshi.OTHER), is_running=False)
    decoder.message(error(16, id=1))

    for _ in range(5):
        if line.of("send"):
            number = kalshi.commands(line.of("send"))[-1]["id"]
            line.clear()
            decoder.message(error(16, id=number))

    assert line.of("send") == []


@pytest.mark.parametrize("code", [6, 13, 17, 26, 27, 28, 99])
def test_other_errors_are_flagged_and_change_nothing(line: RecordingLine, code: int) -> None:
    up = kalshi.up()
    decoder = kalshi.decoder(line, up)
    decoder.message(kalshi.snapshot(1, BOOK, []))

    assert decoder.message(error(code, id=2)) is False

    assert up.book.is_valid
    assert line.of("refuse") == [(f"error {code} of the venue",)]
    assert line.counts()["send"] == line.counts()["lost_all"] == 0

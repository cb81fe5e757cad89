"""Coinbase's messages: read as documented, numbered without a hole, and nothing believed that cannot be."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_S, parse_iso
from observer.ports import Instrument
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.check import check_venue
from observer.venues.coinbase import Coinbase
from observer.venues.coinbase.decoder import (
    BAD_TRADE,
    CROSSED,
    HOLE,
    NO_SNAPSHOT,
    NOT_OURS,
    UNREADABLE_BOOK,
    UNREADABLE_FRAME,
    CoinbaseDecoder,
)
from observer.venues.urls import URLS
from tests.samples.recording_line import RecordingLine

TIME = "2026-04-07T14:30:00.123456Z"
TIME_NS = parse_iso(TIME)
RECV_NS = TIME_NS + 30_000_000
E9 = 10**9


def frame(channel: str, number: int, events: object) -> bytes:
    """A message in the envelope of every channel."""
    return json.dumps(
        {"channel": channel, "client_id": "", "timestamp": TIME, "sequence_num": number, "events": events}
    ).encode()


def level(side: str, price: str, size: str, at: str = TIME) -> dict[str, str]:
    """One line of a book message."""
    return {"side": side, "event_time": at, "price_level": price, "new_quantity": size}


def book(number: int, kind: str, *levels: dict[str, str], product: str = "BTC-USD") -> bytes:
    """A book message."""
    return frame("l2_data", number, [{"type": kind, "product_id": product, "updates": list(levels)}])


def trade(number: str, side: str = "BUY", **changes: str) -> dict[str, str]:
    """One trade."""
    row = {"trade_id": number, "product_id": "BTC-USD", "price": "68900.50", "size": "0.0015", "side": side}
    return {**row, "time": "2026-04-07T14:29:59.789012Z", **changes}


def trades(number: int, *rows: dict[str, str], kind: str = "update") -> bytes:
    """A trades message."""
    return frame("market_trades", number, [{"type": kind, "trades": list(rows)}])


ACK = frame("subscriptions", 0, [{"subscriptions": {"level2": ["BTC-USD"]}}])
SNAPSHOT = book(
    1, "snapshot", level("bid", "68900.00", "1.50000000", "1970-01-01T00:00:00Z"), level("offer", "68901.00", "0.5"),
    level("bid", "68899.00", "0"), level("bid", "68890.00", "2"),
)  # fmt: skip
SESSION = [
    ACK,
    SNAPSHOT,
    book(2, "update", level("offer", "68901.00", "0"), level("offer", "68902.00", "0.25")),
    trades(3, trade("995098700"), trade("995098701", "SELL")),
    frame("heartbeats", 4, [{"current_time": "2026-04-07 14:30:10.000000000+00:00", "heartbeat_counter": 42}]),
    book(5, "update", level("bid", "68900.00", "3")),
]


def make() -> Sequence[Instrument]:
    return [Instrument("coinbase", "BTC-USD", "", 0, "BTC", "coinbase")]


def decoder() -> tuple[CoinbaseDecoder, RecordingLine, Instrument]:
    """A decoder of BTC-USD with its line."""
    (instrument,) = make()
    line = RecordingLine(recv_ns=RECV_NS)
    return CoinbaseDecoder([instrument], line), line, instrument


def played(*frames: bytes) -> tuple[CoinbaseDecoder, RecordingLine, Instrument]:
    """A decoder that has read some messages."""
    read, line, instrument = decoder()
    for payload in frames:
        read.message(payload)
    return read, line, instrument


def test_coinbase_keeps_the_contract_of_every_venue() -> None:
    beat = frame("heartbeats", 6, [{"heartbeat_counter": "43"}])

    check_venue(
        Coinbase(URLS), make, {"BTC-USD": SESSION}, recv_ns=RECV_NS, silent=[beat, frame("subscriptions", 6, [])]
    )


def test_a_session_is_read_as_documented() -> None:
    read, line, btc = decoder()

    is_data = [read.message(payload) for payload in SESSION]

    assert is_data == [False, True, True, True, False, True]
    assert btc.book.top(BID, 9) == [(68_900 * E9, 3 * E9), (68_890 * E9, 2 * E9)]
    assert btc.book.top(ASK, 9) == [(68_902 * E9, 250_000_000)]
    assert line.of("book")[0][2:] == (TIME_NS, 1)
    assert line.of("level")[0] == (ASK, 68_901 * E9, 0, TIME_NS, 2)
    assert line.counts() == {"book": 1, "level": 3, "trade": 2}


def test_a_trade_of_a_maker_who_buys_is_a_taker_who_sells() -> None:
    _, line, _ = played(trades(0, trade("1", "BUY"), trade("2", "SELL")))

    assert [args[0] for args in line.of("trade")] == [SELL, BUY]


def test_trades_come_oldest_first_and_once() -> None:
    rows = [trade("1002"), trade("1001"), trade("999")]

    _, line, _ = played(trades(0, *rows, kind="snapshot"), trades(1, trade("1002"), trade("1003")))

    assert [args[-1] for args in line.of("trade")] == ["999", "1001", "1002", "1003"]
    assert len(line.of("duplicate")) == 1


@pytest.mark.parametrize("missing", range(2, 5))
def test_a_hole_in_the_numbers_ends_the_connection(missing: int) -> None:
    read, line, _ = played(*[payload for i, payload in enumerate(SESSION) if i != missing])

    assert line.of("lost_all") == [(HOLE,)]
    line.clear()
    assert not read.message(book(7, "update", level("bid", "1.00", "1")))
    assert not line.calls


def test_a_message_that_comes_twice_changes_nothing() -> None:
    _, line, btc = played(*SESSION[:3], SESSION[2], SESSION[1], *SESSION[3:])

    assert not line.of("lost_all")
    assert line.counts()["book"] == 1
    assert btc.book.top(ASK, 9) == [(68_902 * E9, 250_000_000)]


def test_a_message_of_an_unknown_channel_counts_in_the_numbers() -> None:
    _, line, _ = played(ACK, SNAPSHOT, frame("candles", 2, []), book(3, "update", level("bid", "68900.00", "3")))

    assert line.of("unknown") == [("candles",)]
    assert not line.of("lost_all")


def test_a_change_before_the_book_ends_the_connection() -> None:
    _, line, _ = played(ACK, book(1, "update", level("bid", "1.00", "1")))

    assert line.of("lost_all") == [(NO_SNAPSHOT,)]


@pytest.mark.parametrize("price", ["NaN", "-1", "1e3", "0", "", "99999999999999999999"])
@pytest.mark.parametrize("kind", ["snapshot", "update"])
def test_a_book_message_with_a_wrong_number_ends_the_connection(kind: str, price: str) -> None:
    _, line, _ = played(ACK, SNAPSHOT, book(2, kind, level("bid", "68900.00", "9"), level("bid", price, "1")))

    assert line.of("refuse") == [(UNREADABLE_BOOK,)]
    assert line.of("lost_all") == [(UNREADABLE_BOOK,)]
    assert line.counts()["level"] == 0
    assert line.counts()["book"] == 1


@pytest.mark.parametrize("field", ["side", "price_level", "new_quantity"])
@pytest.mark.parametrize("value", [None, 1, "sideways-1", [], {}])
def test_a_book_message_with_a_misshapen_field_ends_the_connection(field: str, value: object) -> None:
    row = {**level("bid", "68900.00", "9"), field: value}

    _, line, _ = played(
        ACK, SNAPSHOT, frame("l2_data", 2, [{"type": "update", "product_id": "BTC-USD", "updates": [row]}])
    )

    assert line.counts()["refuse"] == 1
    assert line.counts()["lost_all"] == 1
    assert line.counts()["level"] == 0


def test_a_crossed_snapshot_is_no_book() -> None:
    _, line, btc = played(ACK, book(1, "snapshot", level("bid", "2.00", "1"), level("offer", "1.00", "1")))

    assert line.of("lost_all") == [(UNREADABLE_BOOK,)]
    assert not btc.book.is_valid


def test_a_book_that_its_changes_cross_ends_the_connection() -> None:
    _, line, _ = played(ACK, SNAPSHOT, book(2, "update", level("bid", "70000.00", "1")))

    assert line.of("lost_all") == [(CROSSED,)]


@pytest.mark.parametrize("at", ["2030-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon", ""])
def test_a_wrong_time_is_refused_but_not_the_level(at: str) -> None:
    _, line, _ = played(ACK, SNAPSHOT, book(2, "update", level("bid", "68900.00", "3", at)))

    assert line.counts()["refuse"] == 1
    assert line.of("level") == [(BID, 68_900 * E9, 3 * E9, UNKNOWN_NS, 2)]


def test_each_level_has_its_own_time() -> None:
    earlier = "2026-04-07T14:30:00.100000Z"

    _, line, _ = played(
        ACK, SNAPSHOT, book(2, "update", level("bid", "68900.00", "3", earlier), level("bid", "68890.00", "3"))
    )

    assert [args[3] for args in line.of("level")] == [parse_iso(earlier), TIME_NS]


@pytest.mark.parametrize(
    "changes", [{"price": "NaN"}, {"size": "0"}, {"price": "-1"}, {"trade_id": ""}, {"size": "1e5"}]
)
def test_a_wrong_trade_is_refused_alone(changes: dict[str, str]) -> None:
    _, line, _ = played(trades(0, trade("1", **changes), trade("2")))

    assert line.of("refuse") == [(BAD_TRADE,)]
    assert [args[-1] for args in line.of("trade")] == ["2"]
    assert not line.of("lost_all")


def test_a_misshapen_trade_refuses_its_message_and_loses_no_book() -> None:
    _, line, btc = played(
        ACK, SNAPSHOT, trades(2, trade("1", "HOLD")), book(3, "update", level("bid", "68900.00", "3"))
    )

    assert line.of("refuse") == [(BAD_TRADE,)]
    assert btc.book.is_valid
    assert not line.of("lost_all")


def test_an_error_ends_the_connection_and_is_told() -> None:
    _, line, _ = played(b'{"type":"error","message":"rate limit exceeded"}')

    assert line.of("lost_all") == [("the venue answers rate limit exceeded",)]


def test_another_product_is_not_ours() -> None:
    read, line, _ = played(ACK)

    assert not read.message(book(1, "snapshot", level("bid", "1.00", "1"), product="ETH-USD"))
    assert not read.message(trades(2, trade("1", product_id="ETH-USD")))

    assert line.of("unknown") == [(NOT_OURS,), (NOT_OURS,)]


@pytest.mark.parametrize("payload", [b"", b"PONG", b"[1]", b"null", b"\xff", b"[" * 5000, b'{"channel":' * 5000])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    read, line, _ = decoder()

    assert not read.message(payload)

    assert line.of("refuse") == [(UNREADABLE_FRAME,)]


def test_a_lost_book_is_brought_back_by_a_new_connection_and_by_nothing_else() -> None:
    read, line, btc = played(*SESSION)
    read.snapshot(btc, b"{}")
    assert not line.of("lost_all")

    line.lost(btc, "the recorder says so")
    read.snapshot(btc, b'{"pricebook":{"bids":[{"price":"1","size":"1"}],"asks":[]}}')

    assert line.counts()["lost_all"] == 1
    assert not btc.book.is_valid


@given(
    changes=st.lists(st.tuples(st.sampled_from(("bid", "offer")), st.integers(1, 9), st.sampled_from("0123"))),
    fates=st.lists(st.sampled_from(("arrives", "arrives", "arrives", "drops", "twice", "late")), max_size=40),
)
@settings(max_examples=150, deadline=None)
def test_the_book_is_the_servers_until_something_is_missing_and_then_nothing_is_said(
    changes: list[tuple[str, int, str]], fates: list[str]
) -> None:
    messages, truth = [book(0, "snapshot")], [({}, {})]
    for number, (side, price, size) in enumerate(changes, start=1):
        price += 10 * (side == "offer")
        messages.append(book(number, "update", level(side, str(price), size)))
        bids, asks = dict(truth[-1][0]), dict(truth[-1][1])
        (bids if side == "bid" else asks)[price * E9] = int(size) * E9
        truth.append(({p: s for p, s in bids.items() if s}, {p: s for p, s in asks.items() if s}))
    fate_of = dict(enumerate(fates, start=1))
    order: list[int] = []
    for number in range(len(messages)):
        late = [number - 1] if fate_of.get(number - 1) == "late" else []
        here = {"drops": [], "twice": [number, number], "late": []}.get(fate_of.get(number, ""), [number])
        order += here + late
    read, line, btc = decoder()

    wanted = 0
    for number in order:
        is_data = read.message(messages[number])
        is_next, wanted = number == wanted, wanted + (number == wanted)
        if number > wanted:
            break
        assert is_data == is_next
        assert (dict(btc.book.top(BID, 99)), dict(btc.book.top(ASK, 99))) == truth[wanted - 1]
    else:
        assert not line.of("lost_all")
        return

    assert line.of("lost_all") == [(HOLE,)]
    n_calls = len(line.calls)
    assert not any(read.message(message) for message in messages)
    assert len(line.calls) == n_calls


def test_a_deep_book_is_read_within_the_limit_of_a_message() -> None:
    from observer.venues.coinbase.venue import MAX_MESSAGE_BYTES

    bids = [level("bid", f"{60000 - i * 0.5:.2f}", "0.00012345") for i in range(30_000)]
    asks = [level("offer", f"{60001 + i * 0.5:.2f}", "0.00012345") for i in range(30_000)]
    payload = book(1, "snapshot", *bids, *asks)

    _, line, btc = played(ACK, payload)

    assert len(payload) < MAX_MESSAGE_BYTES
    assert (btc.book.best(BID), btc.book.best(ASK)) == (60_000 * E9, 60_001 * E9)
    assert len(line.of("book")[0][0]) == 30_000


def test_the_times_of_a_session_are_received_after_they_were_made() -> None:
    _, line, _ = played(*SESSION)

    assert all(args[3] <= RECV_NS for args in line.of("level") + line.of("trade"))
    assert RECV_NS - TIME_NS < NS_PER_S

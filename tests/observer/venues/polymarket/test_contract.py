"""Polymarket against what every venue must pass, and against bytes that no one meant."""

from hypothesis import given, settings
from hypothesis import strategies as st

from observer.ports import Instrument, Selection
from observer.venues.check import check_venue
from observer.venues.polymarket import Polymarket
from observer.venues.polymarket.market_stream import MarketStream
from observer.venues.table import VENUES
from observer.venues.urls import resolve
from tests.samples.polymarket_frames import (
    AT_MS,
    DOWN_ID,
    OTHER_ID,
    RECV_NS,
    UP_ID,
    array,
    book,
    changes,
    frame,
    instruments,
    old_changes,
    trade,
)
from tests.samples.recording_line import RecordingLine

SESSION = (
    array(
        book(UP_ID, [("0.51", "150"), ("0.52", "120.5")], [("0.53", "80"), ("0.54", "10")]),
        book(DOWN_ID, [("0.46", "10"), ("0.47", "80")], [("0.48", "120.5"), ("0.49", "150")]),
    ),
    changes((UP_ID, "BUY", "0.52", "95.5", "0.52", "0.53"), (DOWN_ID, "SELL", "0.48", "95.5", "0.47", "0.48")),
    changes((OTHER_ID, "BUY", "0.1", "1", "0.1", "0.2")),
    old_changes(UP_ID, ("SELL", "0.55", "3")),
    trade(UP_ID, "BUY", "0.53", "25"),
    frame(event_type="best_bid_ask", asset_id=UP_ID, best_bid="0.52", best_ask="0.53", timestamp=str(AT_MS)),
)
PRICES = (
    b'{"connection_id":"Qk","topic":"crypto_prices_chainlink","type":"update","timestamp":1777366994950,"payload":'
    b'{"symbol":"btc/usd","timestamp":1777366994000,"value":65048.078902260626,'
    b'"full_accuracy_value":"65048078902260626000000"}}',
    b'{"topic":"crypto_prices","type":"update","timestamp":1777366994950,"payload":'
    b'{"symbol":"btcusdt","timestamp":1777366994000,"value":65051.2,"full_accuracy_value":"65051.20000000"}}',
)
VENUE = VENUES["polymarket"](resolve())


def carried() -> list[Instrument]:
    return instruments() + VENUE.feeds(Selection(("btc",)))


def test_polymarket_passes_what_every_venue_must() -> None:
    check_venue(VENUE, carried, {"market-15m": SESSION, "rtds": PRICES}, recv_ns=RECV_NS, silent=(b"PONG", b"", b"  "))


def test_the_venue_in_the_table_is_polymarket() -> None:
    assert isinstance(VENUE, Polymarket)
    assert VENUE.name == "polymarket"


@settings(max_examples=300, deadline=None)
@given(payload=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8"))))
def test_no_bytes_make_the_decoder_raise_or_speak_of_a_book(payload: bytes) -> None:
    line = RecordingLine(recv_ns=RECV_NS)
    decoder = MarketStream(instruments(), line)

    is_data = decoder.message(payload)

    assert not is_data
    assert not line.of("book")
    assert not line.of("level")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([UP_ID, "0.5", "BUY"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("asset_id", "price_changes", "changes", "bids", "asks", "price", "size", "side", "timestamp", "best_bid",
        "best_ask", "new_tick_size", "winning_asset_id", "assets_ids")  # fmt: skip
KINDS = ("book", "price_change", "last_trade_price", "best_bid_ask", "tick_size_change", "market_resolved", "zzz")


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), fields=st.dictionaries(st.sampled_from(KEYS), json_values))
def test_no_event_with_odd_fields_makes_the_decoder_raise_or_leaves_a_crossed_book(
    kind: str, fields: dict[str, object]
) -> None:
    line = RecordingLine(recv_ns=RECV_NS)
    up, down = instruments()
    decoder = MarketStream([up, down], line)
    decoder.message(SESSION[0])

    decoder.message(frame(event_type=kind, **fields))

    assert not up.book.is_crossed
    assert not down.book.is_crossed

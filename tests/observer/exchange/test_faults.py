"""Faults: each does what it says, to whom it says, and the log tells when and to which instruments."""

import json
from typing import Any

import pytest

from observer.exchange.fault import LOSES_DATA, Fault, Happened
from observer.exchange.spoil import spoil
from observer.exchange.venues.coinbase import CoinbaseSession
from observer.exchange.venues.polymarket.market_socket import MarketSession
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from tests.observer.exchange.readers import CoinbaseReader, PolymarketReader, true_levels
from tests.observer.exchange.stage import OPEN_S, KeptPeer, Stage

SLUG = f"btc-updown-15m-{OPEN_S}"


@pytest.fixture
def stage() -> Stage:
    return Stage("polymarket")


def join(stage: Stage) -> tuple[KeptPeer, MarketSession]:
    peer = stage.peer("market")
    session = MarketSession(stage.venue.socket, peer)
    session.message(json.dumps({"type": "market", "assets_ids": tokens(stage)}))
    peer.begin(session)
    return peer, session


def tokens(stage: Stage) -> list[str]:
    return list(stage.venue.board.slug(SLUG).tokens)


def arm(stage: Stage, kind: Any, **more: Any) -> int:
    return stage.floor.faults.arm(Fault(kind=kind, venue="polymarket", **more))


def entries(stage: Stage, kind: str) -> list[Happened]:
    return [entry for entry in stage.floor.faults.log if entry.kind == kind]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_frozen_connection_sends_pongs_and_no_data_and_the_log_knows_the_span(stage: Stage) -> None:
    peer, session = join(stage)
    stage.run(5)
    peer.texts()
    began_ns = stage.now_ns

    number = arm(stage, "freeze", duration_s=20)
    stage.run(10)
    session.message("PING")
    assert peer.texts() == ["PONG"]
    stage.run(20)

    assert peer.messages()
    (entry,) = entries(stage, "freeze")
    assert (entry.fault, entry.conn, entry.loses_data) == (number, peer.number, True)
    assert began_ns <= entry.start_ns < began_ns + 5 * NS_PER_S
    assert entry.end_ns == began_ns + 20 * NS_PER_S
    assert entry.keys == set(tokens(stage))
    assert entry.frames > 10


def test_a_freeze_also_catches_connections_that_come_while_it_lasts(stage: Stage) -> None:
    arm(stage, "freeze", duration_s=20)
    late, _ = join(stage)
    late.texts()

    stage.run(15)
    assert late.texts() == []
    stage.run(15)

    assert late.messages()


def test_a_freeze_of_one_connection_leaves_the_other_alone(stage: Stage) -> None:
    first, second = join(stage)[0], join(stage)[0]
    arm(stage, "freeze", conn=first.number)
    first.texts()
    second.texts()
    stage.run(20)

    assert first.texts() == []
    assert second.texts()


def test_half_open_sends_and_hears_nothing(stage: Stage) -> None:
    peer, session = join(stage)
    peer.texts()
    arm(stage, "half_open", duration_s=10)

    session.message("PING")
    stage.run(9)
    assert peer.texts() == []
    stage.run(20)

    assert peer.messages()
    assert entries(stage, "half_open")[0].keys == set(tokens(stage))


def test_a_dropped_change_makes_the_readers_book_wrong(stage: Stage) -> None:
    """The control of every test that says a reader's book is right."""
    peer, _ = join(stage)
    reader = PolymarketReader()
    reader.read_all(peer.messages())
    arm(stage, "drop", count=3)
    stage.run(20)

    with pytest.raises(AssertionError):
        reader.read_all(peer.messages())
    for entry in entries(stage, "drop"):
        assert entry.end_ns is not None
        assert entry.end_ns >= entry.start_ns


def test_a_fault_can_wait_for_frames_and_acts_on_so_many(stage: Stage) -> None:
    plain, _ = join(stage)
    struck, _ = join(stage)
    plain.texts()
    struck.texts()
    stage.floor.faults.arm(Fault(kind="drop", conn=struck.number, after_messages=5, count=2))
    stage.run(20)

    whole, rest = plain.texts(), struck.texts()

    assert rest == whole[:5] + whole[7:]


def test_a_fault_can_wait_for_a_time(stage: Stage) -> None:
    peer, _ = join(stage)
    at_ns = stage.now_ns + 10 * NS_PER_S
    arm(stage, "freeze", at_ns=at_ns)
    peer.texts()
    stage.run(10)
    assert peer.texts()
    stage.run(20)

    assert peer.texts() == []
    assert entries(stage, "freeze")[0].start_ns >= at_ns


def test_a_duplicate_comes_twice_and_loses_nothing(stage: Stage) -> None:
    plain, _ = join(stage)
    twice, _ = join(stage)
    for peer in (plain, twice):
        peer.texts()
    stage.floor.faults.arm(Fault(kind="duplicate", conn=twice.number))
    stage.run(10)

    whole, doubled = plain.texts(), twice.texts()

    assert doubled == [whole[0], *whole]
    assert not entries(stage, "duplicate")[0].loses_data


def test_a_reordered_frame_comes_after_the_next_one(stage: Stage) -> None:
    plain, _ = join(stage)
    mixed, _ = join(stage)
    for peer in (plain, mixed):
        peer.texts()
    stage.floor.faults.arm(Fault(kind="reorder", conn=mixed.number))
    stage.run(10)

    whole, swapped = plain.texts(), mixed.texts()

    assert swapped == [whole[1], whole[0], *whole[2:]]


@pytest.mark.parametrize("kind", ["nan", "negative", "crossed", "future", "garbage"])
def test_a_spoiled_frame_replaces_the_true_one(stage: Stage, kind: str) -> None:
    plain, _ = join(stage)
    bad, _ = join(stage)
    for peer in (plain, bad):
        peer.texts()
    stage.floor.faults.arm(Fault(kind=kind, conn=bad.number))  # type: ignore[arg-type]
    stage.run(10)

    whole, spoiled = plain.texts(), bad.texts()
    different = [(w, s) for w, s in zip(whole, spoiled, strict=True) if w != s]

    assert len(different) == 1
    true, wrong = different[0]
    assert is_json(wrong) == (kind != "garbage")
    if kind == "nan":
        assert '"NaN"' in wrong
    if kind == "negative":
        assert '"size":"-5"' in wrong
    if kind == "future":
        assert int(json.loads(wrong)["timestamp"]) == int(json.loads(true)["timestamp"]) + 3_600_000
    assert entries(stage, kind)[0].keys <= set(tokens(stage))


LEVEL_FRAMES = {
    "kalshi": b'{"type":"orderbook_delta","sid":1,"seq":2,"msg":{"market_ticker":"K","price_dollars":"0.5500",'
    b'"delta_fp":"-54.00","side":"yes","ts":"2026-11-20T19:03:01.123456Z","ts_ms":1795201381123}}',
    "binance-spot": b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1672515782136,"s":"BTCUSDT","U":157,'
    b'"u":160,"b":[["97000.10","1.2"]],"a":[["97000.11","0"]]}}',
    "binance-usdm": b'{"e":"bookTicker","u":1,"E":1568014460893,"T":1568014460891,"s":"BTCUSDT","b":"97000.1",'
    b'"B":"3.2","a":"97000.2","A":"4.0"}',
    "coinbase": b'{"channel":"l2_data","timestamp":"2026-04-07T14:30:00.123456Z","sequence_num":1,"events":[{"type":'
    b'"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-04-07T14:30:00.123456Z",'
    b'"price_level":"68900.00","new_quantity":"1.5"}]}]}',
    "kraken": b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":45283.5,"qty":0.1}],'
    b'"asks":[],"checksum":1,"timestamp":"2026-04-28T10:00:00.123456Z"}]}',
    "hyperliquid": b'{"channel":"l2Book","data":{"coin":"BTC","time":1703875200000,"levels":[[{"px":"98450.5","sz":'
    b'"2.5","n":3}],[{"px":"98451.0","sz":"1.5","n":2}]]}}',
}  # fmt: skip


@pytest.mark.parametrize("venue", LEVEL_FRAMES)
@pytest.mark.parametrize("kind", ["nan", "negative", "crossed", "future"])
def test_every_venues_frames_can_be_spoiled(venue: str, kind: str) -> None:
    frame = LEVEL_FRAMES[venue]

    bad = spoil(kind, venue, frame)

    assert bad is not None
    assert bad != frame
    assert (b"NaN" in bad) == (kind == "nan")


def test_a_frame_without_numbers_waits_for_the_next() -> None:
    assert spoil("nan", "polymarket", b'{"event_type":"new_market","id":"1"}') is None
    assert spoil("nan", "polymarket", b"PONG") is None


@pytest.mark.parametrize(("kind", "found"), [("unknown", "market_mood"), ("bomb_deep", "[[[["), ("bomb_big", "xxxx")])
def test_extras_come_on_top_of_the_true_frames(stage: Stage, kind: str, found: str) -> None:
    plain, _ = join(stage)
    struck, _ = join(stage)
    for peer in (plain, struck):
        peer.texts()
    stage.floor.faults.arm(Fault(kind=kind, conn=struck.number))  # type: ignore[arg-type]
    stage.run(5)

    extra, *rest = struck.texts()

    assert found in extra
    assert rest == plain.texts()
    assert not entries(stage, kind)[0].loses_data


def test_a_huge_book_is_the_true_book(stage: Stage) -> None:
    peer, _ = join(stage)
    reader = PolymarketReader()
    arm(stage, "huge_book")
    for message in peer.messages():
        reader.read(message)

    (book,) = stage.venue.books({tokens(stage)[0]})

    assert reader.shown(book.key) == true_levels(book)
    assert sum(map(len, reader.books[book.key])) > 900


def test_a_clock_that_is_ahead_stamps_ahead_and_comes_back(stage: Stage) -> None:
    peer, _ = join(stage)
    arm(stage, "skew", skew_ms=5_000, duration_s=10)
    peer.texts()
    stage.run(9)
    ahead = [int(m["timestamp"]) for m in peer.messages()]
    now_ms = stage.now_ns // 10**6
    stage.run(2)
    peer.texts()
    stage.run(9)
    back = [int(m["timestamp"]) for m in peer.messages()]

    assert max(ahead) > now_ms + 3_000
    assert max(back) <= stage.now_ns // 10**6


def test_a_fault_without_a_duration_waits_for_the_first_connection_and_is_over(stage: Stage) -> None:
    arm(stage, "drop")
    assert len(stage.floor.faults.armed()) == 1

    struck, _ = join(stage)
    later, _ = join(stage)
    assert stage.floor.faults.armed() == []
    stage.run(10)

    assert len(later.texts()) - len(struck.texts()) == 1


def test_what_piles_up_unread_is_answered_as_the_venue_does_and_logged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, session = join(stage)
    closed: list[str] = []
    monkeypatch.setattr(session, "slow", lambda: closed.append("slow"))
    monkeypatch.setattr(peer.transport, "get_write_buffer_size", lambda: 9 << 20)

    stage.run(5)

    assert closed == ["slow"]
    (entry,) = entries(stage, "slow")
    assert (entry.fault, entry.keys) == (0, set(tokens(stage)))


def test_a_fault_can_be_called_off(stage: Stage) -> None:
    peer, _ = join(stage)
    number = arm(stage, "freeze")
    stage.run(10)
    peer.texts()

    assert stage.floor.faults.disarm(number)
    assert not stage.floor.faults.disarm(number)
    stage.run(10)

    assert peer.messages()


def test_a_frozen_feed_with_numbers_makes_no_hole_and_a_dropped_frame_does() -> None:
    stage = Stage("coinbase")

    def holes(kind: str, **more: Any) -> int:
        peer, reader = stage.peer("ws"), CoinbaseReader()
        session = CoinbaseSession(stage.venue, peer)
        stage.venue.sessions.append(session)
        session.message('{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}')
        peer.begin(session)
        stage.floor.faults.arm(Fault(kind=kind, conn=peer.number, **more))  # type: ignore[arg-type]
        stage.run(10)
        for message in peer.messages():
            reader.read(message)
        return reader.holes

    assert holes("freeze", duration_s=5) == 0
    assert holes("drop") == 1
    assert holes("reorder") >= 2


def test_kinds_that_lose_data_are_named(stage: Stage) -> None:
    assert {"freeze", "half_open", "abort", "drop", "nan"} <= LOSES_DATA
    assert not {"duplicate", "unknown", "bomb_deep", "http", "skew"} & LOSES_DATA


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(kind="http", status=429), "duration_s 0.0: give it an end"),
        (Fault(kind="skew", skew_ms=10), "duration_s 0.0: give it an end"),
        (Fault(kind="drop", count=0), "count 1 or more"),
        (Fault(kind="freeze", duration_s=-1.0), "are 0 or more"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(stage: Stage, fault: Fault, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        stage.floor.faults.arm(fault)

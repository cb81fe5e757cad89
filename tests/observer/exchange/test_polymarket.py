"""Polymarket as a reader meets it: books, changes, trades, ticks, discovery, settlement, and the feed's oddities."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from observer.exchange.markets.coins import COINS
from observer.exchange.markets.walk import Walk
from observer.exchange.venues.polymarket.books import book_hash
from observer.exchange.venues.polymarket.clob_routes import Clob
from observer.exchange.venues.polymarket.gamma import event_json, market_json
from observer.exchange.venues.polymarket.listed import HYDRATION_NS, Listed, token_id
from observer.exchange.venues.polymarket.market_socket import MOST_DUMPED_ASSETS, MarketSession
from observer.exchange.venues.polymarket.spans import SPANS
from observer.kit.clock import NS_PER_S, parse_iso
from observer.records import DOWN, UP
from tests.observer.exchange.readers import PolymarketReader, true_levels
from tests.observer.exchange.stage import OPEN_S, START_NS, KeptPeer, Stage
from tests.samples.shared_data import shared

SLUG = f"btc-updown-15m-{OPEN_S}"
VECTOR = {
    "market": "0xaabbcc", "asset_id": "100", "timestamp": "123456789", "hash": "",
    "bids": [{"price": "0.3", "size": "100"}, {"price": "0.4", "size": "100"}],
    "asks": [{"price": "0.6", "size": "100"}, {"price": "0.7", "size": "100"}],
    "min_order_size": "100", "tick_size": "0.01", "neg_risk": False, "last_trade_price": "0.5",
}  # fmt: skip


def test_the_book_hash_is_that_of_the_published_vector() -> None:
    assert book_hash(VECTOR) == "0458ea5755c9f73d64a14636fa5c36ed460ec394"


def test_the_book_hash_is_that_of_every_recorded_book() -> None:
    path = shared("raw_ws_samples/polymarket_binance_coinbase_2026-04.parquet")
    table = pq.read_table(path, columns=["kind", "payload"], use_threads=False).to_pylist()
    books = [json.loads(row["payload"]) for row in table if row["kind"] == "rest_book"]

    assert len(books) == 552
    assert [book_hash(book) for book in books] == [book["hash"] for book in books]


@pytest.fixture
def stage() -> Stage:
    return Stage("polymarket")


def listed_in(stage: Stage, slug: str = SLUG) -> Listed:
    listed = stage.venue.board.slug(slug)
    assert listed is not None
    return listed


def join(stage: Stage, **asked: Any) -> tuple[KeptPeer, MarketSession]:
    peer = stage.peer("market")
    session = MarketSession(stage.venue.socket, peer)
    peer.begin(session)
    if asked:
        session.message(json.dumps({"type": "market", **asked}))
    return peer, session


def test_a_reader_of_changes_and_books_keeps_the_true_book(stage: Stage) -> None:
    listed = listed_in(stage)
    peer, _ = join(stage, assets_ids=list(listed.tokens))
    reader = PolymarketReader()

    for _ in range(60):
        stage.run(2.0)
        for message in peer.messages():
            reader.read(message)
        for book in stage.venue.books(set(listed.tokens)):
            assert reader.shown(book.key) == true_levels(book)

    assert reader.trades


def test_the_first_dump_is_one_array_with_a_book_of_each_asset(stage: Stage) -> None:
    listed = listed_in(stage)

    peer, _ = join(stage, assets_ids=list(listed.tokens))
    first = json.loads(peer.texts()[0])

    assert [book["asset_id"] for book in first] == list(listed.tokens)
    prices = [[float(level["price"]) for level in first[0][side]] for side in ("bids", "asks")]
    assert prices[0] == sorted(prices[0])  # the best is last
    assert prices[1] == sorted(prices[1], reverse=True)


def test_the_socket_and_rest_show_the_same_state_with_the_same_hash(stage: Stage) -> None:
    listed = listed_in(stage)
    stage.run(30)
    peer, _ = join(stage, assets_ids=[listed.tokens[0]])

    rest = Clob(stage.floor, stage.venue.board)._book(listed, UP, "")
    (dumped,) = peer.messages()

    assert list(rest) == list(VECTOR)  # the hash is made of these keys in this order
    assert dumped["hash"] == rest["hash"] == book_hash(rest)
    assert {key: dumped[key] for key in ("timestamp", "bids", "asks")} == {
        key: rest[key] for key in ("timestamp", "bids", "asks")
    }


def test_each_change_of_a_made_up_market_comes_with_its_mirror_image(stage: Stage) -> None:
    listed = listed_in(stage)
    peer, _ = join(stage, assets_ids=[listed.tokens[0]])
    stage.run(30)

    changes = [m["price_changes"] for m in peer.messages() if m["event_type"] == "price_change"]

    assert len(changes) > 50
    for up, down in changes:
        assert (up["asset_id"], down["asset_id"]) == listed.tokens
        assert float(up["price"]) + float(down["price"]) == pytest.approx(1.0)
        assert up["size"] == down["size"]
        assert {up["side"], down["side"]} == {"BUY", "SELL"}


def test_a_trade_is_told_with_books_and_without_changes(stage: Stage) -> None:
    listed = listed_in(stage)
    peer, _ = join(stage, assets_ids=list(listed.tokens))
    stage.run(60)
    kinds = [m["event_type"] for m in peer.messages()][2:]  # after the first dump
    at = kinds.index("last_trade_price")

    assert kinds[at : at + 3] == ["last_trade_price", "book", "book"]
    assert kinds.count("book") == 2 * kinds.count("last_trade_price")


def test_best_prices_and_new_markets_need_the_custom_features(stage: Stage) -> None:
    listed = listed_in(stage)
    plain, _ = join(stage, assets_ids=list(listed.tokens))
    custom, session = join(stage, assets_ids=list(listed.tokens), custom_feature_enabled=True)
    stage.run(300)

    plain_kinds, custom_kinds = ({m["event_type"] for m in peer.messages()} for peer in (plain, custom))

    assert not {"best_bid_ask", "new_market", "market_resolved"} & plain_kinds
    assert {"best_bid_ask", "new_market"} <= custom_kinds
    session.message(
        json.dumps({"operation": "subscribe", "assets_ids": [listed.tokens[0]], "custom_feature_enabled": False})
    )
    stage.run(300)
    texts = custom.texts()
    assert texts[0] == '{"error":"duplicate assets"}'  # refused, and the flag is off all the same
    assert not any('"best_bid_ask"' in text for text in texts)


def test_subscriptions_can_grow_and_shrink(stage: Stage) -> None:
    first, second = listed_in(stage), listed_in(stage, f"btc-updown-5m-{OPEN_S}")
    peer, session = join(stage, assets_ids=list(first.tokens))
    peer.texts()

    session.message(json.dumps({"operation": "subscribe", "assets_ids": list(second.tokens)}))
    assert {m["asset_id"] for m in peer.messages()} == set(second.tokens)
    session.message(json.dumps({"operation": "unsubscribe", "assets_ids": list(first.tokens)}))
    stage.run(20)

    assert {m["market"] for m in peer.messages()} == {second.condition_id}


def test_more_than_five_hundred_assets_get_no_first_dump(stage: Stage) -> None:
    tokens = [token for listed in stage.venue.board.markets() for token in listed.tokens][: MOST_DUMPED_ASSETS + 1]
    few, many = listed_in(stage).tokens, set(tokens)

    peer, _ = join(stage, assets_ids=sorted(many | set(few)))
    assert peer.texts() == []
    stage.run(20)

    assert peer.messages()  # changes come all the same


def test_ping_and_nonsense_are_answered_in_text(stage: Stage) -> None:
    peer, session = join(stage)

    session.message("PING")
    session.message("nonsense")
    session.message('{"operation":"dance","assets_ids":["1"]}')

    assert peer.texts() == ["PONG", "INVALID OPERATION", "INVALID OPERATION"]


def test_a_tick_change_is_followed_by_fresh_books(stage: Stage) -> None:
    listed = listed_in(stage)
    peer, _ = join(stage, assets_ids=list(listed.tokens))
    peer.texts()

    listed.market.set_tick(stage.now_ns, listed.market.tick // 10)
    messages = peer.messages()

    assert [m["event_type"] for m in messages] == ["tick_size_change", "tick_size_change", "book", "book"]
    assert (messages[0]["old_tick_size"], messages[0]["new_tick_size"]) == ("0.01", "0.001")
    assert messages[2]["tick_size"] == "0.001"


def test_a_window_lives_from_a_day_before_to_its_result(stage: Stage) -> None:
    """Listed a day early, a strike at the opening, the result some time after the end, then no book."""
    later = listed_in(stage, f"btc-updown-15m-{OPEN_S + 86_400 - 900}")
    listed = listed_in(stage, f"btc-updown-15m-{OPEN_S + 900}")
    token = listed.tokens[0]
    clob = Clob(stage.floor, stage.venue.board)

    assert later.event.made_ns <= stage.now_ns
    assert event_json(listed.event, stage.now_ns)["eventMetadata"] == {}
    stage.run(900 + 30)
    strike = event_json(listed.event, stage.now_ns)["eventMetadata"]["priceToBeat"]
    assert clob._find(token) is not None
    stage.run(811)  # a second after the end, and not yet closed
    assert not market_json(listed, stage.now_ns)["closed"]
    assert 16 <= (listed.closes_ns - listed.event.end_ns) / NS_PER_S <= 150
    stage.run(160)
    shown = event_json(listed.event, stage.now_ns)
    final, market = shown["eventMetadata"]["finalPrice"], shown["markets"][0]

    assert market["closed"]
    assert json.loads(market["outcomePrices"]) == (["1", "0"] if final >= strike else ["0", "1"])
    assert clob._find(token) is None
    assert [t["winner"] for t in clob._market(listed)["tokens"]] == [final >= strike, final < strike]


def test_the_strike_of_a_window_is_the_final_price_of_the_one_before(stage: Stage) -> None:
    first, second = (listed_in(stage, f"btc-updown-5m-{OPEN_S + n}") for n in (300, 600))

    stage.run(1_100)

    assert second.strike() == first.final() == pytest.approx(_mean(first.event.end_ns), rel=1e-12)


def test_some_results_are_announced_and_some_are_forgotten() -> None:
    stage = Stage("polymarket", coins=())
    listed = [m for m in stage.venue.board.markets() if m.event.end_ns == (OPEN_S + 300) * NS_PER_S]
    peer, _ = join(stage, assets_ids=[t for m in listed for t in m.tokens], custom_feature_enabled=True)
    stage.run(300 + 160)

    told = {m["market"]: m for m in peer.messages() if m["event_type"] == "market_resolved"}

    assert 0 < len(told) < len(listed) == 8
    for market in listed:
        if market.condition_id in told:
            winner = told[market.condition_id]["winning_asset_id"]
            assert winner == market.token(UP if market.payoff_up() == 1.0 else DOWN)


def test_arrays_are_json_in_strings_and_protocol_v2_uses_position_ids(stage: Stage) -> None:
    shown = [market_json(listed, stage.now_ns) for listed in stage.venue.board.markets()]
    by_version = {version: [m for m in shown if m["version"] == version] for version in ("v1", "v2")}

    assert all(
        json.loads(m["outcomes"]) in (["Up", "Down"], ["Yes", "No"], ["Reds", "Blues"], ["Greens", "Whites"])
        for m in shown
    )
    assert by_version["v1"]
    assert by_version["v2"]
    for market in by_version["v2"]:
        assert market["clobTokenIds"] is None
        assert len(market["conditionId"]) == 2 + 62
        for place, position in enumerate(market["positionIds"]):
            assert int(position) & (((1 << 64) - 1) << 40) == 0
            assert int(position) & 0xFF == place
            assert int(position) >> 248 == 1


def test_windows_lie_on_their_grids_and_are_named_as_on_the_venue() -> None:
    btc, five, quarter, hour, four = COINS["BTC"], *(SPANS[name] for name in ("5m", "15m", "1h", "4h"))
    winter, spring = (parse_iso(text) for text in ("2026-11-20T14:01:00Z", "2026-05-01T20:30:00Z"))

    assert five.slug(btc, five.opening(winter)) == f"btc-updown-5m-{OPEN_S}"
    assert quarter.slug(btc, quarter.after(quarter.opening(winter))) == f"btc-updown-15m-{OPEN_S + 900}"
    assert hour.slug(btc, hour.opening(spring)) == "bitcoin-up-or-down-may-1-2026-4pm-et"
    assert four.opening(winter) == parse_iso("2026-11-20T13:00:00Z")  # 8 in the morning in New York
    assert four.opening(spring) == parse_iso("2026-05-01T20:00:00Z")  # 4 in the afternoon, summer time


@pytest.mark.parametrize(("day", "hours"), [("2026-11-01", 25), ("2026-03-08", 23), ("2026-07-01", 24)])
def test_four_hour_windows_follow_new_york_through_clock_changes(day: str, hours: int) -> None:
    first = parse_iso(f"{day}T05:00:00Z")
    midnight = SPANS["4h"].opening(first)

    starts = list(SPANS["4h"].openings(midnight, midnight + hours * 3_600 * NS_PER_S))

    assert len(starts) == 7  # six windows, and the next midnight
    assert starts[-1] - starts[0] == hours * 3_600 * NS_PER_S


def test_the_hourly_window_settles_on_the_price_itself_and_not_on_an_average(stage: Stage) -> None:
    event = stage.venue.board.events["bitcoin-up-or-down-november-20-2026-9am-et"]
    walk = Walk(0, COINS["BTC"], START_NS)

    stage.run(3_600)

    (listed,) = event.markets
    assert listed.final() == pytest.approx(walk.price(event.end_ns), abs=1e-7)
    assert "binance.com" in listed.source


def test_token_ids_differ_between_tokens_markets_and_versions() -> None:
    ids = {token_id(slug, which, v) for slug in ("a", "b") for which in (UP, DOWN) for v in ("v1", "v2")}

    assert len(ids) == 8


def test_a_market_is_not_in_the_order_book_while_it_hydrates(stage: Stage) -> None:
    peer, _ = join(stage, assets_ids=[], custom_feature_enabled=True)
    stage.run(900)
    new = next(m for m in peer.messages() if m["event_type"] == "new_market")
    listed = stage.venue.board.slug(new["slug"])
    listed.event.made_ns = stage.now_ns - HYDRATION_NS // 2
    clob = Clob(stage.floor, stage.venue.board)

    assert clob._find(listed.tokens[0]) is None
    stage.run(HYDRATION_NS / NS_PER_S)

    assert clob._find(listed.tokens[0]) is not None


def _mean(end_ns: int) -> float:
    walk = Walk(0, COINS["BTC"], START_NS)
    return sum(walk.price(end_ns - i * NS_PER_S) for i in range(60)) / 60

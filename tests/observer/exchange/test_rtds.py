"""Polymarket's live-data socket: late, incomplete, mislabelled, and stalling within the hour."""

import json

import pytest

from observer.exchange.markets.coins import COINS
from observer.exchange.markets.walk import Walk
from observer.exchange.venues.polymarket.rtds import RtdsSession
from observer.kit.clock import NS_PER_S
from tests.observer.exchange.stage import START_NS, KeptPeer, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage("polymarket")


def rtds(stage: Stage, *wanted: dict[str, str]) -> tuple[KeptPeer, RtdsSession]:
    peer = stage.peer("rtds")
    session = RtdsSession(stage.venue.rtds, peer)
    peer.begin(session)
    session.message(json.dumps({"action": "subscribe", "subscriptions": list(wanted)}))
    return peer, session


def chainlink(filters: str = '{"symbol":"btc/usd"}') -> dict[str, str]:
    return {"topic": "crypto_prices_chainlink", "type": "*", "filters": filters}


def test_the_oracle_back_fill_is_filed_under_the_wrong_topic(stage: Stage) -> None:
    stage.run(120)
    peer, _ = rtds(stage, chainlink())

    (fill,) = peer.messages()

    assert (fill["topic"], fill["type"]) == ("crypto_prices", "subscribe")
    assert fill["payload"]["symbol"] == "btc/usd"
    assert 50 <= len(fill["payload"]["data"]) <= 60


def test_oracle_seconds_are_late_sometimes_missing_and_sometimes_corrected(stage: Stage) -> None:
    peer, _ = rtds(stage, chainlink())
    stage.run(600)
    updates = [m for m in peer.messages() if m["type"] == "update"]
    seconds = [m["payload"]["timestamp"] for m in updates]

    assert all(second % 1_000 == 0 for second in seconds)
    assert 0.85 < len(set(seconds)) / 600 < 0.97
    assert len(seconds) > len(set(seconds))
    assert all(1_000 <= m["timestamp"] - m["payload"]["timestamp"] <= 1_800 for m in updates)
    value = updates[0]["payload"]
    assert int(value["full_accuracy_value"]) / 1e18 == pytest.approx(value["value"], rel=1e-12)


def test_the_sixty_second_average_is_that_of_the_oracle(stage: Stage) -> None:
    peer, _ = rtds(stage, {"topic": "crypto_prices_twap_sixty", "type": "*"})
    stage.run(200)
    last = [m for m in peer.messages() if m["payload"]["symbol"] == "btc/usd"][-1]["payload"]

    assert last["window_s"] == 60
    assert last["value"] == pytest.approx(_mean(last["timestamp"] * 10**6))


def _mean(end_ns: int) -> float:
    walk = Walk(0, COINS["BTC"], START_NS)
    return sum(walk.price(end_ns - i * NS_PER_S) for i in range(60)) / 60


def test_a_connection_stalls_within_the_hour_and_a_new_subscription_wakes_it(stage: Stage) -> None:
    peer, session = rtds(stage, chainlink())
    stage.run(14 * 60 - 5)
    assert len(peer.messages()) > 500
    stage.run(50 * 60)
    peer.texts()
    stage.run(60)

    assert peer.texts() == []
    (stall,) = [entry for entry in stage.floor.faults.log if entry.kind == "stall"]
    assert stall.loses_data
    assert stall.end_ns is None
    session.message(json.dumps({"action": "subscribe", "subscriptions": [chainlink()]}))
    stage.run(10)

    assert peer.messages()
    assert stall.end_ns is not None


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ([chainlink('{"symbol":"btc/usd,eth/usd"}')], "regular expression"),
        ([chainlink(), {"topic": "prices_of_tea", "type": "*"}], "prices_of_tea not found"),
    ],
)
def test_a_bad_subscription_spoils_the_whole_request(stage: Stage, wanted: list[dict[str, str]], says: str) -> None:
    peer, _ = rtds(stage, *wanted)
    stage.run(20)

    (refusal,) = peer.messages()

    assert refusal["statusCode"] == 401
    assert says in refusal["body"]["message"]


def test_a_blank_in_the_filters_brings_the_back_fill_and_then_silence(stage: Stage) -> None:
    stage.run(60)
    peer, _ = rtds(stage, chainlink('{"symbol": "btc/usd"}'))
    stage.run(60)

    assert [m["type"] for m in peer.messages()] == ["subscribe"]

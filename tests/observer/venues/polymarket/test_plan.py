"""How markets are laid out over connections."""

import json

import pytest

from observer.kit.errors import UsageError
from observer.ports import Instrument, Selection
from observer.records import DOWN, UP
from observer.venues.polymarket import MAX_ASSETS, Polymarket
from observer.venues.urls import resolve

VENUE = Polymarket(resolve())


def pair(market_id: str, symbol: str = "BTC") -> list[Instrument]:
    return [Instrument("polymarket", f"{market_id}/{token}", market_id, token, symbol) for token in (UP, DOWN)]


def test_windows_of_one_length_share_a_connection_and_prices_have_their_own() -> None:
    carried = (
        pair("btc-updown-5m-1784850900") + pair("eth-updown-5m-1784850900", "ETH") + pair("btc-updown-15m-1784850300")
        + pair("bitcoin-up-or-down-november-25-2026-7am-et") + pair("fed-cuts#2026-11-25T12", "fed-cuts")
        + VENUE.feeds(Selection(("btc",)))
    )  # fmt: skip

    plans = {plan.name: plan for plan in VENUE.plan(carried)}

    assert set(plans) == {"market-5m", "market-15m", "market-1h", "market-long", "rtds"}
    assert len(plans["market-5m"].instruments) == 4


def test_a_subscription_asks_for_books_at_once_and_for_the_extra_events() -> None:
    (plan,) = VENUE.plan(pair("btc-updown-5m-1784850900"))

    assert json.loads(plan.subscribe[0]) == {
        "type": "market",
        "assets_ids": ["btc-updown-5m-1784850900/1", "btc-updown-5m-1784850900/2"],
        "custom_feature_enabled": True,
        "initial_dump": True,
    }
    assert (plan.ping, plan.ping_every_s, plan.life_s) == (b"PING", 10.0, 600.0)


def test_no_connection_carries_more_than_the_venue_serves_and_no_market_is_torn() -> None:
    carried = [one for i in range(250) for one in pair(f"m{i:03d}#2026-11-25T12", f"m{i}")]

    plans = VENUE.plan(carried)

    assert [plan.name for plan in plans] == ["market-long", "market-long-2", "market-long-3"]
    assert all(len(plan.instruments) <= MAX_ASSETS for plan in plans)
    markets = [{instrument.market_id for instrument in plan.instruments} for plan in plans]
    assert sum(map(len, markets)) == 250


def test_silence_is_suspicious_sooner_where_much_is_traded() -> None:
    busy, thin, long = (
        VENUE.plan(pair(market_id, symbol))[0].silence_s
        for market_id, symbol in (
            ("btc-updown-5m-1784850900", "BTC"), ("zec-updown-5m-1784850900", "ZEC"), ("x#2026-11-25T12", "x"),
        )
    )  # fmt: skip

    assert busy == 15.0
    assert busy < thin < long


def test_prices_are_recorded_of_the_coins_whose_windows_are() -> None:
    assert {feed.symbol for feed in VENUE.feeds(Selection(("eth", "politics")))} == {"ETH"}
    assert len(VENUE.feeds(Selection())) == 32
    assert VENUE.feeds(Selection(("politics",))) == []
    assert len({feed.key for feed in VENUE.feeds(Selection())}) == 32


def test_the_settlement_prices_can_be_left_out_and_nothing_else() -> None:
    without = Polymarket(resolve(changed=("polymarket.rtds=off",)))

    assert without.feeds(Selection(("btc",))) == []
    assert without.plan([]) == []
    with pytest.raises(UsageError, match="--url polymarket.clob=off: wanted NAME=URL"):
        resolve(changed=("polymarket.clob=off",))

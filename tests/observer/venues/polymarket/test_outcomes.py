"""How a market ended: by the venue's word, once it says resolved, and never by its last price."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from observer.ports import Instrument, Listing
from observer.records import DOWN, UP
from observer.venues.polymarket import Polymarket
from observer.venues.polymarket.outcomes import clob_id
from observer.venues.urls import URLS
from tests.samples.fake_rest import FakeRest
from tests.samples.polymarket_catalogue import CLOB, CONDITION, GAMMA, market
from tests.samples.tapes import make_market

SLUG = "btc-updown-5m-1784850900"
START_S = 1_784_850_900
RESOLVED: dict[str, Any] = {"closed": True, "umaResolutionStatus": "resolved", "closedTime": "2026-07-24 00:00:16+00"}


def listing(market_id: str = SLUG, *, is_last: bool = True) -> Listing:
    window = replace(make_market(), market_id=market_id, venue="polymarket")
    books = tuple(Instrument("polymarket", key, market_id, token, "BTC") for key, token in (("1", UP), ("2", DOWN)))
    ends_ns = window.close_ns if is_last else window.close_ns + 1
    return Listing(window, books, condition_id=CONDITION, ends_ns=ends_ns)


def ended(gamma: dict[str, Any] | None, clob: dict[str, Any] | None = None, of: Listing | None = None) -> Any:
    answers: dict[str, Any] = {}
    if gamma is not None:
        one = market(SLUG, START_S, START_S + 300, clobTokenIds='["1","2"]', **gamma)
        answers[f"{GAMMA}/markets/slug/{SLUG}"] = json.dumps(one).encode()
    if clob is not None:
        answers[f"{CLOB}/markets/{CONDITION}"] = json.dumps(clob).encode()
    return asyncio.run(Polymarket(URLS).outcome(FakeRest(answers), of or listing())).payoff_up


def tokens(up: bool, down: bool, *, closed: bool = True) -> dict[str, Any]:
    return {
        "closed": closed,
        "tokens": [{"token_id": "2", "outcome": "Down", "price": 0, "winner": down},
                   {"token_id": "1", "outcome": "Up", "price": 1, "winner": up}],
    }  # fmt: skip


@pytest.mark.parametrize(("prices", "payoff"), [(("1", "0"), 1.0), (("0", "1"), 0.0), (("0.5", "0.5"), 0.5)])
def test_a_resolved_market_pays_what_the_catalogue_says(prices: tuple[str, str], payoff: float) -> None:
    assert ended(RESOLVED | {"outcomePrices": json.dumps(prices)}) == payoff


def test_the_payoff_is_of_up_where_the_outcomes_are_turned() -> None:
    turned = {"outcomes": '["Down", "Up"]', "clobTokenIds": '["2","1"]', "outcomePrices": '["1", "0"]'}
    one = market(SLUG, START_S, START_S + 300, **RESOLVED, **turned)
    rest = FakeRest({f"{GAMMA}/markets/slug/{SLUG}": json.dumps(one).encode()})

    assert asyncio.run(Polymarket(URLS).outcome(rest, listing())).payoff_up == 0.0


@pytest.mark.parametrize(
    "changed",
    [
        {"outcomePrices": '["0.999", "0.001"]'},
        {"umaResolutionStatus": "proposed"},
        {"umaResolutionStatus": None},
        {"closed": False},
        {"outcomePrices": "nonsense"},
    ],
)
def test_a_market_that_is_not_resolved_has_no_outcome_however_sure_its_price(changed: dict[str, Any]) -> None:
    assert ended(RESOLVED | {"outcomePrices": '["1", "0"]'} | changed) is None


def test_the_exchange_is_asked_where_the_catalogue_is_late() -> None:
    assert ended({}, tokens(up=False, down=True)) == 0.0
    assert ended(None, tokens(up=True, down=False)) == 1.0


@pytest.mark.parametrize(
    "said", [tokens(up=False, down=False), tokens(up=True, down=True), tokens(up=True, down=False, closed=False)]
)
def test_no_winner_or_two_of_them_is_no_outcome(said: dict[str, Any]) -> None:
    assert ended({}, said) is None


def test_an_hour_out_of_the_middle_of_a_market_has_no_outcome() -> None:
    said = RESOLVED | {"outcomePrices": '["1", "0"]'}

    assert ended(said, of=listing(f"{SLUG}#2026-07-24T00", is_last=False)) is None
    assert ended(said, of=listing(f"{SLUG}#2026-07-24T00")) == 1.0


def test_a_condition_of_the_second_protocol_is_padded_for_the_exchange() -> None:
    assert clob_id("0x" + "a" * 62) == "0x" + "a" * 62 + "00"
    assert clob_id(CONDITION) == CONDITION

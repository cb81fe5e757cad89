"""Tokens, fees and rules as a market states them, for both versions of the protocol."""

import json
from typing import Any

import msgspec
import pytest

from observer.kit.clock import parse_iso
from observer.venues.fees import FREE, POLYMARKET_CRYPTO
from observer.venues.polymarket.gamma import Event, Market
from observer.venues.polymarket.listing import NotListed, fees_of, rule_of, tokens_of
from tests.samples.polymarket_catalogue import event, market

START_S = 1_784_850_900
NOW_NS = parse_iso("2026-11-25T12:00:00Z")
YES_ID = str((1 << 248) | (12345 << 104))
NO_ID = str((1 << 248) | (12345 << 104) | 1)


def read(**changed: Any) -> Market:
    one = market("btc-updown-5m-1784850900", START_S, START_S + 300, **changed)
    return msgspec.json.Decoder(Market, strict=False).decode(json.dumps(one))


def test_tokens_are_read_out_of_a_string_that_holds_a_list() -> None:
    assert tokens_of(read(clobTokenIds='["726", "577"]')) == ("726", "577")


@pytest.mark.parametrize(
    ("outcomes", "wanted"),
    [('["Up", "Down"]', ("1", "2")), ('["Down", "Up"]', ("2", "1")), ('["No", "Yes"]', ("2", "1")),
     ('["Lakers", "Celtics"]', ("1", "2"))],
)  # fmt: skip
def test_up_is_the_token_that_the_outcomes_name(outcomes: str, wanted: tuple[str, str]) -> None:
    assert tokens_of(read(outcomes=outcomes, clobTokenIds='["1", "2"]')) == wanted


@pytest.mark.parametrize("positions", [[YES_ID, NO_ID], json.dumps([YES_ID, NO_ID])])
def test_a_market_of_the_second_protocol_is_known_by_its_positions(positions: object) -> None:
    assert tokens_of(read(version="v2", clobTokenIds=None, positionIds=positions)) == (YES_ID, NO_ID)


def test_the_version_decides_even_where_both_kinds_of_ids_are_there() -> None:
    both = {"clobTokenIds": '["1", "2"]', "positionIds": [YES_ID, NO_ID]}

    assert tokens_of(read(version="v1", **both)) == ("1", "2")
    assert tokens_of(read(version="v2", **both)) == (YES_ID, NO_ID)


@pytest.mark.parametrize("positions", [[NO_ID, YES_ID], [YES_ID, str(int(NO_ID) | (1 << 50))], ["1", "2"]])
def test_ids_that_cannot_be_positions_are_refused(positions: list[str]) -> None:
    with pytest.raises(NotListed):
        tokens_of(read(version="v2", positionIds=positions))


@pytest.mark.parametrize("ids", [None, "", "[]", '["",""]'])
def test_tokens_that_are_not_there_yet_may_come(ids: str | None) -> None:
    with pytest.raises(NotListed) as caught:
        tokens_of(read(clobTokenIds=ids))

    assert caught.value.is_early


@pytest.mark.parametrize(
    ("changed", "is_crypto", "name", "rate"),
    [
        ({}, True, "polymarket-crypto-v2", 0.07),  # as stated, and known
        ({"feeSchedule": {"rate": "0.072", "exponent": "1"}}, True, "polymarket-crypto_fees_v2-0.072", 0.072),
        ({"feeSchedule": {"rate": 0.05, "exponent": 1}, "feeType": None}, False, "polymarket-stated-0.05", 0.05),
        ({"feeSchedule": None}, True, "polymarket-crypto-v2", 0.07),  # by date
        ({"feeSchedule": None}, False, "polymarket-unstated", 0.05),  # the dearest, so that nobody is flattered
        ({"feesEnabled": False}, True, FREE.name, 0.0),
        ({"feesEnabled": None, "feeSchedule": None}, False, FREE.name, 0.0),
    ],
)
def test_fees_are_those_the_market_states_and_else_those_of_its_day(
    changed: dict[str, Any], is_crypto: bool, name: str, rate: float
) -> None:
    fees = fees_of(read(**changed), NOW_NS, is_crypto=is_crypto)

    assert (fees.name, fees.rate) == (name, rate)


def test_a_market_of_last_year_that_states_no_fees_had_the_fees_of_last_year() -> None:
    assert fees_of(read(feeSchedule=None), parse_iso("2026-02-01T00:00:00Z"), is_crypto=True) == POLYMARKET_CRYPTO[1]


def test_the_rule_names_the_look_back_the_source_and_the_venues_words() -> None:
    one = msgspec.json.decode(json.dumps(event(market("m", START_S, START_S + 300))), type=Event, strict=False)

    rule = rule_of(one, read(description="This market\n resolves to Up if ..."))

    assert rule == (
        "TWAP of the last 60 s; source https://data.chain.link/streams/btc-usd; This market resolves to Up if ..."
    )

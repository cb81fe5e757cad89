"""Which windows are found, when they are asked for again, and what is left out."""

import asyncio
from typing import Any

import pytest

from observer.kit.clock import NS_PER_S, parse_iso
from observer.ports import Listing, RestError, Selection
from observer.venues.polymarket import Polymarket, long
from observer.venues.polymarket.gamma import Gamma
from observer.venues.polymarket.long import MAX_MARKETS, MAX_PAGES
from observer.venues.urls import URLS
from tests.samples.polymarket_catalogue import Catalogue, event, market, stamp

NOON_S = parse_iso("2026-11-25T12:00:00Z") // NS_PER_S


def found(catalogue: Catalogue, words: str, now_s: int, venue: Polymarket | None = None) -> list[Listing]:
    venue = venue or Polymarket(URLS)
    return asyncio.run(venue.discover(catalogue.rest, Selection(tuple(words.split())), now_s * NS_PER_S))


def rolling(coin: str, span: str, start_s: int, length_s: int, **changed: Any) -> dict[str, Any]:
    return event(market(f"{coin}-updown-{span}-{start_s}", start_s, start_s + length_s, **changed))


def ids(listings: list[Listing]) -> list[str]:
    return [listing.market.market_id for listing in listings]


def test_the_window_that_is_open_is_found_by_its_slug() -> None:
    catalogue = Catalogue()
    catalogue.add(rolling("btc", "15m", NOON_S, 900))

    (listing,) = [one for one in found(catalogue, "btc", NOON_S + 100) if one.market.series == "btc-updown-15m"]

    assert listing.market.market_id == f"btc-updown-15m-{NOON_S}"
    assert (listing.market.open_ns, listing.market.close_ns) == (NOON_S * NS_PER_S, (NOON_S + 900) * NS_PER_S)
    assert listing.ends_ns == listing.market.close_ns
    assert {"crypto", "btc", "15m"} <= set(listing.tags)
    assert listing.market.symbol == "BTC"


@pytest.mark.parametrize(("before_s", "is_found"), [(119, True), (121, False)])
def test_the_next_window_is_found_two_minutes_ahead(before_s: int, is_found: bool) -> None:
    catalogue = Catalogue()
    catalogue.add(rolling("eth", "5m", NOON_S, 300))

    listings = found(catalogue, "eth", NOON_S - before_s)

    assert (f"eth-updown-5m-{NOON_S}" in ids(listings)) == is_found


@pytest.mark.parametrize("start", ["2026-07-25T12:00:00Z", "2026-11-25T13:00:00Z"])  # New York's summer and winter
def test_four_hour_windows_are_found_on_new_yorks_grid_in_summer_and_winter(start: str) -> None:
    start_s = parse_iso(start) // NS_PER_S
    catalogue = Catalogue()
    catalogue.add(rolling("btc", "4h", start_s, 14_400))

    for now_s in (start_s - 60, start_s, start_s + 7_000, start_s + 14_399):
        assert f"btc-updown-4h-{start_s}" in ids(found(catalogue, "4h", now_s))


def test_hourly_windows_are_found_through_their_series_and_tell_their_own_time() -> None:
    catalogue = Catalogue()
    catalogue.series["solana-up-or-down-hourly"] = "10122"
    slug = "solana-up-or-down-november-25-2026-7am-et"
    catalogue.of_series["10122"] = [
        event(market(slug, NOON_S, NOON_S + 3600)),
        event(market("solana-up-or-down-november-25-2026-8am-et", NOON_S + 3600, NOON_S + 7200)),
    ]

    listings = found(catalogue, "sol", NOON_S + 60)

    assert ids(listings) == [slug]
    assert listings[0].market.series == "sol-updown-1h"
    assert listings[0].market.open_ns == NOON_S * NS_PER_S


def test_a_new_market_without_tokens_is_asked_for_again_until_it_has_them() -> None:
    venue, catalogue = Polymarket(URLS), Catalogue()
    catalogue.add(rolling("btc", "15m", NOON_S, 900, clobTokenIds="[]"))

    before = found(catalogue, "15m", NOON_S - 60, venue)
    catalogue.add(rolling("btc", "15m", NOON_S, 900))
    after = found(catalogue, "15m", NOON_S - 30, venue)

    assert ids(before) == []
    assert ids(after) == [f"btc-updown-15m-{NOON_S}"]


def test_a_window_is_asked_for_until_its_price_to_beat_is_known_and_then_no_more() -> None:
    venue, catalogue = Polymarket(URLS), Catalogue()
    one = rolling("btc", "15m", NOON_S, 900)
    catalogue.add(one)
    slug = one["slug"]

    early = found(catalogue, "15m", NOON_S - 60, venue)
    one["eventMetadata"] = {"priceToBeat": 65048.078902260626}
    opened = found(catalogue, "15m", NOON_S + 5, venue)
    n_asked = sum(slug in url for url in catalogue.rest.asked)
    found(catalogue, "15m", NOON_S + 35, venue)

    assert early[0].market.strike is None
    assert opened[0].market.strike == 65048.078902260626
    assert sum(slug in url for url in catalogue.rest.asked) == n_asked == 2


def test_a_part_that_fails_does_not_keep_the_rest_from_being_listed() -> None:
    catalogue = Catalogue()
    catalogue.add(rolling("btc", "15m", NOON_S, 900))
    catalogue.by_slug[f"eth-updown-15m-{NOON_S}"] = RestError("bad gateway", 502)

    assert f"btc-updown-15m-{NOON_S}" in ids(found(catalogue, "btc eth", NOON_S + 1))


def test_discovery_fails_where_nothing_answers() -> None:
    catalogue = Catalogue()
    catalogue.rest.answers.clear()

    with pytest.raises(RestError):
        found(catalogue, "zec", NOON_S)


@pytest.mark.parametrize(
    "changed",
    [
        {"endDate": stamp(NOON_S + 901)},
        {"eventStartTime": stamp(NOON_S - 900), "endDate": stamp(NOON_S)},
        {"version": "v3"},
        {"outcomes": '["Up"]'},
        {"outcomes": "Up, Down"},
        {"clobTokenIds": '["1","1"]'},
        {"clobTokenIds": '["0x1","0x2"]'},
        {"orderPriceMinTickSize": 2},
        {"feeSchedule": {"rate": -1, "exponent": 1}},
        {"endDate": "yesterday"},
        {"active": "sometimes"},
    ],
)
def test_a_market_that_contradicts_itself_is_left_out_and_said(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = Catalogue()
    catalogue.add(rolling("btc", "15m", NOON_S, 900, **changed))
    catalogue.add(rolling("eth", "15m", NOON_S, 900))

    listings = found(catalogue, "15m", NOON_S + 1)

    assert ids(listings) == [f"eth-updown-15m-{NOON_S}"]
    assert f"btc-updown-15m-{NOON_S}" in caplog.text


def long_event(name: str, end_s: int, tag: str = "politics", **changed: Any) -> dict[str, Any]:
    fields = {"outcomes": '["Yes", "No"]', "eventStartTime": None, "feeSchedule": {"rate": 0.04, "exponent": 1}}
    return event(
        market(name, NOON_S - 86_400, end_s, **(fields | changed)), tags=[{"id": "2", "label": tag, "slug": tag}],
        cryptoMarketConfig=None,
    )  # fmt: skip


def test_a_long_market_is_cut_into_hours_that_share_their_tokens() -> None:
    venue, catalogue = Polymarket(URLS), Catalogue()
    catalogue.of_tag["politics"] = [long_event("fed-cuts", NOON_S + 5 * 86_400)]

    (now,) = found(catalogue, "politics", NOON_S + 600, venue)
    ahead = found(catalogue, "politics", NOON_S + 3_500, venue)

    assert now.market.market_id == "fed-cuts#2026-11-25T12"
    assert (now.market.open_ns, now.market.close_ns) == (NOON_S * NS_PER_S, (NOON_S + 3600) * NS_PER_S)
    assert now.ends_ns == (NOON_S + 5 * 86_400) * NS_PER_S
    assert ids(ahead) == ["fed-cuts#2026-11-25T12", "fed-cuts#2026-11-25T13"]
    assert [i.key for i in ahead[0].instruments] == [i.key for i in ahead[1].instruments]


def test_the_last_hour_ends_with_the_market_and_later_trading_is_a_window_of_its_own() -> None:
    catalogue = Catalogue()
    catalogue.of_tag["sports"] = [long_event("match", NOON_S + 1800, "sports")]

    (last,) = found(catalogue, "sports", NOON_S + 600)
    (late,) = found(catalogue, "sports", NOON_S + 2000)

    assert (last.market.market_id, last.market.close_ns) == ("match#2026-11-25T12", last.ends_ns)
    assert late.market.market_id == "match#2026-11-25T12:30"
    assert late.ends_ns < late.market.close_ns


def test_only_the_most_traded_long_markets_are_recorded_and_they_stay_chosen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    venue, catalogue = Polymarket(URLS), Catalogue()
    end_s = NOON_S + 86_400
    many = [long_event(f"m{i}", end_s, volume24hr=float(i)) for i in range(MAX_MARKETS + 20)]
    catalogue.of_tag["politics"] = many

    first = found(catalogue, "politics", NOON_S, venue)
    for i, one in enumerate(many):
        one["markets"][0]["volume24hr"] = float(-i)  # now the others are traded more
    again = found(catalogue, "politics", NOON_S + 700, venue)

    assert len(first) == MAX_MARKETS
    assert min(int(one.market.series[1:]) for one in first) == 20
    assert set(ids(again)) == set(ids(first))
    assert f"the {MAX_MARKETS} most traded are recorded" in caplog.text


def test_the_catalogue_is_read_page_by_page_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    catalogue = Catalogue()
    catalogue.page = 2
    catalogue.of_tag["politics"] = [long_event(f"m{i}", NOON_S + 86_400) for i in range(2 * MAX_PAGES + 1)]

    listings = found(catalogue, "politics", NOON_S)

    assert len(listings) == 2 * MAX_PAGES
    assert f"more than {MAX_PAGES} pages" in caplog.text


def test_a_catalogue_that_cannot_order_is_read_in_its_own_order() -> None:
    catalogue = Catalogue()
    catalogue.can_order = False
    catalogue.of_tag["politics"] = [long_event("fed-cuts", NOON_S + 86_400)]

    assert len(found(catalogue, "politics", NOON_S)) == 1


def test_closed_markets_and_rolling_windows_are_no_long_markets() -> None:
    catalogue = Catalogue()
    catalogue.of_tag["crypto"] = [
        rolling("btc", "15m", NOON_S, 900),
        long_event("closed", NOON_S + 86_400, "crypto", closed=True),
        long_event("halted", NOON_S + 86_400, "crypto", acceptingOrders=False),
        long_event("bitcoin-up-or-down-november-25-2026-7am-et", NOON_S + 3600, "crypto", eventStartTime=None),
        long_event("bitcoin-up-or-down-on-november-26", NOON_S + 86_400, "crypto"),
    ]

    listings = found(catalogue, "crypto", NOON_S + 3_000)

    assert ids(listings) == ["bitcoin-up-or-down-on-november-26#2026-11-25T12"]


def test_long_markets_are_read_every_ten_minutes_only() -> None:
    venue, catalogue = Polymarket(URLS), Catalogue()
    catalogue.of_tag["politics"] = [long_event("fed-cuts", NOON_S + 86_400)]

    for now_s in (NOON_S, NOON_S + 30, NOON_S + 570):
        assert len(found(catalogue, "politics", now_s, venue)) == 1
    assert len(catalogue.rest.asked) == 1


def test_rolling_windows_are_listed_where_no_category_can_be_read() -> None:
    venue, catalogue = Polymarket(URLS), Catalogue()
    catalogue.add(rolling("btc", "15m", NOON_S, 900))
    catalogue.of_tag["crypto"] = RestError("bad gateway", 502)

    listings = found(catalogue, "crypto", NOON_S, venue)
    catalogue.of_tag["crypto"] = [long_event("daily", NOON_S + 86_400, "crypto")]

    assert ids(listings) == [f"btc-updown-15m-{NOON_S}"]
    assert len(found(catalogue, "crypto", NOON_S + 30, venue)) == 2


def test_a_category_that_cannot_be_read_is_an_error_where_nothing_else_was_asked_for() -> None:
    catalogue = Catalogue()
    catalogue.of_tag["politics"] = RestError("bad gateway", 502)

    with pytest.raises(RestError):
        found(catalogue, "politics", NOON_S)


def test_a_catalogue_that_hangs_does_not_keep_rolling_windows_from_being_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long, "_PATIENCE_S", 0.01)
    catalogue = Catalogue()
    catalogue.add(rolling("btc", "15m", NOON_S, 900))

    async def hangs(*_: object) -> list[object]:
        await asyncio.sleep(3600)
        return []

    monkeypatch.setattr(Gamma, "events_ending", hangs)

    assert ids(found(catalogue, "crypto", NOON_S)) == [f"btc-updown-15m-{NOON_S}"]


def test_everything_is_asked_for_where_no_words_are_given() -> None:
    catalogue = Catalogue()
    catalogue.add(rolling("zec", "5m", NOON_S, 300))
    catalogue.of_tag["weather"] = [long_event("rain", NOON_S + 86_400, "weather")]
    catalogue.of_tag["tech"] = RestError("bad gateway", 502)

    listings = found(catalogue, "", NOON_S + 1)

    assert {f"zec-updown-5m-{NOON_S}", "rain#2026-11-25T12"} == set(ids(listings))


@pytest.mark.parametrize(("words", "days"), [("", 30), ("politics", 500)])
def test_a_category_that_was_named_is_looked_at_further_ahead(words: str, days: int) -> None:
    catalogue = Catalogue()
    catalogue.of_tag["politics"] = [long_event("election", NOON_S + 75 * 86_400)]

    found(catalogue, words, NOON_S)
    end = f"end_date_max={stamp(NOON_S + days * 86_400)}".replace(":", "%3A")

    assert any("tag_slug=politics" in url and end in url for url in catalogue.rest.asked), catalogue.rest.asked

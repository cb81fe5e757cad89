"""Which Kalshi markets are listed, cut, charged and described how."""

import asyncio
from typing import Any

import msgspec
import pytest

from observer.kit.clock import NS_PER_S, iso, parse_iso
from observer.ports import Ended, Listing, Selection
from observer.records import UP
from observer.store.checks import market_complaint
from observer.venues.kalshi.discovery import A_CATEGORY
from observer.venues.urls import URLS
from tests.samples import kalshi_session as kalshi

BASE = URLS["kalshi.rest"]
NOW_NS = parse_iso("2026-11-20T19:03:01Z")
ALL = Selection()


def market(ticker: str, opens: str, closes: str, **more: Any) -> dict[str, Any]:
    return {
        "ticker": ticker, "event_ticker": ticker.rpartition("-")[0], "market_type": "binary", "status": "active",
        "open_time": opens, "close_time": closes, "rules_primary": " The index is at or above the strike. ",
        "strike_type": "greater_or_equal", "floor_strike": 97000.12, "price_level_structure": "tapered_deci_cent",
        "volume_24h_fp": "10.00", "result": "", "yes_bid_dollars": "0.5400", **more,
    }  # fmt: skip


def series(ticker: str, category: str, **more: Any) -> dict[str, Any]:
    return {"ticker": ticker, "category": category, "fee_type": "quadratic", "fee_multiplier": 1, "tags": None, **more}


class FakeRest:
    """The venue's REST API as these tests need it; writes down what it was asked."""

    def __init__(self, rows: list[dict[str, Any]], events: list[dict[str, Any]], a_page: int = 2) -> None:
        self.rows, self.events, self.a_page = rows, events, a_page
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.markets: list[dict[str, Any]] = []

    async def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
        assert url.startswith(BASE)
        assert headers is None
        path, params = url.removeprefix(BASE), params or {}
        self.asked.append((path, dict(params)))
        if path == "/series":
            return msgspec.json.encode({"series": [s for s in self.rows if s["category"] == params["category"]]})
        if path == "/events":
            assert params["with_nested_markets"] == "true"
            start = int(params.get("cursor", 0))
            page = self.events[start : start + self.a_page]
            cursor = str(start + self.a_page) if start + self.a_page < len(self.events) else ""
            return msgspec.json.encode({"events": page, "cursor": cursor})
        if path == "/markets":
            assert "status" not in params
            wanted = [m for m in self.markets if m["ticker"].startswith(params["series_ticker"] + "-")]
            span = range(int(params["min_close_ts"]), int(params["max_close_ts"]) + 1)
            return msgspec.json.encode(
                {"markets": [m for m in wanted if parse_iso(m["close_time"]) // NS_PER_S in span], "cursor": ""}
            )
        ticker = path.removeprefix("/markets/").removesuffix("/orderbook")
        if path.endswith("/orderbook"):
            return msgspec.json.encode({"orderbook_fp": {"ticker": ticker}})
        return msgspec.json.encode({"market": next(m for m in self.markets if m["ticker"] == ticker)})

    async def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        raise AssertionError("Kalshi's market data is never posted for")


def fake() -> FakeRest:
    rest = FakeRest(
        [
            series("KXBTC15M", "Crypto"), series("KXETH15M", "Crypto"), series("KXBTCD", "Crypto", tags=["Hourly"]),
            series("KXNBAGAME", "Sports", tags=["Basketball"]), series("KXFED", "Economics", fee_multiplier=0.5),
            series("KXFLAT", "Politics", fee_type="flat"), series("KXSENATE", "Elections"),
        ],
        [
            {"event_ticker": "A", "series_ticker": "KXFED", "markets": [
                market("KXFED-26DEC-T4", "2026-01-01T00:00:00Z", "2026-12-10T19:00:00Z"),
                market("KXFED-26DEC-T5", "2026-01-01T00:00:00Z", "2026-12-10T19:00:00Z", volume_24h_fp="0.00"),
                market("KXFED-26DEC-S", "2026-01-01T00:00:00Z", "2026-12-10T19:00:00Z", market_type="scalar"),
            ]},
            {"event_ticker": "B", "series_ticker": "KXNBAGAME", "markets": [
                market("KXNBAGAME-X-LAL", "2026-11-20T19:30:00Z", "2026-11-20T19:50:00Z", strike_type="structured"),
                market("KXNBAGAME-X-BAD", "whenever", "2026-11-20T19:50:00Z"),
            ]},
            {"event_ticker": "C", "series_ticker": "KXFLAT", "markets": [
                market("KXFLAT-1", "2026-01-01T00:00:00Z", "2026-12-10T19:00:00Z"),
            ]},
            {"event_ticker": "D", "series_ticker": "KXBTCD", "markets": [
                market("KXBTCD-1", "2026-11-20T18:00:00Z", "2026-11-20T20:00:00Z", strike_type="less"),
            ]},
            {"event_ticker": "E", "series_ticker": "KXSENATE", "markets": None},
            {"event_ticker": "F", "series_ticker": "KXBTC15M", "markets": [
                market(kalshi.TICKER, "2026-11-20T19:00:00Z", "2026-11-20T19:15:00Z"),
            ]},
        ],
    )  # fmt: skip
    rest.markets = [
        market(kalshi.TICKER, "2026-11-20T19:00:00Z", "2026-11-20T19:15:00Z"),
        market("KXBTC15M-26NOV201430-30", "2026-11-20T19:15:00Z", "2026-11-20T19:30:00Z", status="initialized"),
        market("KXBTC15M-26NOV201400-00", "2026-11-20T18:45:00Z", "2026-11-20T19:00:00Z", status="determined"),
        market(kalshi.OTHER, "2026-11-20T15:00:00Z", "2026-11-20T19:15:00Z", floor_strike=None),
        market("KXETH15M-ODD", "2026-11-20T19:00:00Z", "2026-11-20T19:07:00Z"),
        market("KXETH15M-OVER", "2026-11-20T19:00:00Z", "2026-11-20T19:15:00Z", status="closed"),
    ]
    return rest


def found(rest: FakeRest, selection: Selection = ALL, now_ns: int = NOW_NS, made: Any = None) -> dict[str, Listing]:
    listings = asyncio.run((made or kalshi.venue()).discover(rest, selection, now_ns))
    assert len({listing.market.market_id for listing in listings}) == len(listings)
    return {listing.market.market_id: listing for listing in listings}


def test_a_quarter_hour_market_is_its_own_window() -> None:
    listing = found(fake())[kalshi.TICKER]

    assert iso(listing.market.open_ns) == "2026-11-20T19:00:00.000Z"
    assert iso(listing.market.close_ns) == "2026-11-20T19:15:00.000Z"
    assert listing.ends_ns == listing.market.close_ns
    assert (listing.market.series, listing.market.symbol) == ("KXBTC15M", "BTC")
    assert listing.market.strike == 97000.12
    assert listing.market.price_tick == 0.001
    assert listing.market.lot_shares == 0.01
    assert listing.market.settlement_rule == "The index is at or above the strike."
    assert listing.condition_id == kalshi.TICKER
    assert listing.is_mirrored
    [up] = listing.instruments
    assert (up.key, up.token, up.market_id) == (kalshi.TICKER, UP, kalshi.TICKER)
    assert {"crypto", "btc", "15m"} <= set(listing.tags)


def test_only_windows_that_are_open_or_open_within_minutes_are_listed() -> None:
    rest = fake()

    assert set(found(rest, Selection(("btc", "15m")))) & {m["ticker"] for m in rest.markets} == {
        kalshi.TICKER, kalshi.OTHER,
    }  # fmt: skip
    later = found(rest, Selection(("btc",)), NOW_NS + 500 * NS_PER_S)
    assert "KXBTC15M-26NOV201430-30" in later


def test_a_market_open_for_hours_before_its_quarter_is_recorded_in_its_quarter_only() -> None:
    listing = found(fake())[kalshi.OTHER]

    assert iso(listing.market.open_ns) == "2026-11-20T19:00:00.000Z"
    assert listing.market.strike is None


def test_long_markets_are_cut_at_the_utc_hour() -> None:
    listings = found(fake())

    fed = listings["KXFED-26DEC-T4#2026-11-20T19"]
    assert (iso(fed.market.open_ns), iso(fed.market.close_ns)) == (
        "2026-11-20T19:00:00.000Z", "2026-11-20T20:00:00.000Z",
    )  # fmt: skip
    assert iso(fed.ends_ns) == "2026-12-10T19:00:00.000Z"
    assert fed.instruments[0].key == fed.condition_id == "KXFED-26DEC-T4"
    game = listings["KXNBAGAME-X-LAL#2026-11-20T19"]
    assert (iso(game.market.open_ns), iso(game.market.close_ns)) == (
        "2026-11-20T19:30:00.000Z", "2026-11-20T19:50:00.000Z",
    )  # fmt: skip
    assert game.market.strike is None
    assert set(game.tags) == {"sports", "basketball", "kxnbagame"}


def test_the_next_hour_is_listed_five_minutes_before_it_begins() -> None:
    early = found(fake(), Selection(("finance",)), parse_iso("2026-11-20T19:54:59Z"))
    late = found(fake(), Selection(("finance",)), parse_iso("2026-11-20T19:55:00Z"))

    assert [*early] == ["KXFED-26DEC-T4#2026-11-20T19"]
    assert [*late] == ["KXFED-26DEC-T4#2026-11-20T19", "KXFED-26DEC-T4#2026-11-20T20"]


def test_what_nobody_trades_is_not_binary_has_no_time_or_no_fee_law_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = " ".join(found(fake()))

    assert not any(
        name in ids for name in ("KXFED-26DEC-T5", "KXFED-26DEC-S", "KXNBAGAME-X-BAD", "KXFLAT", "KXETH15M-O")
    )
    told = caplog.text
    assert "KXNBAGAME-X-BAD opens or closes at a time that cannot be read" in told
    assert "series KXFLAT charges 'flat', a fee without a law" in told


def test_every_listed_market_may_be_stored() -> None:
    listings = found(fake())

    assert len(listings) == 5
    assert [market_complaint(listing.market) for listing in listings.values()] == [None] * 5


def test_a_series_pays_its_multiple_of_the_fee() -> None:
    listings = found(fake())

    half, whole = listings["KXFED-26DEC-T4#2026-11-20T19"].market.fees, listings[kalshi.TICKER].market.fees
    assert (half.name, half.rate) == ("kalshi-quadratic-x0.5", 0.035)
    assert (whole.name, whole.rate, whole.round_up) == ("kalshi-quadratic", 0.07, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("btc",), {kalshi.TICKER, "KXBTCD-1#2026-11-20T19"}),
        (("eth",), {kalshi.OTHER}),
        (("crypto",), {kalshi.TICKER, kalshi.OTHER, "KXBTCD-1#2026-11-20T19"}),
        (("15m",), {kalshi.TICKER, kalshi.OTHER}),
        (("basketball",), {"KXNBAGAME-X-LAL#2026-11-20T19"}),
        (("sports", "finance"), {"KXNBAGAME-X-LAL#2026-11-20T19", "KXFED-26DEC-T4#2026-11-20T19"}),
        (("nothing-like-it",), set()),
    ],
)
def test_markets_are_chosen_by_coin_category_or_tag(words: tuple[str, ...], expected: set[str]) -> None:
    selection = Selection(words)
    listings = found(fake(), selection)

    assert {market_id for market_id, listing in listings.items() if selection.wants(listing)} == expected


def test_only_categories_that_may_be_meant_are_asked_for() -> None:
    rest = fake()
    found(rest, Selection(("sports",)))

    assert [params["category"] for path, params in rest.asked if path == "/series"] == ["Crypto", "Sports"]
    assert not any(path == "/markets" for path, _ in rest.asked)


def test_the_most_traded_of_a_category_are_chosen_once_an_hour() -> None:
    opens, closes = "2026-01-01T00:00:00Z", "2026-12-10T19:00:00Z"
    many = [market(f"KXFED-{i:03d}", opens, closes, volume_24h_fp=f"{100 - i}.00") for i in range(100)]
    rest, made, finance = fake(), kalshi.venue(), Selection(("finance",))
    rest.events = [
        {"event_ticker": "A", "series_ticker": "KXFED", "markets": rows} for rows in (many[50:], many, many[:50])
    ]

    first = found(rest, finance, made=made)
    asked = len(rest.asked)
    rest.events = []
    again = found(rest, finance, NOW_NS + 60 * NS_PER_S, made=made)

    volumes = {row["ticker"]: float(row["volume_24h_fp"]) for row in many}
    assert sorted(volumes[listing.condition_id] for listing in first.values()) == [*range(61, 101)]
    assert len(first) == A_CATEGORY
    assert [*again] == [*first]
    assert len(rest.asked) == asked


@pytest.mark.parametrize(
    ("row", "step"),
    [
        ({"price_level_structure": "linear_cent"}, 0.01),
        ({"price_level_structure": "deci_cent"}, 0.001),
        ({"price_level_structure": "of the future"}, 0.01),
        ({"price_ranges": [{"start": "0", "end": "1", "step": step} for step in ("0.01", "0.0010")]}, 0.001),
        ({"price_ranges": [{"start": "0", "end": "1", "step": "NaN"}]}, 0.01),
    ],
)  # fmt: skip
def test_the_price_tick_is_the_smallest_step_anywhere(row: dict[str, Any], step: float) -> None:
    rest = fake()
    rest.markets = [market(kalshi.TICKER, "2026-11-20T19:00:00Z", "2026-11-20T19:15:00Z", **row)]

    assert found(rest, Selection(("btc",)))[kalshi.TICKER].market.price_tick == step


@pytest.mark.parametrize(
    ("row", "ended"),
    [
        ({"status": "finalized", "result": "yes", "settlement_value_dollars": "1.0000"}, 1.0),
        ({"status": "finalized", "result": "no", "settlement_value_dollars": "0.0000"}, 0.0),
        ({"status": "finalized", "result": "scalar", "settlement_value_dollars": "0.5000"}, 0.5),
        ({"status": "finalized", "result": "scalar", "settlement_value_dollars": "0.3700"}, None),
        ({"status": "determined", "result": "yes"}, None),
        ({"status": "disputed", "result": "yes"}, None),
        ({"status": "closed", "result": ""}, None),
    ],
)
def test_an_outcome_is_official_when_nothing_can_be_disputed(row: dict[str, Any], ended: float | None) -> None:
    rest = fake()
    listing = found(rest)[kalshi.TICKER]
    rest.markets = [market(kalshi.TICKER, "2026-11-20T19:00:00Z", "2026-11-20T19:15:00Z", **row)]

    answer = asyncio.run(kalshi.venue().outcome(rest, listing))

    assert isinstance(answer, Ended)
    assert answer.payoff_up == ended
    assert answer.kind == "official"


def test_a_book_is_asked_for_by_its_ticker() -> None:
    rest = fake()

    asyncio.run(kalshi.venue().snapshot(rest, kalshi.up()))

    assert rest.asked == [(f"/markets/{kalshi.TICKER}/orderbook", {})]


def test_feeds_are_the_settlement_indices_of_the_coins_asked_for() -> None:
    made = kalshi.venue()

    assert [(f.key, f.symbol, f.source) for f in made.feeds(Selection(("btc",)))] == [("BRTI", "BTC", "kalshi-cf")]
    assert len(made.feeds(ALL)) == len(made.feeds(Selection(("crypto",)))) == 5
    assert made.feeds(Selection(("sports",))) == []


def test_streams_are_split_by_how_often_their_markets_change() -> None:
    made = kalshi.venue()
    long = [kalshi.up(f"KXFED-{i:03d}", f"KXFED-{i:03d}#2026-11-20T19") for i in range(201)]

    plans = {plan.name: plan for plan in made.plan([*made.feeds(ALL), *long, kalshi.up()])}

    assert {name: len(plan.instruments) for name, plan in plans.items()} == {
        "quarter-hour": 1, "long-0": 200, "long-1": 1, "index": 5,
    }  # fmt: skip
    first = [msgspec.json.decode(frame) for frame in plans["quarter-hour"].subscribe]
    assert [command["params"]["channels"] for command in first] == [
        ["orderbook_delta"], ["trade"], ["market_lifecycle_v2"],
    ]  # fmt: skip
    assert [command["id"] for command in first] == [1, 2, 3]
    assert first[0]["params"]["use_yes_price"] is False
    assert first[1]["params"]["market_tickers"] == [kalshi.TICKER]
    assert plans["quarter-hour"].url == URLS["kalshi.ws"]

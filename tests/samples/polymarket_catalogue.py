"""A Polymarket catalogue for tests: events in the venue's schema, served as its endpoints serve them."""

import json
from typing import Any
from zlib import crc32

from observer.kit.clock import NS_PER_S, iso, parse_iso
from observer.ports import RestError
from observer.venues.urls import URLS
from tests.samples.fake_rest import FakeRest

GAMMA, CLOB = URLS["polymarket.gamma"], URLS["polymarket.clob"]
CONDITION = "0x11ba5a5ab05573dee22a32b4c5bec06f035b8660eed912fb134e7215f46bf537"


def stamp(seconds: int) -> str:
    """An ISO time as the catalogue writes it."""
    return iso(seconds * NS_PER_S).replace(".000Z", "Z")


def market(slug: str, start_s: int, end_s: int, **changed: Any) -> dict[str, Any]:
    """A market, trimmed to what is read and some of what is not."""
    number = crc32(slug.encode())
    return {
        "id": "3047949", "question": "Bitcoin Up or Down - July 23, 7:55PM-8:00PM ET", "slug": slug,
        "conditionId": CONDITION, "outcomes": '["Up", "Down"]', "outcomePrices": '["0.505", "0.495"]',
        "clobTokenIds": json.dumps([f"1{number}", f"2{number}"]), "startDate": stamp(start_s - 86_400),
        "eventStartTime": stamp(start_s), "endDate": stamp(end_s), "endDateIso": stamp(end_s)[:10],
        "active": True, "closed": False, "archived": False, "acceptingOrders": True, "enableOrderBook": True,
        "orderMinSize": 5, "orderPriceMinTickSize": 0.01, "negRisk": False, "volume24hr": 80139.758586,
        "feesEnabled": True, "feeType": "crypto_fees_v2", "makerBaseFee": 1000, "takerBaseFee": 1000,
        "feeSchedule": {"rate": 0.07, "exponent": 1, "takerOnly": True, "rebateRate": 0.2},
        "resolutionSource": "https://data.chain.link/streams/btc-usd", "umaResolutionStatuses": "[]",
    } | changed  # fmt: skip


def event(*markets: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """An event of these markets."""
    first = markets[0]
    return {
        "id": "426946", "ticker": first["slug"], "slug": first["slug"], "title": "t",
        "startTime": first["eventStartTime"], "endDate": first["endDate"], "seriesSlug": "btc-up-or-down-15m",
        "series": [{"id": "10192", "slug": "btc-up-or-down-15m", "recurrence": "15m"}],
        "tags": [{"id": "21", "label": "Crypto", "slug": "crypto"}], "markets": list(markets),
        "cryptoMarketConfig": {"id": "btc-15m-twap-60", "asset": "btc", "duration": "15m", "twapEnabled": True,
                               "twapLookbackSeconds": 60},
    } | changed  # fmt: skip


class Catalogue:
    """Events that the fake venue has; `rest` answers for it.

    Attributes:
        by_slug: slug -> event, or the error its request ends in.
        series: series slug -> number.
        of_series, of_tag: number or tag -> events; pages hold `page` of them.
    """

    def __init__(self) -> None:
        self.by_slug: dict[str, dict[str, Any] | Exception] = {}
        self.series: dict[str, str] = {}
        self.of_series: dict[str, list[dict[str, Any]]] = {}
        self.of_tag: dict[str, list[dict[str, Any]] | Exception] = {}
        self.page = 100
        self.can_order = True
        self.rest = FakeRest({
            f"{GAMMA}/events": self._events, f"{GAMMA}/series": self._series, f"{GAMMA}/events/keyset": self._keyset,
        })  # fmt: skip

    def add(self, one: dict[str, Any]) -> None:
        """Serve an event by its slug."""
        self.by_slug[one["slug"]] = one

    def _events(self, query: dict[str, str]) -> bytes:
        found = self.by_slug.get(query["slug"])
        if isinstance(found, Exception):
            raise found
        return json.dumps([found] if found else []).encode()

    def _series(self, query: dict[str, str]) -> bytes:
        number = self.series.get(query["slug"])
        return json.dumps([{"id": number, "slug": query["slug"], "recurrence": "hourly"}] if number else []).encode()

    def _keyset(self, query: dict[str, str]) -> bytes:
        if "offset" in query or ("order" in query and not self.can_order):
            raise RestError("unprocessable", 422)
        chosen = self.of_series[query["series_id"]] if "series_id" in query else self.of_tag.get(query["tag_slug"], [])
        if isinstance(chosen, Exception):
            raise chosen
        first, last = parse_iso(query["end_date_min"]), parse_iso(query["end_date_max"])
        within = [one for one in chosen if first <= parse_iso(one["endDate"]) <= last]
        start = int(query.get("after_cursor", "0"))
        rest = len(within) > start + self.page
        cursor = str(start + self.page) if rest else None
        return json.dumps({"events": within[start : start + self.page], "next_cursor": cursor}).encode()

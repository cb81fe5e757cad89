"""Gamma: events, markets, series and tags as JSON, with its traps (arrays in strings, stale events, clamped pages)."""

import base64
import json
from typing import Any

from observer.book import ASK, BID
from observer.exchange.venues.polymarket.listed import Event, Listed, Series, Tag
from observer.exchange.wire import identifier, rfc3339
from observer.kit.decimals import SCALE
from observer.records import DOWN, UP


def event_json(event: Event, now_ns: int, *, with_markets: bool = True) -> dict[str, Any]:
    """An event as `/events…` shows it."""
    is_closed = all(listed.is_closed(now_ns) for listed in event.markets)
    found: dict[str, Any] = {
        "id": str(event.number), "ticker": event.slug, "slug": event.slug, "title": event.title,
        "description": event.description, "resolutionSource": event.markets[0].source,
        "startDate": rfc3339(event.made_ns), "creationDate": rfc3339(event.made_ns),
        "endDate": rfc3339(event.end_ns, 0), "active": True, "closed": is_closed, "archived": False, "new": False,
        "featured": False, "restricted": True,
        "liquidity": 5000.5, "volume": 12000.25, "openInterest": 0, "enableOrderBook": True, "liquidityClob": 5000.5,
        "negRisk": len(event.markets) > 1, "commentCount": 0, "createdAt": rfc3339(event.made_ns),
        "updatedAt": rfc3339(now_ns), "tags": [tag_json(tag) for tag in event.tags],
    }  # fmt: skip
    if event.series is not None:
        found["series"] = [series_json(event.series)]
        found["seriesSlug"] = event.series.slug
        found["startTime"] = rfc3339(event.start_ns, 0)
    if event.asset:
        is_twap = "chain.link" in event.markets[0].source
        found["cryptoMarketConfig"] = {
            "id": f"{event.asset}-{event.span}-twap-60" if is_twap else f"{event.asset}-{event.span}",
            "asset": event.asset, "duration": event.span, "twapEnabled": is_twap,
            "twapLookbackSeconds": 60 if is_twap else 0,
        }  # fmt: skip
        found["eventMetadata"] = _metadata(event.markets[0], now_ns)
    if with_markets:
        found["markets"] = [market_json(listed, now_ns, with_event=False) for listed in event.markets]
    return found


def _metadata(listed: Listed, now_ns: int) -> dict[str, float]:
    found: dict[str, float] = {}
    if now_ns >= listed.event.start_ns and (strike := listed.strike()) is not None:
        found["priceToBeat"] = strike
    if listed.is_closed(now_ns) and (final := listed.final()) is not None:
        found["finalPrice"] = final
    return found


def market_json(listed: Listed, now_ns: int, *, with_event: bool = True) -> dict[str, Any]:
    """A market as `/markets…` shows it."""
    event, is_closed = listed.event, listed.is_closed(now_ns)
    is_ended = now_ns >= event.end_ns
    up = listed.market.books[UP]
    bid, ask = up.best(BID) / SCALE, up.best(ASK) / SCALE or 1.0
    tokens = list(listed.tokens) if listed.is_hydrated(now_ns) else []
    is_v2 = listed.version == "v2"
    found: dict[str, Any] = {
        "id": str(listed.number), "question": listed.question, "slug": listed.slug, "conditionId": listed.condition_id,
        "questionID": "0x" + identifier("question", listed.slug), "description": event.description,
        "outcomes": json.dumps(listed.outcomes),
        "outcomePrices": json.dumps(_outcome_prices(listed, bid, ask, now_ns)),
        "version": listed.version, "clobTokenIds": None if is_v2 else json.dumps(tokens),
        "startDate": rfc3339(event.made_ns), "endDate": rfc3339(event.end_ns, 0),
        "endDateIso": rfc3339(event.end_ns)[:10],
        "createdAt": rfc3339(event.made_ns), "updatedAt": rfc3339(now_ns), "active": True, "closed": is_closed,
        "archived": False, "restricted": True, "approved": True, "featured": False, "acceptingOrders": not is_closed,
        "acceptingOrdersTimestamp": rfc3339(event.made_ns, 0), "enableOrderBook": True, "bestBid": bid, "bestAsk": ask,
        "spread": round(ask - bid, 4), "lastTradePrice": listed.market.last_price[UP] / SCALE, "volume": "12000.25",
        "volumeNum": 12000.25, "volumeClob": 12000.25, "volume24hr": 12000.25, "liquidity": "5000.5",
        "liquidityNum": 5000.5, "orderMinSize": 5, "orderPriceMinTickSize": listed.market.tick / SCALE,
        "negRisk": listed.is_negative_risk, "negRiskRequestID": "", "feesEnabled": listed.fees.rate > 0,
        "makerBaseFee": 1000, "takerBaseFee": 1000, "rewardsMinSize": 50, "rewardsMaxSpread": 4.5,
        "resolutionSource": listed.source, "umaResolutionStatuses": "[]", "automaticallyActive": True,
        "automaticallyResolved": listed.source != "", "rfqEnabled": False, "clearBookOnStart": False,
    }  # fmt: skip
    if is_v2:
        found["positionIds"] = tokens
        found["resolutionStatus"] = "resolved" if is_closed else "active"
    if listed.fees.rate > 0:
        found["feeType"] = listed.fees.kind
        found["feeSchedule"] = {
            "rate": listed.fees.rate, "exponent": listed.fees.exponent, "takerOnly": True,
            "rebateRate": listed.fees.rebate,
        }  # fmt: skip
    if event.series is not None:
        found["eventStartTime"] = rfc3339(event.start_ns, 0)
    if is_closed:
        closed = rfc3339(listed.closes_ns, 0)
        found["closedTime"] = closed.replace("T", " ").replace("Z", "+00")
        found["umaEndDate"] = closed
        found["umaResolutionStatus"] = "resolved"
    elif is_ended and listed.source == "":
        found["umaResolutionStatus"] = "proposed"
    if with_event:
        found["events"] = [event_json(event, now_ns, with_markets=False)]
    return found


def _outcome_prices(listed: Listed, bid: float, ask: float, now_ns: int) -> list[str]:
    """The result once known; before, a cached middle that is not the book's."""
    if listed.is_closed(now_ns):
        up = listed.payoff_up()
        return ["0.5", "0.5"] if up is None or up == 0.5 else [str(int(up)), str(int(1 - up))]
    middle = round((bid + ask) / 2, 3)
    return [f"{middle:g}", f"{1 - middle:.3f}".rstrip("0").rstrip(".")]


def series_json(series: Series) -> dict[str, Any]:
    """A series."""
    return {
        "id": str(series.number), "slug": series.slug, "ticker": series.slug, "title": series.title,
        "seriesType": "single", "recurrence": series.recurrence, "active": True, "closed": False, "archived": False,
    }  # fmt: skip


def tag_json(tag: Tag) -> dict[str, str]:
    """A tag."""
    return {"id": str(tag.number), "label": tag.label, "slug": tag.slug}


def cursor_of(event_or_market: Event | Listed) -> str:
    """Where a page ends."""
    return base64.urlsafe_b64encode(str(event_or_market.number).encode()).decode()


def number_of(cursor: str) -> int | None:
    """The number that a cursor stands for, or None where it is no cursor of ours."""
    try:
        return int(base64.urlsafe_b64decode(cursor))
    except ValueError:
        return None


def winner_of(listed: Listed, now_ns: int) -> int | None:
    """The token that won, None before the result or where both pay half."""
    payoff = listed.payoff_up() if listed.is_closed(now_ns) else None
    return {1.0: UP, 0.0: DOWN}.get(payoff) if payoff is not None else None

"""Kalshi's REST answers, typed, and the questions asked for them."""

from collections.abc import AsyncIterator

import msgspec

from observer.kit.decimals import BadNumber, scaled
from observer.ports import Rest

_EVENTS_A_PAGE = 200
_MARKETS_A_PAGE = 1000
_MAX_PAGES = 500  # a cursor that never ends would be asked for ever


class SeriesRow(msgspec.Struct):
    """A template of recurring events: what it is about and what it charges."""

    ticker: str
    category: str = ""
    tags: list[str] | None = None
    fee_type: str = "quadratic"
    fee_multiplier: float = 1.0


class PriceRange(msgspec.Struct):
    """Prices from `start` to `end` lie `step` apart; decimal text."""

    start: str
    end: str
    step: str


class MarketRow(msgspec.Struct):
    """A market as REST describes it; money is decimal text, a strike a number."""

    ticker: str
    open_time: str
    close_time: str
    status: str = ""
    market_type: str = "binary"
    rules_primary: str = ""
    strike_type: str | None = None
    floor_strike: float | str | None = None
    price_level_structure: str | None = None
    price_ranges: list[PriceRange] | None = None
    fractional_trading_enabled: bool = True
    volume_24h_fp: str | None = None
    result: str | None = None
    settlement_value_dollars: str | None = None
    settlement_ts: str | None = None

    @property
    def volume_24h(self) -> int:
        """Contracts of the last day in units of 1e-9, 0 where the venue does not say."""
        try:
            return scaled(self.volume_24h_fp or "0")
        except BadNumber:
            return 0


class EventRow(msgspec.Struct):
    """An event of a series, with its markets."""

    event_ticker: str
    series_ticker: str = ""
    markets: list[MarketRow] | None = None


class _SeriesAnswer(msgspec.Struct):
    series: list[SeriesRow] | None = None


class _MarketsAnswer(msgspec.Struct):
    markets: list[MarketRow] | None = None
    cursor: str = ""


class _MarketAnswer(msgspec.Struct):
    market: MarketRow


class _EventsAnswer(msgspec.Struct):
    """One page of events; an empty cursor ends the pages."""

    events: list[EventRow] | None = None
    cursor: str = ""


class KalshiRest:
    """The public part of the REST API; needs no key.

    Args:
        rest: HTTP.
        base: URL of the API's root.
    """

    def __init__(self, rest: Rest, base: str) -> None:
        self._rest, self._base = rest, base

    async def series(self, category: str) -> list[SeriesRow]:
        """Every series of one of the venue's categories."""
        body = await self._rest.get(f"{self._base}/series", {"category": category})
        return msgspec.json.decode(body, type=_SeriesAnswer).series or []

    async def closing(self, series: str, from_s: int, to_s: int) -> list[MarketRow]:
        """Markets of a series that close in a span of time, open or not yet open."""
        params = {
            "series_ticker": series, "min_close_ts": str(from_s), "max_close_ts": str(to_s),
            "limit": str(_MARKETS_A_PAGE),
        }  # fmt: skip
        body = await self._rest.get(f"{self._base}/markets", params)
        return msgspec.json.decode(body, type=_MarketsAnswer).markets or []

    async def market(self, ticker: str) -> MarketRow:
        """One market."""
        return msgspec.json.decode(await self._rest.get(f"{self._base}/markets/{ticker}"), type=_MarketAnswer).market

    async def order_book(self, ticker: str) -> bytes:
        """One market's book, raw."""
        return await self._rest.get(f"{self._base}/markets/{ticker}/orderbook")

    async def open_events(self) -> AsyncIterator[EventRow]:
        """Every open event with its markets, page by page."""
        params = {"status": "open", "with_nested_markets": "true", "limit": str(_EVENTS_A_PAGE)}
        for _ in range(_MAX_PAGES):
            page = msgspec.json.decode(await self._rest.get(f"{self._base}/events", params), type=_EventsAnswer)
            for event in page.events or []:
                yield event
            if not page.cursor:
                return
            params["cursor"] = page.cursor

"""Which Kalshi markets are there to record.

Quarter-hour crypto markets are asked for at every call, series by series; a new coin is found in the list of series.
Of everything else the venue lists tens of thousands, most of them never traded: the 40 most traded of each category
are taken, chosen once for each UTC hour so that the choice does not flicker. The list of series is kept for six hours.
"""

import heapq
from dataclasses import dataclass, field

from observer.kit import log
from observer.kit.clock import NS_PER_S
from observer.ports import Listing, Rest, Selection
from observer.venues.kalshi.listing import (
    CATEGORIES,
    HOUR_NS,
    QUARTER_HOUR_NS,
    Hour,
    coin_of,
    fees_of,
    hour_of,
    is_recordable,
    quarter_hour,
)
from observer.venues.kalshi.rest import KalshiRest, MarketRow, SeriesRow

_LOG = log.get("kalshi")
LEAD_NS = 300 * NS_PER_S  # a window is listed so long before it opens
A_CATEGORY = 40  # markets of each category, beside the quarter-hour ones
_SERIES_NS = 6 * HOUR_NS
_MAX_SAID = 200
_QUARTER_HOUR_TAGS = ("crypto", "15m", "up-down")


@dataclass(slots=True)
class _Category:
    """The series of one of our categories, by ticker, and when they were read."""

    at_ns: int
    series: dict[str, SeriesRow]


@dataclass(slots=True)
class Discovery:
    """What was found so far.

    Attributes:
        base: URL of the REST API.
    """

    base: str
    _known: dict[str, _Category] = field(default_factory=dict[str, _Category])
    _hours: dict[tuple[Selection, int], list[Listing]] = field(
        default_factory=dict[tuple[Selection, int], list[Listing]]
    )
    _said: set[str] = field(default_factory=set[str])

    async def listings(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Windows that are open or open within five minutes."""
        api = KalshiRest(rest, self.base)
        categories = await self._categories(api, selection, now_ns)
        found = await self._quarter_hours(api, categories.get("crypto", {}), selection, now_ns)
        this_hour_ns = now_ns // HOUR_NS * HOUR_NS
        self._hours = {key: value for key, value in self._hours.items() if key[1] >= this_hour_ns}
        for hour_ns in (this_hour_ns, this_hour_ns + HOUR_NS):
            if now_ns < hour_ns - LEAD_NS:
                continue
            if (selection, hour_ns) not in self._hours:
                self._hours[selection, hour_ns] = await self._most_traded(api, categories, selection, hour_ns)
            found += self._hours[selection, hour_ns]
        return [listing for listing in found if listing.market.close_ns > now_ns]

    async def _categories(self, api: KalshiRest, selection: Selection, now_ns: int) -> dict[str, dict[str, SeriesRow]]:
        """The series of the categories that the selection may mean, by category and ticker."""
        words = set(selection.words)
        crypto = await self._series(api, "crypto", now_ns)
        coins = {coin_of(ticker).lower() for ticker in crypto} - {""}
        told = words - coins - {*CATEGORIES, *_QUARTER_HOUR_TAGS}
        if not words or told:  # a word that is none of ours may be the tag of any series
            wanted = set(CATEGORIES)
        else:
            wanted = words & set(CATEGORIES) | ({"crypto"} if words & {*coins, *_QUARTER_HOUR_TAGS} else set())
        return {name: await self._series(api, name, now_ns) for name in CATEGORIES if name in wanted}

    async def _series(self, api: KalshiRest, name: str, now_ns: int) -> dict[str, SeriesRow]:
        known = self._known.get(name)
        if known is None or now_ns - known.at_ns >= _SERIES_NS:
            rows = [row for category in CATEGORIES[name] for row in await api.series(category)]
            charged = {row.ticker: row for row in rows if self._has_fees(row, now_ns)}
            known = self._known[name] = _Category(now_ns, charged)
        return known.series

    async def _quarter_hours(
        self, api: KalshiRest, crypto: dict[str, SeriesRow], selection: Selection, now_ns: int
    ) -> list[Listing]:
        from_s, to_s = now_ns // NS_PER_S, (now_ns + QUARTER_HOUR_NS + LEAD_NS) // NS_PER_S
        found: list[Listing] = []
        for series in crypto.values():
            coin = coin_of(series.ticker)
            if coin and (not selection.words or {coin.lower(), *_QUARTER_HOUR_TAGS} & set(selection.words)):
                listings = [self._read(row, series, None) for row in await api.closing(series.ticker, from_s, to_s)]
                found += [listing for listing in listings if listing is not None]
        return found

    async def _most_traded(
        self, api: KalshiRest, categories: dict[str, dict[str, SeriesRow]], selection: Selection, hour_ns: int
    ) -> list[Listing]:
        """What is recorded of everything else in one hour."""
        coins = frozenset(coin for ticker in categories.get("crypto", {}) if (coin := coin_of(ticker)))
        where: dict[str, tuple[SeriesRow, Hour]] = {}
        for name, series in categories.items():
            hour = Hour(name, coins, hour_ns)
            where.update({ticker: (row, hour) for ticker, row in series.items() if not coin_of(ticker)})
        best: dict[str, list[tuple[int, int, Listing]]] = {name: [] for name in categories}
        seen: set[str] = set()  # events shift between pages while they are read
        async for event in api.open_events():
            series, hour = where.get(event.series_ticker, (None, None))
            if series is None or hour is None:
                continue
            heap = best[hour.category]
            for row in event.markets or []:
                volume, is_full = row.volume_24h, len(heap) == A_CATEGORY
                if not volume or row.ticker in seen or (is_full and volume <= heap[0][0]):
                    continue
                seen.add(row.ticker)
                listing = self._read(row, series, hour)
                if listing is not None and selection.wants(listing):
                    (heapq.heapreplace if is_full else heapq.heappush)(heap, (volume, -len(seen), listing))
        return [listing for heap in best.values() for _, _, listing in sorted(heap, reverse=True)]

    def _read(self, row: MarketRow, series: SeriesRow, hour: Hour | None) -> Listing | None:
        """The row's quarter of an hour, or its part in an hour; None where there is nothing to record."""
        if not is_recordable(row):
            return None
        try:
            return quarter_hour(row, series) if hour is None else hour_of(row, series, hour)
        except ValueError:
            self._say(f"kalshi: {row.ticker[:60]} opens or closes at a time that cannot be read; not recorded")
            return None

    def _has_fees(self, row: SeriesRow, now_ns: int) -> bool:
        """Whether a law of ours says what the series charges."""
        if fees_of(row, now_ns) is not None:
            return True
        self._say(f"kalshi: series {row.ticker[:40]} charges {row.fee_type[:40]!r}, a fee without a law; not recorded")
        return False

    def _say(self, text: str) -> None:
        if text not in self._said and len(self._said) < _MAX_SAID:
            self._said.add(text)
            _LOG.warning("%s", text)

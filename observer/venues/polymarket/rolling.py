"""Finds the rolling crypto windows: open now, or opening within two minutes."""

import asyncio
from collections.abc import Awaitable

from observer.kit.clock import NS_PER_S
from observer.ports import Listing, Rest, RestError
from observer.venues.polymarket.coins import HOURLY_SERIES, SPANS_S, TAGS, slugs, wanted
from observer.venues.polymarket.gamma import Event, Gamma
from observer.venues.polymarket.listing import Family, NotListed, listing_of, time_of
from observer.venues.polymarket.words import BAD_JSON

AHEAD_S = 120
_HOUR_S = SPANS_S["1h"]


class Rolling:
    """Remembers the windows it has found; one without tokens, or without its price to beat yet, is asked for again."""

    def __init__(self, gamma: Gamma) -> None:
        self._gamma = gamma
        self._found: dict[str, Listing] = {}  # by what was asked for

    async def discover(self, rest: Rest, words: tuple[str, ...], now_ns: int) -> list[Listing]:
        """The windows of the families that `words` ask for.

        Raises:
            RestError: nothing could be asked; where only a part fails, the rest is listed.
        """
        now_s = now_ns // NS_PER_S
        self._found = {name: found for name, found in self._found.items() if found.market.close_ns > now_ns}
        asked: list[str] = []
        jobs: list[Awaitable[None]] = []
        for coin, span in wanted(words):
            if span == "1h":
                names = [_hourly_name(coin, start_s) for start_s in _hours(now_s)]
                if not all(self._is_complete(name, now_ns) for name in names):
                    jobs.append(self._ask_series(rest, coin, now_ns))
            else:
                names = list(slugs(coin, span, now_s, AHEAD_S))
                jobs += [
                    self._ask_slug(rest, coin, span, slug) for slug in names if not self._is_complete(slug, now_ns)
                ]
            asked += names
        failures = [e for e in await asyncio.gather(*jobs, return_exceptions=True) if e is not None]
        for error in failures:
            if not isinstance(error, (RestError, *BAD_JSON)) or len(failures) == len(jobs):
                raise error
            self._gamma.remark(f"a part of the windows could not be asked for ({error})")
        return [self._found[name] for name in asked if name in self._found]

    def _is_complete(self, name: str, now_ns: int) -> bool:
        """Whether nothing more will be learnt: before it opens a window has no price to beat."""
        found = self._found.get(name)
        return found is not None and (found.market.strike is not None or found.market.open_ns > now_ns)

    async def _ask_slug(self, rest: Rest, coin: str, span: str, slug: str) -> None:
        for event in await self._gamma.events_of_slug(rest, slug):
            self._take(event, coin, span, slug)

    async def _ask_series(self, rest: Rest, coin: str, now_ns: int) -> None:
        number = await self._gamma.series_id(rest, HOURLY_SERIES[coin])
        if number is None:
            self._gamma.remark(f"no series {HOURLY_SERIES[coin]}; hourly {coin} windows are not recorded")
            return
        last_ns = now_ns + (_HOUR_S + AHEAD_S) * NS_PER_S
        for event in await self._gamma.events_ending(rest, {"series_id": number}, now_ns, last_ns, 1):
            self._take(event, coin, "1h", "")

    def _take(self, event: Event, coin: str, span: str, slug: str) -> None:
        """List the event's market; `slug` is what was asked for, "" where the event tells its time itself."""
        for market in self._gamma.markets_of(event):
            try:
                open_ns, close_ns = _window(event, market.event_start_time, market.end_date, span)
                name = slug or _hourly_name(coin, open_ns // NS_PER_S)
                if slug and not slug.endswith(f"-{open_ns // NS_PER_S}"):
                    raise NotListed(f"its slug does not name its start, {market.event_start_time}")
                listing = listing_of(
                    event, market, Family(f"{coin}-updown-{span}", coin.upper(), (*TAGS, coin, span)),
                    market_id=market.slug, open_ns=open_ns, close_ns=close_ns, ends_ns=close_ns,
                )  # fmt: skip
            except NotListed as error:
                self._gamma.remark(f"{market.slug} is not recorded{' yet' if error.is_early else ''}: {error}")
            else:
                self._found[name] = listing


def _window(event: Event, start: str | None, end: str | None, span: str) -> tuple[int, int]:
    close_ns = time_of(end or event.end_date)
    if close_ns is None:
        raise NotListed("it has no end")
    open_ns = time_of(start or event.start_time)
    length_ns = SPANS_S[span] * NS_PER_S
    if open_ns is None:
        open_ns = close_ns - length_ns
    if close_ns - open_ns != length_ns:
        raise NotListed(f"its window is {(close_ns - open_ns) / NS_PER_S:g} s; wanted {length_ns // NS_PER_S} s")
    return open_ns, close_ns


def _hours(now_s: int) -> list[int]:
    start_s = now_s // _HOUR_S * _HOUR_S
    return [start_s, start_s + _HOUR_S] if start_s + _HOUR_S <= now_s + AHEAD_S else [start_s]


def _hourly_name(coin: str, start_s: int) -> str:
    return f"{coin} 1h {start_s}"

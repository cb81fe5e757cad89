"""Finds the markets that do not roll, by category, and cuts them into hours.

The catalogue holds thousands; the most traded are recorded, up to a bound, and a market that was chosen once stays
chosen until it ends. It is read every ten minutes; in between only the clock moves on.
"""

import asyncio
import re

from observer.kit.clock import NS_PER_S
from observer.ports import Listing, Rest, RestError
from observer.venues.polymarket.coins import COIN_OF_TAG, COINS, SPANS_S, family_of
from observer.venues.polymarket.gamma import Event, Gamma, Market
from observer.venues.polymarket.listing import Family, NotListed, hours_of, listing_of, time_of
from observer.venues.polymarket.rolling import AHEAD_S
from observer.venues.polymarket.words import BAD_JSON

CATEGORIES: tuple[str, ...] = (
    "politics", "sports", "finance", "economy", "tech", "pop-culture", "geopolitics", "weather", "mentions", "crypto",
)  # fmt: skip
MAX_MARKETS = 250
MAX_PAGES = 3  # of a hundred events, per category
_EVERY_NS = 600 * NS_PER_S
_PATIENCE_S = 10.0  # rolling windows are listed at the same time and wait no longer
_DAY_NS = 86_400 * NS_PER_S
# How far ahead the markets end: of every category, the near ones; of one that was named, as far as politics look.
_HORIZON_NS, _NAMED_HORIZON_NS = 30 * _DAY_NS, 500 * _DAY_NS
_LATE_NS = _DAY_NS  # a market may trade past its planned end, as sports do
_NOT_TAGS = {*COINS, *SPANS_S, "up-or-down"}  # words that mean rolling windows
_ROLLING = "up-or-down"
_HOURLY = re.compile(r".+-up-or-down-.+-\d{1,2}(am|pm)-et")


class Long:
    """Remembers which markets were chosen, and reads the catalogue beside everything else."""

    def __init__(self, gamma: Gamma) -> None:
        self._gamma = gamma
        self._chosen: dict[str, tuple[Event, Market]] = {}
        self._read_at_ns = -_EVERY_NS
        self._words: tuple[str, ...] | None = None
        self._reading: asyncio.Task[None] | None = None

    def begin(self, rest: Rest, words: tuple[str, ...], now_ns: int) -> None:
        """Start to read the catalogue, where it is time to."""
        is_due = now_ns - self._read_at_ns >= _EVERY_NS or words != self._words
        if is_due and self._reading is None:
            tags = [word for word in words if word not in _NOT_TAGS] if words else list(CATEGORIES)
            last_ns = now_ns + (_NAMED_HORIZON_NS if words else _HORIZON_NS)
            self._read_at_ns, self._words = now_ns, words
            self._reading = asyncio.create_task(self._read(rest, tags, now_ns - _LATE_NS, last_ns))

    async def windows(self, now_ns: int) -> list[Listing]:
        """The hours, open or opening soon, of the markets that are chosen; waits a little for a catalogue being read.

        Raises:
            RestError: no category at all could be read.
        """
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_PATIENCE_S)
            if self._reading.done():
                reading, self._reading = self._reading, None
                reading.result()
        listings: list[Listing] = []
        for event, market in self._chosen.values():
            try:
                listings += _windows(event, market, now_ns)
            except NotListed as error:
                self._gamma.remark(f"{market.slug} is not recorded{' yet' if error.is_early else ''}: {error}")
        return listings

    async def _read(self, rest: Rest, tags: list[str], first_ns: int, last_ns: int) -> None:
        """Read the categories and choose; one that fails is said, unless all do."""
        asked = (self._gamma.events_ending(rest, {"tag_slug": tag}, first_ns, last_ns, MAX_PAGES) for tag in tags)
        read = await asyncio.gather(*asked, return_exceptions=True)
        found: dict[str, tuple[Event, Market]] = {}
        failures: list[BaseException] = []
        for tag, events in zip(tags, read, strict=True):
            if isinstance(events, BaseException):
                failures.append(events)
                self._gamma.remark(f"category {tag} could not be read ({events})")
                continue
            for event in events:
                for market in self._gamma.markets_of(event):
                    if self._is_wanted(event, market):
                        found[market.slug] = (event, market)
        for error in failures:
            if len(failures) == len(tags) or not isinstance(error, (RestError, *BAD_JSON)):
                self._read_at_ns = -_EVERY_NS  # again next time
                raise error
        if failures:  # what could not be read is taken as it was
            found = self._chosen | found
        kept = {slug: pair for slug, pair in found.items() if slug in self._chosen}
        others = sorted(
            (pair for slug, pair in found.items() if slug not in kept), key=lambda pair: -(pair[1].volume24hr or 0.0)
        )
        room = max(0, MAX_MARKETS - len(kept))
        self._chosen = kept | {pair[1].slug: pair for pair in others[:room]}
        if len(others) > room:
            self._gamma.remark(
                f"{len(found)} markets of {', '.join(tags)} are open; the {MAX_MARKETS} most traded are recorded"
            )

    def _is_wanted(self, event: Event, market: Market) -> bool:
        try:
            return _is_open(market) and not _is_rolling(event, market)
        except NotListed as error:
            self._gamma.remark(f"{market.slug} is not recorded: {error}")
            return False


def _windows(event: Event, market: Market, now_ns: int) -> list[Listing]:
    ends_ns = time_of(market.end_date or event.end_date)
    if ends_ns is None:
        raise NotListed("it has no end")
    words = {tag.slug.lower() for tag in event.tags or [] if tag.slug}
    coins = {COIN_OF_TAG[word] for word in words if word in COIN_OF_TAG}
    symbol = coins.pop().upper() if len(coins) == 1 and "crypto" in words else market.slug
    family = Family(market.slug, symbol, tuple(sorted(words)))
    return [
        listing_of(event, market, family, market_id=name, open_ns=open_ns, close_ns=close_ns, ends_ns=ends_ns)
        for name, open_ns, close_ns in hours_of(market.slug, ends_ns, now_ns, AHEAD_S * NS_PER_S)
    ]


def _is_open(market: Market) -> bool:
    """Whether it trades now; a flag that is absent does not say that it does not."""
    flags = (market.active, market.accepting_orders, market.enable_order_book)
    return not market.closed and all(flag is not False for flag in flags)


def _is_rolling(event: Event, market: Market) -> bool:
    """Whether it is one of the windows that `rolling` finds; daily up-or-down markets are not."""
    if family_of(market.slug) is not None or _HOURLY.fullmatch(market.slug):
        return True
    start_ns, end_ns = time_of(market.event_start_time or event.start_time), time_of(market.end_date or event.end_date)
    is_up_or_down = any(tag.slug == _ROLLING for tag in event.tags or []) or _ROLLING in market.slug
    is_short = start_ns is not None and end_ns is not None and end_ns - start_ns <= SPANS_S["4h"] * NS_PER_S
    return is_up_or_down and is_short

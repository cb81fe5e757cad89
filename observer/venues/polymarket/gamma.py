"""Polymarket's catalogue (Gamma): its objects as types, and how they are asked for.

Lists inside a market are JSON in a string and are decoded as strictly as the rest. A market or event that does not fit
its type is left out and said; the others of its page are kept.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from observer.kit import log
from observer.kit.clock import NS_PER_S, iso
from observer.ports import Rest, RestError
from observer.venues.polymarket.words import BAD_JSON

_LOG = log.get("polymarket")
PAGE = "100"  # the venue clamps a larger limit without a word
_MAX_SAID = 1_000
_T = TypeVar("_T")


class Fees(Struct):
    """A market's fee schedule."""

    rate: float
    exponent: float = 1.0


class Market(Struct, rename="camel"):
    """A market; only what is used."""

    slug: str
    condition_id: str = ""
    outcomes: str | None = None
    outcome_prices: str | None = None
    clob_token_ids: str | None = None
    position_ids: list[str] | str | None = None
    version: str | None = None
    event_start_time: str | None = None
    end_date: str | None = None
    closed_time: str | None = None
    active: bool | None = None
    closed: bool | None = None
    accepting_orders: bool | None = None
    enable_order_book: bool | None = None
    fees_enabled: bool | None = None
    fee_type: str | None = None
    fee_schedule: Fees | None = None
    order_price_min_tick_size: float | None = None
    resolution_source: str | None = None
    description: str | None = None
    uma_resolution_status: str | None = None
    resolution_status: str | None = None
    volume24hr: float | None = None


class Series(Struct):
    """A family of recurring events."""

    id: str
    slug: str = ""


class Tag(Struct):
    """A category."""

    slug: str | None = None


class Metadata(Struct, rename="camel"):
    """Undocumented: the price to beat appears once the window is open."""

    price_to_beat: float | None = None


class TwapRule(Struct, rename="camel"):
    """Undocumented: how a crypto window settles."""

    twap_enabled: bool = False
    twap_lookback_seconds: int = 0


class Event(Struct, rename="camel"):
    """An event: one or many markets about one thing."""

    slug: str
    start_time: str | None = None
    end_date: str | None = None
    tags: list[Tag] | None = None
    markets: list[msgspec.Raw] | None = None
    event_metadata: Metadata | None = None
    crypto_market_config: TwapRule | None = None
    resolution_source: str | None = None


class _Page(Struct):
    events: list[msgspec.Raw]
    next_cursor: str | None = None


# strict=False takes a number that comes as a string, and the other way round for none.
_read_events = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_page = msgspec.json.Decoder(_Page).decode
_read_event = msgspec.json.Decoder(Event, strict=False)
_read_market = msgspec.json.Decoder(Market, strict=False)
_read_series = msgspec.json.Decoder(list[Series], strict=False).decode
_read_texts = msgspec.json.Decoder(list[str]).decode


class Remarks:
    """Says each thing once, for discovery comes by twice a minute."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, text: str) -> None:
        if text not in self._said:
            if len(self._said) >= _MAX_SAID:
                self._said.clear()
            self._said.add(text)
            _LOG.warning("polymarket: %s", text)


class Gamma:
    """Asks the catalogue.

    Args:
        url: its base address.

    Attributes:
        remark: says what is odd in it, once.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.remark = Remarks()
        self._series: dict[str, str] = {}
        self._can_order = True

    async def events_of_slug(self, rest: Rest, slug: str) -> list[Event]:
        """The event of this slug; [] where there is none yet."""
        body = await rest.get(f"{self._url}/events", {"slug": slug})
        return self._each(_read_events(body), _read_event, slug)

    async def market(self, rest: Rest, slug: str) -> Market | None:
        """The market of this slug; None where there is none."""
        try:
            body = await rest.get(f"{self._url}/markets/slug/{slug}")
        except RestError as error:
            if error.status == 404:
                return None
            raise
        return _read_market.decode(body)

    async def series_id(self, rest: Rest, slug: str) -> str | None:
        """The number of a series, remembered once known; None where the venue has no such series."""
        if slug not in self._series:
            found = _read_series(await rest.get(f"{self._url}/series", {"slug": slug}))
            if not found:
                return None
            self._series[slug] = found[0].id
        return self._series[slug]

    async def events_ending(
        self, rest: Rest, chosen: dict[str, str], first_ns: int, last_ns: int, max_pages: int
    ) -> list[Event]:
        """Open events that end in a span of time, the most traded first; never more than `max_pages` pages.

        Args:
            rest: HTTP.
            chosen: `series_id` or `tag_slug`.
            first_ns, last_ns: bounds of their end; without them the venue lists events that ended long ago.
            max_pages: how many pages of a hundred are read; the log says where there was more.
        """
        query = {
            **chosen,
            "closed": "false",
            "end_date_min": _stamp(first_ns),
            "end_date_max": _stamp(last_ns),
            "limit": PAGE,
        }
        if "tag_slug" in chosen and self._can_order:
            query |= {"order": "volume24hr", "ascending": "false"}
        found: list[Event] = []
        for _ in range(max_pages):
            page = await self._page(rest, query)
            found += self._each(page.events, _read_event, "event")
            if not page.next_cursor or not page.events:
                return found
            query["after_cursor"] = page.next_cursor
        self.remark(f"more than {max_pages} pages of events for {chosen}; the rest is not looked at")
        return found

    def markets_of(self, event: Event) -> list[Market]:
        """The markets of an event."""
        return self._each(event.markets or [], _read_market, f"market of {event.slug}")

    async def _page(self, rest: Rest, query: dict[str, str]) -> _Page:
        url = f"{self._url}/events/keyset"
        try:
            return _read_page(await rest.get(url, query))
        except RestError as error:
            if error.status not in (400, 422) or query.pop("order", None) is None:
                raise
            self._can_order = False
            query.pop("ascending", None)
            self.remark("the catalogue does not order events by volume; taking its own order")
            return _read_page(await rest.get(url, query))

    def _each(self, parts: Sequence[msgspec.Raw], decoder: msgspec.json.Decoder[_T], what: str) -> list[_T]:
        found: list[_T] = []
        for part in parts:
            try:
                found.append(decoder.decode(part))
            except BAD_JSON as error:
                self.remark(f"{what} left out, it does not fit its type ({error})")
        return found


def texts(value: list[str] | str | None) -> list[str]:
    """A list of texts, or a JSON list of texts in a string; [] for nothing.

    Raises:
        msgspec.MsgspecError: anything else.
    """
    if value is None or value == "":
        return []
    return _read_texts(value) if isinstance(value, str) else value


def _stamp(ns: int) -> str:
    return iso(ns // NS_PER_S * NS_PER_S).replace(".000Z", "Z")

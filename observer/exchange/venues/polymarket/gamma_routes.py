"""Gamma's addresses: what a query asks, which events or markets answer it, and in which pages."""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from observer.exchange.answer import answer
from observer.exchange.floor import Floor
from observer.exchange.venues.polymarket.board import Board, in_order
from observer.exchange.venues.polymarket.gamma import (
    cursor_of,
    event_json,
    market_json,
    number_of,
    series_json,
    tag_json,
)
from observer.exchange.venues.polymarket.listed import Event, Listed
from observer.exchange.wire import whole
from observer.kit.clock import parse_iso

_MOST = 100


class Gamma:
    """Answers discovery questions.

    Args:
        floor: whose time it is.
        board: what is listed.
    """

    def __init__(self, floor: Floor, board: Board) -> None:
        self.floor, self.board = floor, board

    def routes(self, base: str) -> list[web.RouteDef]:
        """Every address below `base`."""
        return [
            web.get(base + "/events/keyset", self.events_keyset),
            web.get(base + "/events", self.events),
            web.get(base + "/events/slug/{slug}", self.event_by_slug),
            web.get(base + "/events/{number}", self.event_by_number),
            web.get(base + "/markets/keyset", self.markets_keyset),
            web.get(base + "/markets", self.markets),
            web.get(base + "/markets/slug/{slug}", self.market_by_slug),
            web.get(base + "/markets/{number}", self.market_by_number),
            web.get(base + "/series", self.series),
            web.get(base + "/series/{number}", self.series_by_number),
            web.get(base + "/tags", self.tags),
            web.get(base + "/tags/slug/{slug}", self.tag_by_slug),
            web.get(base + "/tags/{number}", self.tag_by_number),
            web.get(base + "/public-search", self.search),
        ]

    async def events_keyset(self, request: web.Request) -> web.Response:
        """One page of events and where the next begins."""
        return self._page(request, "events", self._events_of(request), self._show_event(request))

    async def events(self, request: web.Request) -> web.Response:
        """A bare list of events, by offset."""
        return self._list(request, self._events_of(request), self._show_event(request))

    async def event_by_slug(self, request: web.Request) -> web.Response:
        """One event."""
        return self._one_event(self.board.events.get(request.match_info["slug"]))

    async def event_by_number(self, request: web.Request) -> web.Response:
        """One event."""
        wanted = request.match_info["number"]
        return self._one_event(next((e for e in self.board.events.values() if str(e.number) == wanted), None))

    async def markets_keyset(self, request: web.Request) -> web.Response:
        """One page of markets and where the next begins."""
        return self._page(request, "markets", self._markets_of(request), self._show_market)

    async def markets(self, request: web.Request) -> web.Response:
        """A bare list of markets, by offset."""
        return self._list(request, self._markets_of(request), self._show_market)

    async def market_by_slug(self, request: web.Request) -> web.Response:
        """One market."""
        return self._one_market(self.board.slug(request.match_info["slug"]))

    async def market_by_number(self, request: web.Request) -> web.Response:
        """One market."""
        number = request.match_info["number"]
        return self._one_market(self.board.number(int(number)) if number.isdigit() else None)

    async def series(self, request: web.Request) -> web.Response:
        """Series, all or by slug."""
        slugs = request.query.getall("slug", [])
        return answer([series_json(series) for series in self.board.series() if not slugs or series.slug in slugs])

    async def series_by_number(self, request: web.Request) -> web.Response:
        """One series."""
        wanted = request.match_info["number"]
        found = next((series for series in self.board.series() if str(series.number) == wanted), None)
        return answer(series_json(found)) if found else _missing()

    async def tags(self, request: web.Request) -> web.Response:
        """All tags."""
        return answer([tag_json(tag) for tag in self.board.tags()])

    async def tag_by_slug(self, request: web.Request) -> web.Response:
        """One tag."""
        found = next((tag for tag in self.board.tags() if tag.slug == request.match_info["slug"]), None)
        return answer(tag_json(found)) if found else _missing()

    async def tag_by_number(self, request: web.Request) -> web.Response:
        """One tag."""
        found = next((tag for tag in self.board.tags() if str(tag.number) == request.match_info["number"]), None)
        return answer(tag_json(found)) if found else _missing()

    async def search(self, request: web.Request) -> web.Response:
        """Events whose title holds the words."""
        words = request.query.get("q", "").lower()
        found = [event for event in in_order(self.board.events.values()) if words in event.title.lower()]
        shown = [
            self._show_event(request)(event) for event in found[: whole(request.query.get("limit_per_type"), 5, 1, 50)]
        ]
        return answer(
            {"events": shown, "tags": [], "profiles": [], "pagination": {"hasMore": False, "totalResults": len(found)}}
        )

    def _events_of(self, request: web.Request) -> list[Event]:
        keep = self._filter(request)
        return [event for event in in_order(self.board.events.values()) if keep(event)]

    def _markets_of(self, request: web.Request) -> list[Listed]:
        query = request.query
        keep, conditions = self._filter(request), query.getall("condition_ids", [])
        tokens = query.getall("clob_token_ids", [])
        return [
            listed
            for event in in_order(self.board.events.values())
            for listed in event.markets
            if keep(event)
            and (not conditions or listed.condition_id in conditions)
            and (not tokens or set(tokens) & set(listed.tokens))
        ]

    def _filter(self, request: web.Request) -> Callable[[Event], bool]:
        """Whether an event answers the query; unknown words are ignored, as there."""
        query, now_ns = request.query, self.floor.agenda.now_ns
        numbers, slugs = set(query.getall("id", [])), set(query.getall("slug", []))
        series = set(query.getall("series_id", [])), set(query.getall("series_slug", []))
        tag_ids, tag_slugs = set(query.getall("tag_id", [])), set(query.getall("tag_slug", []))
        ends = _time(query.get("end_date_min")), _time(query.get("end_date_max"))
        starts = _time(query.get("start_time_min")), _time(query.get("start_time_max"))
        closed, active = query.get("closed"), query.get("active")

        def keep(event: Event) -> bool:
            is_closed = all(listed.is_closed(now_ns) for listed in event.markets)
            return (
                (closed is None or is_closed == (closed == "true"))
                and (active is None or active == "true")
                and event.made_ns <= now_ns
                and (not numbers or str(event.number) in numbers)
                and (not slugs or event.slug in slugs or any(listed.slug in slugs for listed in event.markets))
                and (not series[0] or (event.series is not None and str(event.series.number) in series[0]))
                and (not series[1] or (event.series is not None and event.series.slug in series[1]))
                and (not tag_ids or any(str(tag.number) in tag_ids for tag in event.tags))
                and (not tag_slugs or any(tag.slug in tag_slugs for tag in event.tags))
                and (ends[0] is None or event.end_ns >= ends[0])
                and (ends[1] is None or event.end_ns <= ends[1])
                and (starts[0] is None or event.start_ns >= starts[0])
                and (starts[1] is None or event.start_ns <= starts[1])
            )

        return keep

    def _page(self, request: web.Request, name: str, found: Sequence[Any], show: Callable[[Any], Any]) -> web.Response:
        if "offset" in request.query:
            return answer({"type": "validation error", "error": "offset is not allowed on keyset pages"}, 422)
        first, cursor = 0, request.query.get("after_cursor")
        if cursor:
            after = number_of(cursor)
            place = next((i for i, item in enumerate(found) if item.number == after), None)
            if place is None:
                return answer({"type": "validation error", "error": "invalid after_cursor"}, 422)
            first = place + 1
        page = found[first : first + whole(request.query.get("limit"), 20, 1, _MOST)]
        shown: dict[str, Any] = {name: [show(item) for item in page]}
        if first + len(page) < len(found):
            shown["next_cursor"] = cursor_of(page[-1])
        return answer(shown)

    def _list(self, request: web.Request, found: Sequence[Any], show: Callable[[Any], Any]) -> web.Response:
        first = whole(request.query.get("offset"), 0, 0, 10**6)
        page = found[first : first + whole(request.query.get("limit"), 20, 0, _MOST)]
        return answer([show(item) for item in page])

    def _show_event(self, request: web.Request) -> Callable[[Event], dict[str, Any]]:
        with_markets = request.query.get("include_markets") != "false"
        return lambda event: event_json(event, self.floor.agenda.now_ns, with_markets=with_markets)

    def _show_market(self, listed: Listed) -> dict[str, Any]:
        return market_json(listed, self.floor.agenda.now_ns)

    def _one_event(self, event: Event | None) -> web.Response:
        return answer(event_json(event, self.floor.agenda.now_ns)) if event else _missing()

    def _one_market(self, listed: Listed | None) -> web.Response:
        return answer(self._show_market(listed)) if listed else _missing()


def _time(text: str | None) -> int | None:
    try:
        return None if text is None else parse_iso(text)
    except ValueError:
        raise web.HTTPUnprocessableEntity(text='{"type":"validation error","error":"invalid date"}') from None


def _missing() -> web.Response:
    return answer({"type": "not found error", "error": "id not found"}, 404)

"""What is listed: found by slug, id, token or condition, and chosen by what Gamma's queries ask."""

from collections.abc import Callable, Iterable, Iterator

from observer.exchange.venues.polymarket.listed import Event, Listed, Series, Tag
from observer.kit.clock import NS_PER_S

# Real closed events stay for ever; ours go after this long, so that weeks fit in memory.
_KEPT_NS = 6 * 3600 * NS_PER_S


class Board:
    """All events and markets.

    Attributes:
        events: by slug, in order of listing.
        on_new: called with each market that is listed after the start.
    """

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.on_new: list[Callable[[Listed], None]] = []
        self._by_slug: dict[str, Listed] = {}
        self._by_number: dict[int, Listed] = {}
        self._by_token: dict[str, Listed] = {}
        self._by_condition: dict[str, Listed] = {}

    def add(self, event: Event, *, is_news: bool = True) -> None:
        """List an event with its markets."""
        self.events[event.slug] = event
        for listed in event.markets:
            self._by_slug[listed.slug] = listed
            self._by_number[listed.number] = listed
            self._by_condition[listed.condition_id] = listed
            for token in listed.tokens:
                self._by_token[token] = listed
            for act in self.on_new if is_news else ():
                act(listed)

    def forget(self, now_ns: int) -> None:
        """Take off what closed long ago."""
        old = [
            event for event in self.events.values() if all(m.closes_ns + _KEPT_NS < now_ns for m in event.markets)
        ]  # fmt: skip
        for event in old:
            del self.events[event.slug]
            for listed in event.markets:
                del self._by_slug[listed.slug], self._by_number[listed.number], self._by_condition[listed.condition_id]
                for token in listed.tokens:
                    del self._by_token[token]

    def markets(self) -> Iterator[Listed]:
        """Every market."""
        for event in self.events.values():
            yield from event.markets

    def slug(self, slug: str) -> Listed | None:
        """A market by its slug."""
        return self._by_slug.get(slug)

    def number(self, number: int) -> Listed | None:
        """A market by its number."""
        return self._by_number.get(number)

    def token(self, token: str) -> Listed | None:
        """The market of a token."""
        return self._by_token.get(token)

    def condition(self, condition: str) -> Listed | None:
        """A market by its condition id, exactly as listed."""
        return self._by_condition.get(condition)

    def series(self) -> list[Series]:
        """Every series."""
        found = {event.series.number: event.series for event in self.events.values() if event.series is not None}
        return list(found.values())

    def tags(self) -> list[Tag]:
        """Every tag."""
        return list({tag.number: tag for event in self.events.values() for tag in event.tags}.values())


def in_order(events: Iterable[Event]) -> list[Event]:
    """By end, then number: the order that keyset pages walk."""
    return sorted(events, key=lambda event: (event.end_ns, event.number))

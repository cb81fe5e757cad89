"""How Binance numbers the changes of a book, on spot and on USD-M.

An event covers the update ids `first_id` to `last_id`; a snapshot says the id it was taken at. Spot's events join end
to end. USD-M's ids have holes of their own, so each event names the end of the one before.
"""

from typing import NamedTuple, Protocol

from observer.ports import Level


class DepthEvent(NamedTuple):
    """One event, its numbers read."""

    first_id: int
    last_id: int
    previous_id: int
    venue_ns: int
    bids: list[Level]
    asks: list[Level]


class RestBook(NamedTuple):
    """A book by REST, its numbers read."""

    last_id: int
    bids: list[Level]
    asks: list[Level]
    venue_ns: int  # unknown on spot


class Rule(Protocol):
    """How a product's ids fit together."""

    def is_held(self, snapshot_id: int, event: DepthEvent) -> bool:
        """Whether a snapshot already holds all of an event."""
        ...

    def bridges(self, snapshot_id: int, event: DepthEvent) -> bool:
        """Whether an event that the snapshot does not hold may be the first one on top of it."""
        ...

    def follows(self, last_id: int, event: DepthEvent) -> bool:
        """Whether nothing is missing between the event that ended with `last_id` and this one."""
        ...


class _Spot:
    def is_held(self, snapshot_id: int, event: DepthEvent) -> bool:
        return event.last_id <= snapshot_id

    def bridges(self, snapshot_id: int, event: DepthEvent) -> bool:
        return event.first_id <= snapshot_id + 1

    def follows(self, last_id: int, event: DepthEvent) -> bool:
        return event.first_id <= last_id + 1


class _Usdm:
    def is_held(self, snapshot_id: int, event: DepthEvent) -> bool:
        return event.last_id < snapshot_id

    def bridges(self, snapshot_id: int, event: DepthEvent) -> bool:
        # Live snapshots often end exactly where the event before the first one kept has ended.
        return event.first_id <= snapshot_id <= event.last_id or event.previous_id == snapshot_id

    def follows(self, last_id: int, event: DepthEvent) -> bool:
        return event.previous_id == last_id


SPOT: Rule = _Spot()
USDM: Rule = _Usdm()

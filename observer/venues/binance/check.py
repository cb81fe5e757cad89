"""A book that a stream keeps, held against a REST snapshot of it.

The snapshot was taken somewhere between two events, so it is brought to the book's own update id first: the events
since it was asked for are put on top of it. Then the two must agree.
"""

from observer.book import ASK, BID, Book
from observer.ports import Instrument
from observer.venues.binance.rules import DepthEvent, RestBook, Rule

LEVELS = 20
_MAX_EVENTS = 600  # a minute of them; an answer that takes longer tells nothing


class BookCheck:
    """One check: from the moment a snapshot is asked for until the book has reached it.

    Attributes:
        ahead: a snapshot that the stream has not reached yet, and since when (recv_ns).
        is_over: True once the answer has taken too long to tell anything.
    """

    __slots__ = ("_events", "ahead", "ahead_ns", "is_over")

    def __init__(self) -> None:
        self._events: list[DepthEvent] = []
        self.ahead: RestBook | None = None
        self.ahead_ns = 0
        self.is_over = False

    def note(self, event: DepthEvent) -> None:
        """An event was put on the book."""
        self._events.append(event)
        if len(self._events) > _MAX_EVENTS:
            self._events.clear()
            self.is_over = True

    def agrees(self, found: RestBook, last_id: int, rule: Rule, instrument: Instrument) -> bool:
        """Whether the best levels are the same; True where the snapshot is too old to tell.

        Args:
            found: the snapshot; not newer than the book.
            last_id: what the book is at.
            rule: how ids fit together.
            instrument: whose book.
        """
        since = [event for event in self._events if not rule.is_held(found.last_id, event)]
        can_tell = rule.bridges(found.last_id, since[0]) if since else found.last_id == last_id
        if not can_tell:
            return True
        wanted = Book()
        wanted.replace(found.bids, found.asks)
        for event in since:
            for price, size in event.bids:
                wanted.set(BID, price, size)
            for price, size in event.asks:
                wanted.set(ASK, price, size)
        book = instrument.book
        return all(wanted.top(side, LEVELS) == book.top(side, LEVELS) for side in (BID, ASK))

"""A depth server to test against: it knows the true book at every update id, and how Binance would tell of it."""

import random
from typing import NamedTuple

from observer.book import ASK, BID
from observer.venues.binance.rules import DepthEvent, RestBook

Sides = tuple[dict[int, int], dict[int, int]]
PRICES = 12


class DepthServer:
    """Changes a small book one level at a time and tells of it in events of several changes.

    Args:
        rng: what changes.
        has_holes: True numbers changes as USD-M does, with holes; False end to end, as spot.

    Attributes:
        truth: update id -> the book right after it.
        last_id: of the newest change.
    """

    def __init__(self, rng: random.Random, *, has_holes: bool) -> None:
        self._rng, self._has_holes = rng, has_holes
        self._book: Sides = ({}, {})
        self.last_id = 1000
        self._told_id = 1000
        self.truth: dict[int, Sides] = {1000: ({}, {})}

    def event(self, n_changes: int) -> DepthEvent:
        """Change the book and tell of it."""
        first_id, touched = 0, (set[int](), set[int]())
        for _ in range(n_changes):
            self.last_id += self._rng.randint(1, 4) if self._has_holes else 1
            first_id = first_id or self.last_id
            side = self._rng.choice((BID, ASK))
            price = self._rng.randint(1, PRICES) + (PRICES if side == ASK else 0)
            size = self._rng.choice((0, 1, 2, 3))
            touched[side].add(price)
            if size:
                self._book[side][price] = size
            else:
                self._book[side].pop(price, None)
            self.truth[self.last_id] = (dict(self._book[BID]), dict(self._book[ASK]))
        bids, asks = ([(p, self._book[side].get(p, 0)) for p in sorted(touched[side])] for side in (BID, ASK))
        told_id, self._told_id = self._told_id, self.last_id
        return DepthEvent(first_id, self.last_id, told_id if self._has_holes else 0, 0, bids, asks)

    def rest(self, lag: int) -> RestBook:
        """The book by REST, `lag` changes behind; it may fall into the middle of an event."""
        ids = list(self.truth)
        at_id = ids[max(0, len(ids) - 1 - lag)]
        bids, asks = self.truth[at_id]
        return RestBook(at_id, sorted(bids.items(), reverse=True), sorted(asks.items()), 0)


class Step(NamedTuple):
    """One event and its fate on the way."""

    n_changes: int
    fate: str  # "arrives", "drops", "twice", "late" (after the next one)
    rest_lag: int  # changes that a REST answer is behind
    rest_wait: int  # steps until it arrives

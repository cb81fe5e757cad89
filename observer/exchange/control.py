"""The tests' own door: the clock, the faults, the true books, the log. Nothing of it exists at a real venue."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from observer.exchange.answer import answer
from observer.exchange.fault import Fault
from observer.exchange.floor import Floor
from observer.exchange.venues.contract import ExchangeVenue
from observer.exchange.wire import whole
from observer.kit.errors import UsageError

_faults = msgspec.json.Decoder(Fault)
_MOST_DEPTH = 1_000_000


class Control:
    """Serves `/clock` and `/control/…`.

    Args:
        floor: what it controls.
        venues: by name, for their books.
        outcomes: what its word on how a market ended is worth: "synthetic" for made-up markets, "inferred" for a
            replay; a recorder that listens here must not call it official.
    """

    def __init__(self, floor: Floor, venues: Mapping[str, ExchangeVenue], outcomes: str) -> None:
        self.floor, self.venues, self.outcomes = floor, venues, outcomes

    def routes(self) -> list[web.RouteDef]:
        """Every address."""
        return [
            web.get("/clock", self.clock),
            web.post("/control/faults", self.arm),
            web.get("/control/faults", self.armed),
            web.delete("/control/faults/{number}", self.disarm),
            web.get("/control/log", self.log),
            web.get("/control/connections", self.connections),
            web.get("/control/books", self.books),
            web.post("/control/still", self.still),
        ]

    async def clock(self, request: web.Request) -> web.Response:
        """Virtual time; `behind_ns` is how far the markets lag it, 0 unless the machine is too slow for the speed."""
        reading = self.floor.clock.reading()
        due_ns = self.floor.agenda.next_ns
        behind = max(reading["now_ns"] - due_ns, 0) if due_ns is not None else 0
        return answer({**reading, "behind_ns": behind, "outcomes": self.outcomes})

    async def arm(self, request: web.Request) -> web.Response:
        """Take a fault on."""
        try:
            number = self.floor.faults.arm(_faults.decode(await request.read()))
        except (msgspec.DecodeError, UsageError) as error:
            return answer({"error": str(error)}, 400)
        return answer({"id": number})

    async def armed(self, request: web.Request) -> web.Response:
        """Faults that wait or last."""
        return answer(self.floor.faults.armed())

    async def disarm(self, request: web.Request) -> web.Response:
        """End a fault."""
        number = whole(request.match_info["number"], 0, 0, 2**53)
        return answer({"was_armed": self.floor.faults.disarm(number)})

    async def log(self, request: web.Request) -> web.Response:
        """What went wrong so far."""
        return answer([entry.to_dict() for entry in self.floor.faults.log])

    async def connections(self, request: web.Request) -> web.Response:
        """Open WebSockets."""
        return answer(
            [
                {
                    "conn": peer.number, "venue": peer.venue, "stream": peer.stream, "opened_ns": peer.opened_ns,
                    "data_frames": peer.n_data, "keys": sorted(peer.session.keys) if peer.session else [],
                }
                for peer in self.floor.peers.values()
            ]
        )  # fmt: skip

    async def books(self, request: web.Request) -> web.Response:
        """True books: of `key` (may repeat), or of everything that somebody is subscribed to."""
        wanted, venue = set(request.query.getall("key", [])), request.query.get("venue", "")
        depth = whole(request.query.get("depth"), _MOST_DEPTH, 1, _MOST_DEPTH)
        found: list[dict[str, Any]] = []
        for name, exchange_venue in self.venues.items():
            if venue in ("", name):
                peers = [peer for peer in self.floor.peers.values() if peer.venue == name and peer.session]
                keys = wanted or set().union(*(peer.session.keys for peer in peers if peer.session))
                found += [book.to_dict(depth) for book in exchange_venue.books(keys)]
        return answer({"now_ns": self.floor.agenda.now_ns, "is_still": self.floor.is_still, "books": found})

    async def still(self, request: web.Request) -> web.Response:
        """`{"still": true}` stops the markets while time goes on; false lets them move again."""
        asked = msgspec.json.decode(await request.read() or b"{}")
        if not isinstance(asked, dict) or not isinstance(asked.get("still"), bool):
            return answer({"error": 'wanted {"still": true} or {"still": false}'}, 400)
        self.floor.is_still = asked["still"]
        return answer({"still": self.floor.is_still, "now_ns": self.floor.agenda.now_ns})

"""What all venues of the exchange stand on: one clock, one agenda, the connections, the faults."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from observer.exchange.agenda import Agenda
from observer.exchange.clock import VirtualClock
from observer.exchange.faults import Faults

if TYPE_CHECKING:
    from observer.exchange.peer import Peer

# Real seconds that a burst of due acts may take before sockets are looked after again.
_SLICE_S = 0.005


class Floor:
    """The floor of the exchange.

    Attributes:
        seed: same seed and start, same markets.
        clock: virtual time.
        agenda: what happens when; messages are stamped with its `now_ns`.
        faults: what goes wrong, and the log of what went wrong.
        peers: open WebSockets by number.
        n_opened: connections so far.
        is_still: while True the markets stand still and only time goes on, so that books can be compared.
    """

    def __init__(self, seed: int, start_ns: int, speed: float) -> None:
        self.seed = seed
        self.clock = VirtualClock(start_ns, speed)
        self.agenda = Agenda(start_ns)
        self.faults = Faults(self)
        self.peers: dict[int, Peer] = {}
        self.is_still = False
        self.n_opened = 0

    def catch_up(self) -> bool:
        """Let happen what is due by the clock; False where more is due than fits into a slice."""
        return self.agenda.run_until(self.clock.now_ns(), _SLICE_S)

    def stamp_ns(self, venue: str) -> int:
        """What a venue believes the time is."""
        return self.agenda.now_ns + self.faults.skew_ns(venue)

    def next_number(self) -> int:
        """A number for a new connection."""
        self.n_opened += 1
        return self.n_opened

    def matching(self, venue: str, stream: str, conn: int) -> "Iterator[Peer]":
        """Open connections that a selector names; empty or 0 means any."""
        for peer in list(self.peers.values()):
            if peer.matches(venue, stream, conn):
                yield peer

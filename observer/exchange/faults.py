"""All faults of the exchange (`observer.exchange.fault` says what there is), and the log of what they did."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from observer.exchange.fault import LOSES_DATA, OF_VENUE, Fault, Happened
from observer.exchange.trouble import Trouble
from observer.kit.clock import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from observer.exchange.floor import Floor
    from observer.exchange.peer import Peer


@dataclass(eq=False)
class _Armed:
    """A fault that is not over: `entry` is its line in the log where it acts on a whole venue."""

    number: int
    fault: Fault
    has_begun: bool = False
    entry: Happened | None = None


class Faults:
    """Arms faults and keeps the log.

    Attributes:
        floor: whose connections they act on.
        log: everything that went wrong, in order.
    """

    def __init__(self, floor: "Floor") -> None:
        self.floor = floor
        self.log: list[Happened] = []
        self._armed: dict[int, _Armed] = {}
        self._n_faults = 0

    def arm(self, fault: Fault) -> int:
        """Take a fault on; it begins at `at_ns`, or now.

        Returns:
            Its number, which the log repeats.

        Raises:
            UsageError: numbers that mean nothing, or a venue's fault without a duration.
        """
        fault.check()
        self._n_faults += 1
        armed = self._armed[self._n_faults] = _Armed(self._n_faults, fault)
        if fault.at_ns > self.floor.agenda.now_ns:
            self.floor.agenda.at(fault.at_ns, lambda: self._begin(armed))
        else:
            self._begin(armed)
        return armed.number

    def disarm(self, number: int) -> bool:
        """End a fault now, wherever it acts; False where it acts nowhere."""
        armed = self._armed.pop(number, None)
        if armed is not None and armed.entry is not None:
            armed.entry.end_ns = self.floor.agenda.now_ns
        found = armed is not None
        for peer in list(self.floor.peers.values()):
            for trouble in [trouble for trouble in peer.troubles if trouble.number == number]:
                trouble.end(peer)
                found = True
        return found

    def armed(self) -> list[dict[str, Any]]:
        """Faults that wait or last, as plain data."""
        return [
            {"id": armed.number, "has_begun": armed.has_begun, **msgspec.to_builtins(armed.fault)}
            for armed in self._armed.values()
        ]

    def peer_opened(self, peer: "Peer") -> None:
        """Let faults that last, or that still wait for a connection, act on a new one."""
        for armed in list(self._armed.values()):
            if armed.has_begun:
                self._attach(armed, peer)

    def peer_closed(self, peer: "Peer") -> None:
        """Whatever went on on a connection ends with it."""
        for trouble in list(peer.troubles):
            trouble.end(peer)
        for entry in peer.losses:
            entry.end_ns = self.floor.agenda.now_ns
        peer.losses = []

    def http(self, venue: str, stream: str, path: str) -> Fault | None:
        """The fault that refuses a request now, or None."""
        for armed in self._armed.values():
            fault = armed.fault
            if (
                fault.kind == "http" and armed.entry is not None and fault.venue in ("", venue)
                and fault.stream in ("", stream) and fault.path in path
            ):  # fmt: skip
                armed.entry.frames += 1
                return fault
        return None

    def skew_ns(self, venue: str) -> int:
        """How far ahead a venue's clock is."""
        if not self._armed:
            return 0
        return sum(
            armed.fault.skew_ms * NS_PER_MS
            for armed in self._armed.values()
            if armed.entry is not None and armed.fault.kind == "skew" and armed.fault.venue in ("", venue)
        )

    def begin(self, fault: int, kind: str, peer: "Peer") -> Happened:
        """Write an entry that has not ended."""
        return self._write(fault, kind, peer.venue, peer.stream, peer.number)

    def note(self, kind: str, peer: "Peer", fault: int = 0) -> Happened:
        """Write an entry, over at once, about everything that a connection is subscribed to."""
        entry = self.begin(fault, kind, peer)
        entry.end_ns = entry.start_ns
        if peer.session is not None:
            entry.keys = set(peer.session.keys)
        return entry

    def _begin(self, armed: _Armed) -> None:
        if armed.number not in self._armed:
            return  # disarmed before its time
        fault = armed.fault
        armed.has_begun = True
        if fault.duration_s:
            self.floor.agenda.after(int(fault.duration_s * NS_PER_S), lambda: self._over(armed.number))
        if fault.kind in OF_VENUE:
            armed.entry = self._write(armed.number, fault.kind, fault.venue, fault.stream, 0)
            return
        for peer in self.floor.matching(fault.venue, fault.stream, fault.conn):
            self._attach(armed, peer)

    def _over(self, number: int) -> None:
        self.disarm(number)

    def _attach(self, armed: _Armed, peer: "Peer") -> None:
        fault = armed.fault
        if fault.kind in OF_VENUE or not peer.matches(fault.venue, fault.stream, fault.conn):
            return
        if not fault.duration_s:
            self._armed.pop(armed.number, None)  # connections that come later do not get it
        trouble = Trouble(self, armed.number, fault)
        peer.troubles.append(trouble)
        if trouble.acts_at_once:
            trouble.act(peer)

    def _write(self, fault: int, kind: str, venue: str, stream: str, conn: int) -> Happened:
        entry = Happened(
            len(self.log) + 1, fault, kind, venue, stream, conn, self.floor.agenda.now_ns, None, kind in LOSES_DATA
        )
        self.log.append(entry)
        return entry

"""A fault at work on one connection: what it withholds, what it makes of a frame, what it does at once."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from observer.exchange.fault import OF_FRAME, SPANS, Fault, Happened
from observer.exchange.spoil import SPOILS, spoil

if TYPE_CHECKING:
    from observer.exchange.faults import Faults
    from observer.exchange.peer import Peer

_DEEP, _BIG_BYTES = 200_000, 32 << 20


class Trouble:
    """A fault on its way to, or at work on, one connection.

    Attributes:
        fault: which.
        number: the fault's number.
    """

    def __init__(self, faults: "Faults", number: int, fault: Fault) -> None:
        self.fault, self.number = fault, number
        self._faults = faults
        self._wait, self._left = fault.after_messages, fault.count
        self._span: Happened | None = None
        self._held: bytes | None = None

    @property
    def acts_at_once(self) -> bool:
        """Whether it needs no data frame to act on or to wait for."""
        return self._wait == 0 and self.fault.kind not in OF_FRAME

    def withholds(self, peer: "Peer", keys: Iterable[str]) -> bool:
        """Whether this data frame never comes to be (a frozen or dead connection)."""
        if self.fault.kind not in SPANS or self._wait > 0:
            return False
        if self._span is None:
            self._span = self._faults.begin(self.number, self.fault.kind, peer)
        self._span.frames += 1
        self._span.keys.update(keys)
        return True

    def frame(self, peer: "Peer", payload: bytes, keys: Iterable[str]) -> list[bytes]:
        """What is sent in place of a data frame."""
        if self._wait > 0:
            self._wait -= 1
            if self.acts_at_once:
                self.act(peer)
            return [payload]
        return self._made_of(peer, payload, keys) if self.fault.kind in OF_FRAME else [payload]

    def act(self, peer: "Peer") -> None:
        """Do what needs no data frame. A span begins here and stays; everything else is over with it."""
        kind, session = self.fault.kind, peer.session
        assert session is not None
        if kind == "freeze":
            return  # begins with the first frame that it withholds
        if kind == "half_open":
            self._span = self._faults.begin(self.number, kind, peer)
            self._span.keys.update(session.keys)
            peer.is_half_open = True
            return
        self._faults.note(kind, peer, self.number).frames = 1
        if kind == "abort":
            peer.abort()
        elif kind == "close":
            peer.close(self.fault.code, "fault")
        elif kind == "slow":
            session.slow()
        elif kind == "day_cut":
            session.cut()
        elif kind == "unknown":
            peer.raw(session.surprise())
        elif kind == "huge_book":
            session.huge(self.fault.levels)
        elif kind == "bomb_deep":
            peer.raw(b"[" * _DEEP)
        else:
            peer.raw(b'{"event_type":"' + b"x" * _BIG_BYTES + b'"}')
        self.end(peer)

    def end(self, peer: "Peer") -> None:
        """Stop acting on a connection."""
        if self._held is not None:
            peer.raw(self._held)
            self._held = None
        if self.fault.kind == "half_open":
            peer.is_half_open = False
        if self._span is not None:
            self._span.end_ns = self._faults.floor.agenda.now_ns
        if self in peer.troubles:
            peer.troubles.remove(self)

    def _made_of(self, peer: "Peer", payload: bytes, keys: Iterable[str]) -> list[bytes]:
        kind = self.fault.kind
        if self._held is not None:  # the frame after the one that was held back
            held, self._held = self._held, None
            self._count_down(peer)
            return [payload, held]
        made = self._spoiled(peer, payload)
        if made is None:
            return [payload]  # nothing in it that this fault could spoil; the next frame may do
        entry = self._faults.begin(self.number, kind, peer)
        entry.frames, entry.keys, entry.sample = 1, set(keys), payload[:200].decode(errors="replace")
        if entry.loses_data:
            peer.losses.append(entry)
        else:
            entry.end_ns = entry.start_ns
        if kind == "reorder":
            self._held = payload
            return []
        self._count_down(peer)
        return made

    def _spoiled(self, peer: "Peer", payload: bytes) -> list[bytes] | None:
        kind = self.fault.kind
        if kind in SPOILS:
            bad = spoil(kind, peer.venue, payload)
            return None if bad is None else [bad]
        if kind == "duplicate":
            return [payload, payload]
        return [payload[: len(payload) // 2]] if kind == "garbage" else []

    def _count_down(self, peer: "Peer") -> None:
        self._left -= 1
        if self._left <= 0:
            self.end(peer)

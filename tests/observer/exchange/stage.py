"""A venue of the exchange without sockets: virtual time only, and connections that keep what they are sent."""

import json
from types import SimpleNamespace
from typing import Any, cast

from observer.exchange.floor import Floor
from observer.exchange.markets.world import World
from observer.exchange.peer import Peer, Session
from observer.exchange.settings import ExchangeSettings
from observer.exchange.venues import VENUES
from observer.kit.clock import NS_PER_S, parse_iso

START = "2026-11-20T14:01:00Z"
START_NS = parse_iso(START)
OPEN_S = parse_iso("2026-11-20T14:00:00Z") // NS_PER_S  # a quarter hour opened just before


class _Transport:
    """Takes what is written and says that it is open."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> None:
        return None

    def close(self) -> None:
        self.is_closed = True

    abort = close


class KeptPeer(Peer):
    """A connection, faults and all, whose frames stay here."""

    def __init__(self, floor: Floor, venue: str, stream: str) -> None:
        self.transport = _Transport()
        super().__init__(floor, venue, stream, cast(Any, SimpleNamespace(transport=self.transport)), cast(Any, None))

    def begin(self, session: Session) -> None:
        """Take the session on, as `serve` does."""
        self.session = session
        self.floor.peers[self.number] = self
        self.floor.faults.peer_opened(self)

    def texts(self) -> list[str]:
        """Every text frame since the last call."""
        found = [_payload(raw) for raw in self.transport.written if raw[0] == 0x81]
        self.transport.written.clear()
        return [payload.decode() for payload in found]

    def messages(self) -> list[Any]:
        """Every JSON value since the last call, arrays taken apart; other text is left out."""
        found: list[Any] = []
        for text in self.texts():
            if text[:1] in ("{", "["):
                value = json.loads(text)
                found += value if isinstance(value, list) else [value]
        return found


class Stage:
    """One venue in virtual time.

    Attributes:
        floor: its clock and faults.
        venue: the venue.
    """

    def __init__(self, name: str, *, seed: int = 0, start_ns: int = START_NS, **settings: Any) -> None:
        chosen = ExchangeSettings(seed=seed, coins=settings.pop("coins", ("BTC",)), **settings)
        self.name = name
        self.floor = Floor(seed, start_ns, 1.0)
        world = None if chosen.replay else World(self.floor, chosen.coins, chosen.moves_hz)
        self.venue: Any = VENUES[name](self.floor, world, chosen)
        self.floor.agenda.run_until(start_ns)

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self.floor.agenda.now_ns

    def run(self, seconds: float) -> None:
        """Let so many virtual seconds pass."""
        self.floor.agenda.run_until(self.now_ns + int(seconds * NS_PER_S))

    def peer(self, stream: str) -> KeptPeer:
        """A new connection without a session."""
        return KeptPeer(self.floor, self.name, stream)


def _payload(raw: bytes) -> bytes:
    size = raw[1] & 0x7F
    return raw[{126: 4, 127: 10}.get(size, 2) :]

"""What the numbers of a run stand for: connections, instruments and markets, learnt from the notes as they come."""

from dataclasses import dataclass, field

from observer.store.batch import (
    Connected,
    Denied,
    Disconnected,
    Fetched,
    GapSeen,
    InstrumentSeen,
    MarketChanged,
    MarketEnded,
    MarketSeen,
    Note,
    OutcomeSeen,
    Quarantined,
)

# The folder of what belongs to no venue: lateness, clock steps, what was not written.
RECORDER = "recorder"


@dataclass
class Names:
    """The names that are known so far in one segment; each segment starts by naming everything alive."""

    connections: dict[int, Connected] = field(default_factory=dict[int, Connected])
    instruments: dict[int, InstrumentSeen] = field(default_factory=dict[int, InstrumentSeen])
    markets: dict[int, MarketSeen] = field(default_factory=dict[int, MarketSeen])
    _venues: dict[str, str] = field(default_factory=dict[str, str])

    def learn(self, note: Note) -> bool:
        """Remember what a note names; False where it names nothing."""
        if isinstance(note, Connected):
            self.connections[note.conn] = note
        elif isinstance(note, InstrumentSeen):
            self.instruments[note.number] = note
        elif isinstance(note, MarketSeen):
            self.markets[note.number] = note
            self._venues[note.row["market_id"]] = note.row["venue"]
        else:
            return False
        return True

    def forget(self, conn: int) -> None:
        """A connection has ended."""
        self.connections.pop(conn, None)

    def alive(self, venue: str) -> list[Note]:
        """The notes that name everything of a venue; what another note refers to comes before it."""
        named = [*self.instruments.values(), *self.markets.values(), *self.connections.values()]
        return [note for note in named if self.venue_of(note) == venue]

    def venue_of_connection(self, conn: int) -> str:
        """The venue that a connection leads to; `RECORDER` where nobody named it."""
        known = self.connections.get(conn)
        return RECORDER if known is None else known.venue

    def venue_of_instrument(self, number: int) -> str:
        """The venue of an instrument; `RECORDER` where nobody named it."""
        known = self.instruments.get(number)
        return RECORDER if known is None else known.venue

    def venue_of(self, note: Note) -> str:
        """The venue that a note is about; `RECORDER` where it is about none."""
        if isinstance(note, Connected | InstrumentSeen):
            return note.venue
        if isinstance(note, MarketSeen):
            return note.row["venue"]
        if isinstance(note, Disconnected | Quarantined | Fetched):
            return self.venue_of_connection(note.conn)
        if isinstance(note, GapSeen | Denied):
            return self.venue_of_instrument(note.ins)
        if isinstance(note, MarketChanged | MarketEnded | OutcomeSeen):
            return self._venues.get(note.market_id, RECORDER)
        return RECORDER

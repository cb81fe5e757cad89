"""Raw frames read again, by today's decoders: how a mended decoder mends what was recorded before.

The same line, intake and ticker as in the recorder, under a clock that shows each frame's own time. What did not come
off a socket (a connection that ended, a book that REST denied) comes from the notes. Where decoder and frames are
those of the recording, the events and ticks are, number by number, the recorded ones.
"""

from observer.capture.clock import Anchor, Clock
from observer.capture.counters import Counters
from observer.capture.intake import MUTE, Intake
from observer.capture.line import LiveLine
from observer.capture.ticker import Ticker
from observer.ports import Decoder, Instrument, Listing, StreamPlan, Venue
from observer.store.batch import (
    Batch,
    ClockStep,
    Connected,
    Denied,
    Disconnected,
    Dropped,
    GapSeen,
    InstrumentSeen,
    Lateness,
    MarketChanged,
    MarketSeen,
    Note,
    OutcomeSeen,
)
from observer.store.market_rows import market_from
from observer.store.pause import DISK_FULL

_AS_THEY_ARE = (ClockStep, OutcomeSeen, MarketChanged)  # notes that no frame tells


class Replayer:
    """Takes the notes and frames of one run in order of time and makes batches of them.

    Args:
        venues: name -> venue, for their decoders.
        tick_ns: spacing of the grid.
        start_ns: just before the first note or frame.
    """

    def __init__(self, venues: dict[str, Venue], tick_ns: int, start_ns: int) -> None:
        self._now_ns = start_ns
        self._venues = venues
        clock = Clock(Anchor(0, 0), mono_ns=lambda: self._now_ns)
        self.intake = Intake(clock, Counters())
        self._ticker = Ticker(self.intake, tick_ns)
        self._instruments: dict[int, Instrument] = {}
        self._markets: dict[str, tuple[str, int]] = {}  # venue, number
        self._named: dict[str, tuple[set[int], set[str]]] = {}  # in this segment, by venue: instruments, markets
        self._connections: dict[int, tuple[int, LiveLine, Decoder, tuple[Instrument, ...]]] = {}

    def note(self, note: Note, at_ns: int) -> None:
        """Take a note that was true at `at_ns`; one that a frame tells anyway is passed over."""
        self._go_on(at_ns)
        match note:
            case InstrumentSeen():
                self._instrument(note)
            case MarketSeen():
                self._market(note)
            case Connected():
                self._connect(note)
            case Disconnected():
                self._disconnect(note)
            case Lateness():  # the recorder was awake, whether frames came or not
                self._ticker.catch_up(note.tick_ns)
            case Dropped():
                self._dropped(note)
            case Denied():
                if (instrument := self._instruments.get(note.ins)) is not None:
                    self.intake.deny(instrument, note.since_ns, note.reason)
            case GapSeen() if note.reason == MUTE:
                if (instrument := self._instruments.get(note.ins)) is not None:
                    self.intake.missed(instrument, note.start_ns, note.end_ns, note.reason)
            case _ if isinstance(note, _AS_THEY_ARE):
                self.intake.notes.append(note)
            case _:
                pass

    def frame(self, conn: int, recv_ns: int, payload: bytes, fetched: int) -> None:
        """Take a frame; `fetched` is the instrument whose book by REST it is, or -1."""
        self._go_on(recv_ns)
        known = self._connections.get(conn)
        if known is None:  # its connection's note was not kept: nobody can say what it was
            return
        _, line, decoder, _ = known
        if fetched >= 0:
            if (instrument := self._instruments.get(fetched)) is not None:
                line.fetched(instrument, payload, decoder.snapshot)
        else:
            line.receive(payload, decoder.message)

    def forget_ended(self) -> None:
        """A segment was read. Each names at its start all that is alive, so what its venue named no more has ended."""
        for venue, (numbers, market_ids) in self._named.items():
            ended = [name for name, (of, _) in self._markets.items() if of == venue and name not in market_ids]
            for market_id in ended:
                self._ticker.drop(market_id)
                self.intake.drop_market(self._markets.pop(market_id)[1], market_id)
            gone = [n for n, one in self._instruments.items() if one.venue == venue and n not in numbers]
            for number in gone:
                self.intake.drop_instrument(self._instruments.pop(number))
        self._named.clear()

    def finish(self, end_ns: int) -> None:
        """The run ended: take the last ticks and end what is open."""
        self._go_on(end_ns)
        self._ticker.catch_up(end_ns)
        self.intake.finish()

    def take(self) -> Batch:
        """The batch since the last call."""
        return self.intake.take()

    def _go_on(self, at_ns: int) -> None:
        self._now_ns = max(self._now_ns, at_ns)

    def _names_of(self, venue: str) -> tuple[set[int], set[str]]:
        return self._named.setdefault(venue, (set(), set()))

    def _instrument(self, note: InstrumentSeen) -> None:
        self._names_of(note.venue)[0].add(note.number)
        if note.number in self._instruments:
            return
        instrument = Instrument(note.venue, note.key, note.market_id, note.token, note.symbol, note.source)
        self.intake.add_instrument(instrument)
        self._instruments[note.number] = instrument

    def _market(self, note: MarketSeen) -> None:
        market = market_from(note.row)
        self._names_of(market.venue)[1].add(market.market_id)
        books = tuple(self._instruments[n] for n in (note.up, note.down) if n >= 0)
        listing = Listing(market, books, note.is_mirrored, condition_id=note.condition_id)
        if market.market_id in self._markets:
            self.intake.describe_market(self._markets[market.market_id][1], listing)
            return
        self._ticker.catch_up(self._now_ns)
        number = self.intake.add_market(listing)
        self._markets[market.market_id] = market.venue, number
        self._ticker.add(listing, number)

    def _connect(self, note: Connected) -> None:
        if note.conn in self._connections:
            return
        carried = tuple(self._instruments[n] for n in note.instruments if n in self._instruments)
        number = self.intake.add_connection(note.venue, note.name, note.url, carried)
        line = LiveLine(
            self.intake, note.venue, number,
            send=lambda payload: None, fetch=lambda instrument: None, reopen=lambda reason: None,
        )  # fmt: skip
        decoder = self._venues[note.venue].decoder(StreamPlan(note.name, note.url, carried), line)
        self._connections[note.conn] = (number, line, decoder, carried)

    def _dropped(self, note: Dropped) -> None:
        """Rows were not written: without frames books are unknown, and after lost ticks the next carries its ladder."""
        self.intake.notes.append(note)
        if note.what == "raw":
            self._ticker.catch_up(note.start_ns)
            for instrument in self.intake.instruments.values():
                if instrument.book.is_valid:
                    self.intake.open_gap(instrument, note.start_ns, f"frames not written: {note.reason}")
        elif note.what == "ticks" and note.reason == DISK_FULL:
            self._ticker.forget()

    def _disconnect(self, note: Disconnected) -> None:
        known = self._connections.pop(note.conn, None)
        if known is None:
            return
        number, line, _, carried = known
        self._ticker.catch_up(self._now_ns)
        for instrument in carried:
            if instrument.owner == number or instrument.owner < 0:
                self.intake.open_gap(instrument, line.last_data_ns, note.reason)
        self.intake.drop_connection(number, note.reason, planned=note.planned)

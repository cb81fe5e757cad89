"""A recorder without sockets: the real intake, lines, ticker and log, fed by a script on a clock of the test's own."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from observer.book import ASK, BID
from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.line import LiveLine
from observer.capture.site import LINGER_NS
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.ports import Instrument, Listing
from observer.records import BUY, DOWN, SELL, UP, Market
from observer.store.batch import BOOK, LEVEL, LOST, PRICE, TRADE, Batch
from observer.store.segment_log import LogRules, SegmentLog
from observer.store.watermarks import Watermarks
from tests.samples.tapes import make_market

TICK_NS = NS_PER_S // 2
START_NS = 1_799_996_400 * NS_PER_S  # 2027-01-15T07:00:00Z
NO_MARKS = Watermarks(0.0, 0.0, 0.0, 0)
CENT = SCALE // 100


def window(market_id: str, open_s: float, close_s: float, **changes: Any) -> Market:
    """A market whose window is given in seconds after `START_NS`."""
    return replace(
        make_market(), market_id=market_id, open_ns=START_NS + round(open_s * NS_PER_S),
        close_ns=START_NS + round(close_s * NS_PER_S), **changes,
    )  # fmt: skip


def two_books(market: Market) -> Listing:
    """A market with a book for each token, of venue "test"."""
    name = market.market_id
    return Listing(market, tuple(Instrument("test", f"{name}-{t}", name, t, market.symbol) for t in (UP, DOWN)))


def one_book(market: Market) -> Listing:
    """A market whose Down mirrors its Up, of venue "mirror"."""
    up = Instrument("mirror", market.market_id, market.market_id, UP, market.symbol)
    return Listing(replace(market, venue="mirror"), (up,), is_mirrored=True)


@dataclass
class ScriptedRecorder:
    """One run of a recorder whose every frame is a list of the events it stands for.

    Attributes:
        batches: what was written, as it was handed to the log.
        segments: sealed so far.
    """

    root: Path
    run_id: str
    start_s: float = 0.0
    seed: int = 0
    batches: list[Batch] = field(default_factory=list)
    segments: list[Path] = field(default_factory=list)
    frames: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now_ns = START_NS + round(self.start_s * NS_PER_S)
        self.clock = Clock(wall_ns=lambda: self.now_ns, mono_ns=lambda: self.now_ns)
        self.intake = Intake(self.clock, Counters())
        self.ticker = Ticker(self.intake, TICK_NS)
        self.rng = random.Random(f"{self.run_id} {self.seed}")
        self.log = SegmentLog(self.root / "spool", self.run_id, LogRules(None, 1 << 30, 10**9, NO_MARKS))
        self.lines: dict[str, LiveLine] = {}
        self.preamble = self.intake.preamble

    def line(self, venue: str) -> LiveLine:
        """The one connection to a venue."""
        if venue not in self.lines:
            number = self.intake.add_connection(venue, "all", f"ws://{venue}", ())
            self.lines[venue] = LiveLine(
                self.intake, venue, number, send=lambda b: None, fetch=lambda i: None, reopen=lambda reason: None
            )
        return self.lines[venue]

    def list(self, *listings: Listing) -> None:
        """Record these markets from now on."""
        for listing in listings:
            for instrument in listing.instruments:
                if instrument.number < 0:
                    self.intake.add_instrument(instrument)
            self.ticker.add(listing, self.intake.add_market(listing))

    def feed(self, venue: str, source: str, symbol: str = "BTC") -> Instrument:
        """Record an underlying from now on."""
        instrument = Instrument(venue, f"{symbol}-USD", "", 0, symbol, source)
        self.intake.add_instrument(instrument)
        return instrument

    def frame(self, instrument: Instrument, *events: tuple[Any, ...], after_s: float = 0.0) -> None:
        """A frame arrives that says these events, each (kind, ...) as a decoder would tell it."""
        self.now_ns += round(after_s * NS_PER_S)
        line = self.line(instrument.venue)
        payload = msgspec.json.encode([instrument.key, *events])
        self.frames.setdefault(instrument.venue, []).append((self.now_ns, payload))
        line.receive(payload, lambda body: say(line, {instrument.key: instrument}, body))

    def book(self, instrument: Instrument, mid: int = 50, depth: int = 12) -> None:
        """A frame with a whole book around `mid` cents."""
        size = self._size
        bids = [((mid - 1 - i) * CENT, size()) for i in range(min(depth, mid - 1))]
        asks = [((mid + 1 + i) * CENT, size()) for i in range(min(depth, 98 - mid))]
        self.frame(instrument, (BOOK, bids, asks))

    def run(self, until_s: float, *instruments: Instrument, frames_per_s: float = 6.0, trades: bool = True) -> None:
        """Let time pass with changes near the touch of these books, and some trades; a batch each half second."""
        end_ns = START_NS + round(until_s * NS_PER_S)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + round(self.rng.expovariate(frames_per_s) * NS_PER_S) + 1)
            due_ns = self.intake.due_ns
            if instruments and self.now_ns < end_ns:
                self._change(self.rng.choice(instruments), trades=trades)
            else:
                self.ticker.catch_up(self.now_ns)
            if self.intake.due_ns != due_ns:
                self.write()

    def write(self) -> None:
        """Hand the batch in the making to the log; windows that have closed are let go."""
        for name, market in list(self.ticker.markets.items()):
            if market.listing.market.close_ns + LINGER_NS < self.now_ns:
                self.ticker.drop(name)
                self.intake.drop_market(market.number, name)
        batch = self.intake.take()
        self.batches.append(batch)
        self.log.write(batch, self.preamble, self.now_ns / NS_PER_S)
        self.preamble = self.intake.preamble

    def roll(self) -> Path:
        """Seal the segment; the next batch begins another."""
        self.write()
        before = set((self.log._wal).glob("*.wal"))
        self.log.close()
        (path,) = set((self.log._wal).glob("*.wal")) - before
        self.segments.append(path)
        return path

    def stop(self) -> Path:
        """End the run as SIGTERM does."""
        self.intake.finish()
        return self.roll()

    def _change(self, instrument: Instrument, *, trades: bool) -> None:
        book, rng = instrument.book, self.rng
        side = rng.randrange(2)
        best = book.best(side)
        price = best + (rng.randrange(-3, 1) if side == BID else rng.randrange(0, 4)) * CENT
        other = book.best(ASK if side == BID else BID)
        is_free = price < other if side == BID else price > other
        if trades and rng.random() < 0.2 and best:
            taker = SELL if side == BID else BUY
            trade = (TRADE, taker, best, self._size(), f"{instrument.key}-{rng.randrange(10**12)}")
            self.frame(instrument, trade)
        elif book.is_valid and 0 < price < SCALE and is_free:
            size = 0 if rng.random() < 0.3 and len(book.top(side, 3)) > 2 else self._size()
            self.frame(instrument, (LEVEL, side, price, size))
        else:
            self.ticker.catch_up(self.now_ns)

    def _size(self) -> int:
        return self.rng.randrange(100, 50_000) * SCALE // 100


def say(line: LiveLine, instruments: dict[str, Instrument], payload: bytes) -> bool:
    """What a decoder of these frames does: the frame's events, told to the line."""
    key, *events = msgspec.json.decode(payload)
    instrument = instruments[key]
    venue_ns = line.recv_ns - 7
    for kind, *rest in events:
        if kind == BOOK:
            bids, asks = ([(price, size) for price, size in levels] for levels in rest)
            line.book(instrument, bids, asks, venue_ns)
        elif kind == LEVEL:
            line.level(instrument, *rest, venue_ns)
        elif kind == TRADE:
            side, price, size, trade_id = rest
            line.trade(instrument, side, price, size, venue_ns, trade_id)
        elif kind == PRICE:
            line.price(instrument, rest[0], venue_ns)
        elif kind == LOST:
            line.lost(instrument, rest[0])
        else:
            line.refuse(rest[0])
    return True


REFUSE = -1  # as a kind: the decoder refuses the frame, with a reason
Act = Callable[[], None]

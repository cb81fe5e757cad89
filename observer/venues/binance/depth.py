"""One book of Binance: events that count up, and a REST snapshot that falls somewhere between them.

1. Events are kept until a snapshot has come, which is asked for with the first of them.
2. Events that the snapshot already holds are dropped. The next one must bridge it; where none can (the snapshot is
   older than the first event kept) another snapshot is asked for.
3. From then on each event must follow the one before. A hole means that the book is lost, and 1. starts again.

The rules differ between products (`observer.venues.binance.rules`); the procedure does not. An event that was seen
before changes nothing; many of them in a row mean that the venue counts anew. Now and then another snapshot is held
against the book: levels beyond the first snapshot are unknown until they change, and one stream may fall silent while
its connection lives on.
"""

from collections import deque

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, Line
from observer.venues.binance.check import BookCheck
from observer.venues.binance.rules import DepthEvent, RestBook, Rule

HOLE = "update ids have a hole"
COUNTS_ANEW = "update ids went back"
CROSSED = "book crossed by the venue's own updates"
DISAGREES = "book disagrees with REST"
SILENT = "a depth stream is silent while REST moves on"

ASK_AGAIN_NS = 15 * NS_PER_S
CHECK_NS = 300 * NS_PER_S
QUIET_NS = 30 * NS_PER_S  # without an event for so long, look whether REST has moved on
REACH_NS = 3 * NS_PER_S  # how far a stream may lag behind a snapshot
MAX_KEPT_LEVELS = 100_000
MAX_REPEATS = 100


class DepthSync:
    """Keeps one instrument's book in step with its stream, on one connection.

    Args:
        instrument: whose book.
        line: who is told.
        rule: `rules.SPOT` or `rules.USDM`.
    """

    __slots__ = (
        "_asked_ns", "_check", "_checked_ns", "_heard_ns", "_instrument", "_is_linked", "_kept", "_kept_levels",
        "_last_id", "_line", "_repeats", "_rule",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, line: Line, rule: Rule) -> None:
        self._instrument, self._line, self._rule = instrument, line, rule
        self._last_id: int | None = None  # what the book is at; None while there is none
        self._is_linked = False  # whether an event has been put on top of the snapshot
        self._kept: deque[DepthEvent] = deque()
        self._kept_levels = 0
        self._repeats = 0
        self._asked_ns: int | None = None  # when the snapshot that is waited for was asked for
        self._heard_ns: int | None = None  # when the last event came
        self._checked_ns = 0
        self._check: BookCheck | None = None

    def event(self, event: DepthEvent) -> None:
        """Read one event of the stream."""
        self._heard_ns = self._line.recv_ns
        last_id, rule = self._last_id, self._rule
        if last_id is None:
            self._keep(event)
            return
        if self._is_linked:
            is_old, fits = event.last_id <= last_id, rule.follows(last_id, event)
        else:
            is_old, fits = rule.is_held(last_id, event), rule.bridges(last_id, event)
        if is_old:
            self._repeated()
        elif fits:
            self._apply(event)
        else:
            self.lose(HOLE)
            self._keep(event)

    def snapshot(self, found: RestBook) -> None:
        """Read a book by REST: the one that is waited for, or one to check against."""
        if self._last_id is not None:
            self._compare(found, self._last_id)
            return
        rule = self._rule
        beyond = [event for event in self._kept if not rule.is_held(found.last_id, event)]
        if beyond and not rule.bridges(found.last_id, beyond[0]):
            self._ask()
            return
        self._forget_kept()
        self._last_id, self._is_linked, self._asked_ns = found.last_id, False, None
        self._checked_ns = self._line.recv_ns
        self._line.book(self._instrument, found.bids, found.asks, found.venue_ns, found.last_id)
        for event in beyond:
            self.event(event)

    def unreadable(self) -> None:
        """The answer said nothing: the next `look` asks again."""
        self._asked_ns = None

    def lose(self, reason: str) -> None:
        """The book cannot be trusted any more; the line asks for another one."""
        self._forget_kept()
        if self._last_id is None:
            return
        self._last_id, self._check = None, None
        self._asked_ns = self._line.recv_ns
        self._line.lost(self._instrument, reason)

    def look(self) -> None:
        """Ask again, check, notice silence; called about once a second by whatever arrives on the connection."""
        if self._heard_ns is None:
            return  # nothing of it ever came: a symbol that this venue does not have
        now_ns = self._line.recv_ns
        if self._last_id is None:
            if self._asked_ns is None or now_ns - self._asked_ns >= ASK_AGAIN_NS:
                self._ask()
            return
        check = self._check
        if check is not None and check.ahead is not None and now_ns - check.ahead_ns >= REACH_NS:
            self._check = None
            self._line.lost_all(SILENT)
            return
        is_quiet = now_ns - self._heard_ns >= QUIET_NS
        if now_ns - self._checked_ns >= (QUIET_NS if is_quiet else CHECK_NS):
            self._checked_ns, self._check = now_ns, BookCheck()
            self._line.fetch(self._instrument)

    def _keep(self, event: DepthEvent) -> None:
        """Keep an event until the snapshot comes; a hole among them shows when they are put on top of it."""
        kept = self._kept
        if kept and event.last_id <= kept[-1].last_id:
            self._repeated()
            return
        self._repeats = 0
        kept.append(event)
        self._kept_levels += len(event.bids) + len(event.asks)
        while self._kept_levels > MAX_KEPT_LEVELS and len(kept) > 1:
            oldest = kept.popleft()
            self._kept_levels -= len(oldest.bids) + len(oldest.asks)
        if self._asked_ns is None:
            self._ask()

    def _apply(self, event: DepthEvent) -> None:
        instrument, level = self._instrument, self._line.level
        _, last_id, _, venue_ns, bids, asks = event
        for price, size in bids:
            level(instrument, BID, price, size, venue_ns, last_id)
        for price, size in asks:
            level(instrument, ASK, price, size, venue_ns, last_id)
        self._last_id, self._is_linked, self._repeats = last_id, True, 0
        if instrument.book.is_crossed:
            self.lose(CROSSED)
            return
        check = self._check
        if check is not None:
            check.note(event)
            if check.is_over:
                self._check = None
            elif check.ahead is not None and last_id >= check.ahead.last_id:
                self._judge(check, check.ahead, last_id)

    def _compare(self, found: RestBook, last_id: int) -> None:
        """A snapshot while there is a book: one that `look` asked for, or one that nobody waits for any more."""
        check = self._check
        if check is None:
            return
        if found.last_id > last_id:
            check.ahead, check.ahead_ns = found, self._line.recv_ns
        else:
            self._judge(check, found, last_id)

    def _judge(self, check: BookCheck, found: RestBook, last_id: int) -> None:
        self._check = None
        instrument = self._instrument
        is_ours = instrument.book.is_valid and instrument.owner in (-1, self._line.number)
        if is_ours and not check.agrees(found, last_id, self._rule, instrument):
            self.lose(DISAGREES)

    def _repeated(self) -> None:
        self._repeats += 1
        if self._repeats >= MAX_REPEATS:
            self._repeats = 0
            self.lose(COUNTS_ANEW)

    def _ask(self) -> None:
        self._asked_ns = self._line.recv_ns
        self._line.fetch(self._instrument)

    def _forget_kept(self) -> None:
        self._kept.clear()
        self._kept_levels = 0

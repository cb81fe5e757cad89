"""Reads one Kalshi connection: books from snapshots and signed changes, trades, lifecycle, index values.

* Messages of a book subscription are numbered. A hole means that every book of it is unknown until the snapshots that
  are asked for at once have come; a number seen before is a repeat and changes nothing.
* Changes are differences, so the totals are kept here, per connection: while two connections overlap, each adds up
  its own messages.
* A REST book has no place in the numbering. It is read by a decoder that has no subscription (a check) and left alone
  by one that has: its books are restored by the socket's own snapshots only.
* `determined` may still be disputed or amended, so an outcome is told when it is `settled`.
"""

from collections.abc import Sequence

from observer.kit.clock import NS_PER_MS
from observer.kit.decimals import SCALE, BadNumber, scaled
from observer.ports import Instrument, Line
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.awaited import Awaited
from observer.venues.kalshi.books import BadBook, TickerBook, index_price, whole_book
from observer.venues.kalshi.frames import (
    KNOWN_TYPES,
    Delta,
    Error,
    EventLifecycle,
    FastIndexValue,
    Frame,
    IndexValue,
    Lifecycle,
    LifecycleBody,
    Ok,
    Snapshot,
    Subscribed,
    Trade,
    Unsubscribed,
    decode_frame,
    decode_index_data,
    decode_named,
    decode_rest_book,
)
from observer.venues.kalshi.listing import CUT
from observer.venues.kalshi.payoff import payoff_up
from observer.venues.kalshi.subscriptions import BOOKS, Subscription, Subscriptions
from observer.venues.times import AHEAD_NS, FIRST_NS, believed

HOLE = "sequence hole"
ENDED = "subscription ended by the venue"
BAD_NUMBER = "number that is no plain decimal"
SETTLED = "kalshi: settled, as determined on its lifecycle channel"


class KalshiDecoder:
    """Implements `observer.ports.Decoder`.

    Args:
        line: who is told.
        instruments: markets by their ticker, and indices by their index id.
        subscriptions: the connection's, their frames as the plan sends them.
    """

    def __init__(self, line: Line, instruments: Sequence[Instrument], subscriptions: Subscriptions) -> None:
        self._line, self._subscriptions = line, subscriptions
        self._books = {i.key: TickerBook(i) for i in instruments if i.market_id}
        self._indices = {i.key: i for i in instruments if not i.market_id}
        self._fast: set[str] = set()  # indices that the fast feed carries
        self._payoffs: dict[str, float] = {}  # of markets that are determined and not yet settled
        self._awaited = Awaited()

    def message(self, payload: bytes) -> bool:
        """Read one message; see `observer.ports.Decoder`."""
        try:
            frame = decode_frame(payload)
        except (ValueError, RecursionError):
            return self._unreadable(payload)
        is_data = self._delta(frame) if type(frame) is Delta else self._other(frame)
        if self._awaited.next_ns <= self._line.recv_ns:
            self._ask(self._awaited.due(self._line.recv_ns))
        return is_data

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read a book that came by REST; where the socket keeps this book, ask there instead."""
        if self._subscriptions.are_running:
            book = self._books.get(instrument.key)
            if book is not None and not instrument.book.is_valid:
                book.forget()
                self._want(book)
            return
        try:
            rest = decode_rest_book(payload).orderbook_fp
            bids, asks = whole_book(rest.yes_dollars or [], rest.no_dollars or [])
        except (ValueError, RecursionError) as error:
            self._line.refuse(_reason(error, "REST book of an unknown form"))
            return
        self._line.book(instrument, bids, asks, UNKNOWN_NS)

    def _other(self, frame: Frame) -> bool:
        """Everything but changes; returns whether it was data."""
        match frame:
            case Snapshot():
                self._snapshot(frame)
            case Trade():
                self._trade(frame)
            case Lifecycle():
                return self._lifecycle(frame.msg)
            case EventLifecycle():
                return False
            case FastIndexValue() | IndexValue():
                self._index(frame)
            case Subscribed():
                sid = frame.msg.sid if frame.sid is None else frame.sid
                if sid is not None:
                    self._began(self._subscriptions.began(frame.id, frame.msg.channel, sid))
                return False
            case Ok() | Unsubscribed():
                if frame.sid is not None and frame.seq is not None and frame.sid in self._subscriptions.by_sid:
                    self._in_order(frame.sid, frame.seq)
                return False
            case Error():
                self._error(frame)
                return False
            case Delta():
                self._delta(frame)
        return True

    def _delta(self, frame: Delta) -> bool:
        """A change of one level: nine messages of ten, so the usual way through is short."""
        body, seq, line = frame.msg, frame.seq, self._line
        subscription = self._subscriptions.by_sid.get(frame.sid)
        if subscription is not None and subscription.seq == seq - 1:
            subscription.seq = seq
        elif not self._in_order(frame.sid, seq):
            return True
        book = self._books.get(body.market_ticker)
        if book is None:
            return True
        if not book.is_known:
            self._want(book)
            return True
        try:
            side, price, total = book.change(body.side, body.price_dollars, body.delta_fp)
        except ValueError as error:
            line.refuse(_reason(error))
            self._lose(book, _reason(error))
            return True
        venue_ns = body.ts_ms * NS_PER_MS
        if not FIRST_NS < venue_ns < line.recv_ns + AHEAD_NS:
            venue_ns = self._time(body.ts_ms)
        line.level(book.instrument, side, price, total, venue_ns, seq)
        return True

    def _snapshot(self, frame: Snapshot) -> None:
        body = frame.msg
        book = self._books.get(body.market_ticker)
        if not self._in_order(frame.sid, frame.seq) or book is None:
            return
        try:
            bids, asks = whole_book(body.yes_dollars_fp, body.no_dollars_fp)
        except ValueError as error:
            self._line.refuse(_reason(error))
            self._lose(book, _reason(error))
            return
        book.replace(bids, asks)
        self._awaited.came(book.instrument.key)
        self._line.book(book.instrument, bids, asks, UNKNOWN_NS, frame.seq)

    def _trade(self, frame: Trade) -> None:
        body = frame.msg
        book = self._books.get(body.market_ticker)
        # A block trade was agreed upon elsewhere and met no quote of this book.
        if book is None or body.is_block_trade:
            return
        try:
            price, size = scaled(body.yes_price_dollars), scaled(body.count_fp)
        except BadNumber:
            self._line.refuse(BAD_NUMBER)
            return
        taker = body.taker_outcome_side or body.taker_side
        if taker is None or not 0 < price < SCALE or not size:
            self._line.refuse("trade without a taker, a size or a price between 0 and 1")
            return
        side = BUY if taker == "yes" else SELL
        self._line.trade(book.instrument, side, price, size, self._time(body.ts_ms), body.trade_id)

    def _lifecycle(self, body: LifecycleBody) -> bool:
        """Note what happened to a market of ours. A part of a longer market has no outcome of its own."""
        book = self._books.get(body.market_ticker)
        if book is None:
            return False
        market_id = book.instrument.market_id
        if body.event_type == "close_date_updated":
            self._line.changed(market_id, "close_ts", str(body.close_ts))
            return True
        self._line.changed(market_id, "status", body.event_type)
        if body.event_type == "determined":
            payoff = payoff_up(body.result or "", body.settlement_value or "")
            if payoff is None:
                self._line.refuse("determined with a payoff other than 1, 0 or 0.5")
            else:
                self._payoffs[market_id] = payoff
        elif body.event_type == "settled" and market_id in self._payoffs and CUT not in market_id:
            self._line.outcome(market_id, self._payoffs[market_id], SETTLED)
        return True

    def _index(self, frame: IndexValue | FastIndexValue) -> None:
        """Take the fast feed's values, and the slow feed's for an index that the fast one does not carry."""
        body = frame.msg
        instrument = self._indices.get(body.index_id)
        if instrument is None:
            return
        try:
            if isinstance(frame, FastIndexValue):
                self._fast.add(body.index_id)
                price, venue_ms = index_price(body.value_usd), body.source_ts_ms
            elif body.index_id in self._fast:
                return
            else:
                data = decode_index_data(body.data)
                price, venue_ms = index_price(data.value), data.time
        except (ValueError, RecursionError) as error:
            self._line.refuse(_reason(error, "index value of an unknown form"))
            return
        self._line.price(instrument, price, self._time(venue_ms))

    def _error(self, frame: Error) -> None:
        reason = f"error {frame.msg.code} of the venue"
        self._line.refuse(reason)
        remedy = self._subscriptions.failed(frame.id, frame.sid, frame.msg.code, self._line.recv_ns)
        if remedy.must_reopen:
            self._line.lost_all(reason)
            return
        if remedy.ended is not None and remedy.ended.channel == BOOKS:
            self._lose_all_of(remedy.ended, ENDED)
        for command in remedy.commands:
            self._line.send(command)

    def _in_order(self, sid: int, seq: int) -> bool:
        """Count a message; False where it is a repeat. A hole loses every book of the subscription."""
        subscription = self._subscriptions.by_sid.get(sid) or self._began(self._subscriptions.began(0, BOOKS, sid))
        if subscription is None or subscription.channel != BOOKS:
            return True
        before = subscription.seq
        if seq == before + 1 or before < 0:
            subscription.seq = seq
            return True
        if seq <= before:
            self._line.refuse("sequence number seen before")
            return False
        subscription.seq = seq
        self._lose_all_of(subscription, HOLE)
        self._ask([ticker for ticker in subscription.tickers if ticker not in self._awaited])
        return True

    def _began(self, subscription: Subscription | None) -> Subscription | None:
        """A subscription runs; its first snapshots come unasked."""
        if subscription is not None:
            for command in self._subscriptions.add_untried(subscription):
                self._line.send(command)
            if subscription.channel == BOOKS:
                self._awaited.asked(subscription.tickers, self._line.recv_ns)
        return subscription

    def _lose_all_of(self, subscription: Subscription, reason: str) -> None:
        for book in map(self._books.__getitem__, subscription.tickers):
            if book.is_known:
                book.forget()
                self._line.lost(book.instrument, reason)

    def _lose(self, book: TickerBook, reason: str) -> None:
        book.forget()
        self._line.lost(book.instrument, reason)
        self._want(book)

    def _want(self, book: TickerBook) -> None:
        """Ask for a snapshot, unless one is on its way."""
        if book.instrument.key not in self._awaited:
            self._ask([book.instrument.key])

    def _ask(self, tickers: list[str]) -> None:
        for command in self._subscriptions.get_snapshots(tickers):
            self._line.send(command)
        self._awaited.asked(tickers, self._line.recv_ns)

    def _time(self, venue_ms: int) -> int:
        return believed(self._line, venue_ms * NS_PER_MS or UNKNOWN_NS)

    def _unreadable(self, payload: bytes) -> bool:
        try:
            name = decode_named(payload).type
        except (ValueError, RecursionError):
            self._line.refuse("message that is no JSON object with a type")
            return False
        if name in KNOWN_TYPES:
            self._line.refuse(f"{name} of an unknown form")
        else:
            self._line.unknown(name)
        return False


def _reason(error: Exception, otherwise: str = "") -> str:
    """A fixed text for a refusal: reasons are counted by their text, so nothing of the message may be in it."""
    if isinstance(error, BadNumber):
        return BAD_NUMBER
    return str(error) if isinstance(error, BadBook) else otherwise

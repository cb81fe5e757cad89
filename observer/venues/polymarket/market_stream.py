"""Reads Polymarket's market socket: books, changes, trades.

There are no sequence numbers. A lost message is noticed because every change carries the venue's best prices
afterwards (`Line.top`), and by the checks against REST. Frames count as data only if they speak of a token of this
connection: `new_market` frames come for the whole venue and would hide a dead subscription.

A time that cannot be right (before 2020, or well ahead of us) is refused and recorded as unknown; the
levels beside it are still applied, because a wrong clock, ours perhaps, makes no book wrong.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import islice

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import SCALE, SCALED, BadNumber
from observer.ports import Instrument, Line
from observer.records import BUY, SELL, UNKNOWN_NS, UP
from observer.venues.polymarket.token_book import TokenBook, levels_of, reason_of
from observer.venues.polymarket.words import (
    BAD_JSON,
    Change,
    Event,
    read_event,
    read_events,
    read_rest_book,
    split_array,
    type_of,
)
from observer.venues.times import AHEAD_NS, FIRST_NS

CUT = "#"  # in the id of a window that was cut from a longer market
CROSSED = "book crossed by the venue's own update"
OUTCOME_SOURCE = "polymarket market_resolved"
_FAR_AHEAD_NS = 3600 * NS_PER_S
_MAX_STALE = 5
_MAX_NAMED = 10_000
_TOKEN_ID = re.compile(rb'"(\d+)"')


class MarketStream:
    """Decoder of one connection (`observer.ports.Decoder`)."""

    def __init__(self, instruments: Sequence[Instrument], line: Line) -> None:
        self._line = line
        self._tokens = {instrument.key: TokenBook(instrument) for instrument in instruments}
        self._rare: dict[str, Callable[[Event], bool]] = {
            "book": self._book,
            "price_change": self._old_changes,
            "last_trade_price": self._trade,
            "best_bid_ask": self._best,
            "tick_size_change": self._tick_size,
            "market_resolved": self._resolved,
            "new_market": lambda event: False,
        }

    def message(self, payload: bytes) -> bool:
        """Read one frame: an event, an array of events, or text."""
        if not payload.startswith(b"{"):
            return self._other(payload)
        try:
            event = read_event(payload)
        except BAD_JSON as error:
            return self._broken(payload, error)
        if event.price_changes is None or event.event_type != "price_change":
            return self._event(event)
        return self._changes(event, event.price_changes)

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Take a REST book, unless it is older than what was applied already."""
        line = self._line
        try:
            book = read_rest_book(payload)
            bids, asks = levels_of(book.bids, BID), levels_of(book.asks, ASK)
        except (*BAD_JSON, BadNumber) as error:
            line.refuse(f"REST book: {reason_of(error)}")
            return
        token = self._tokens.get(book.asset_id)
        if token is None or token.instrument is not instrument:
            line.refuse("REST book of another token")
            return
        venue_ns, order_ns = self._times(book.timestamp)
        if order_ns < token.applied_ns:
            token.n_stale += 1
            if not token.book.is_valid and token.n_stale <= _MAX_STALE:
                line.fetch(instrument)
            return
        if bids and asks and bids[0][0] >= asks[0][0]:
            line.refuse(f"REST book: {CROSSED}")
            return
        token.applied_ns = token.floor_ns = order_ns
        token.n_stale = 0
        line.book(instrument, bids, asks, venue_ns)
        waiting, token.waiting = token.waiting, []
        for at_ns, level_ns, side, price, size in waiting:
            if at_ns >= order_ns:
                token.applied_ns = max(token.applied_ns, at_ns)
                line.level(instrument, side, price, size, level_ns)

    def _changes(self, event: Event, changes: list[Change]) -> bool:
        """The frequent frame: new totals, each with the best prices after it."""
        line, tokens = self._line, self._tokens
        venue_ns = order_ns = event.timestamp * NS_PER_MS
        if not FIRST_NS < venue_ns < line.recv_ns + AHEAD_NS:
            venue_ns, order_ns = self._times(event.timestamp)
        is_mine = False
        for change in changes:
            token = tokens.get(change.asset_id)
            if token is None:
                continue
            is_mine = True
            if order_ns < token.floor_ns:
                continue
            instrument = token.instrument
            try:
                price, size = SCALED[change.price], SCALED[change.size]
                best_bid, best_ask = change.best_bid, change.best_ask
                bid = SCALED[best_bid] if best_bid else 0
                ask = SCALED[best_ask] if best_ask else 0
            except BadNumber:
                self._wrong(instrument, "price_change: bad number")
                continue
            if not 0 < price < SCALE:
                self._wrong(instrument, "price_change: price outside (0, 1)")
                continue
            side = BID if change.side == "BUY" else ASK
            if token.book.is_valid:
                if order_ns > token.applied_ns:
                    token.applied_ns = order_ns
                line.level(instrument, side, price, size, venue_ns)
            else:
                token.wait((order_ns, venue_ns, side, price, size))
            if best_bid is not None and best_ask is not None:
                if ask >= SCALE:
                    ask = 0
                if bid >= ask > 0:
                    self._wrong(instrument, "price_change: best prices crossed")
                else:
                    line.top(instrument, bid, ask)
        return is_mine

    def _old_changes(self, event: Event) -> bool:
        """The schema of before 2025-09-15: one token a frame, and no best prices."""
        if event.changes is None:
            self._line.refuse("price_change without changes")
            return False
        token = self._tokens.get(event.asset_id)
        if token is None:
            return False
        for change in event.changes:
            change.asset_id = event.asset_id
        self._changes(event, event.changes)
        if token.book.is_valid and token.book.is_crossed:
            self._wrong(token.instrument, CROSSED)
        return True

    def _book(self, event: Event) -> bool:
        token = self._tokens.get(event.asset_id)
        if token is None:
            return False
        instrument = token.instrument
        if event.bids is None or event.asks is None:
            self._wrong(instrument, "book without bids or asks")
            return True
        venue_ns, order_ns = self._times(event.timestamp)
        if order_ns < token.floor_ns:
            return True
        try:
            bids, asks = levels_of(event.bids, BID), levels_of(event.asks, ASK)
        except BadNumber as error:
            self._wrong(instrument, f"book: {reason_of(error)}")
            return True
        if bids and asks and bids[0][0] >= asks[0][0]:
            self._wrong(instrument, f"book: {CROSSED}")
            return True
        token.applied_ns = max(token.applied_ns, order_ns)
        token.n_stale = 0
        token.waiting.clear()
        self._line.book(instrument, bids, asks, venue_ns)
        return True

    def _trade(self, event: Event) -> bool:
        """A trade; it has no id of its own, so one is made of everything it says."""
        token = self._tokens.get(event.asset_id)
        if token is None:
            return False
        line = self._line
        if event.price is None or event.side is None:
            line.refuse("last_trade_price without price or side")
            return True
        if event.size is None:
            line.unknown("last_trade_price without size")
            return True
        try:
            price, size = SCALED[event.price], SCALED[event.size]
        except BadNumber:
            line.refuse("last_trade_price: bad number")
            return True
        if not 0 < price < SCALE or not size:
            line.refuse("last_trade_price: price outside (0, 1) or no size")
            return True
        venue_ns, _ = self._times(event.timestamp)
        said = f"{event.transaction_hash} {event.side} {price} {size} {event.timestamp}"
        trade_id = blake2b(said.encode(), digest_size=12).hexdigest()
        line.trade(token.instrument, BUY if event.side == "BUY" else SELL, price, size, venue_ns, trade_id)
        return True

    def _best(self, event: Event) -> bool:
        token = self._tokens.get(event.asset_id)
        if token is None:
            return False
        try:
            bid = SCALED[event.best_bid] if event.best_bid else 0
            ask = SCALED[event.best_ask] if event.best_ask else 0
        except BadNumber:
            self._line.refuse("best_bid_ask: bad number")
            return True
        _, order_ns = self._times(event.timestamp)
        if order_ns >= token.applied_ns:
            self._line.top(token.instrument, bid, 0 if ask >= SCALE else ask)
        return True

    def _tick_size(self, event: Event) -> bool:
        """The price step changed: the venue sends a new book, and the old one is not to be trusted until then."""
        token = self._tokens.get(event.asset_id)
        if token is None:
            return False
        try:
            is_number = event.new_tick_size is not None and 0 < SCALED[event.new_tick_size] < SCALE
        except BadNumber:
            is_number = False
        if is_number and event.new_tick_size is not None:
            self._line.changed(token.instrument.market_id, "price_tick", event.new_tick_size)
        else:
            self._line.refuse("tick_size_change without a tick size")
        self._line.lost(token.instrument, "price step changed")
        return True

    def _resolved(self, event: Event) -> bool:
        """How a market ended. Windows that were cut from a longer market have no outcome of their own."""
        ids = event.assets_ids or []
        ours = [token.instrument for key in ids if (token := self._tokens.get(key)) is not None]
        if not ours:
            return False
        if event.winning_asset_id not in ids:
            self._line.refuse("market_resolved without a winner of its own")
            return True
        market_id = ours[0].market_id
        self._line.changed(market_id, "status", "resolved")
        if CUT not in market_id:
            is_up = (ours[0].token == UP) == (ours[0].key == event.winning_asset_id)
            self._line.outcome(market_id, 1.0 if is_up else 0.0, OUTCOME_SOURCE)
        return True

    def _event(self, event: Event) -> bool:
        """Any event but the frequent one."""
        if event.price_changes is not None and event.event_type == "price_change":
            return self._changes(event, event.price_changes)
        read = self._rare.get(event.event_type)
        if read is not None:
            return read(event)
        if event.error is not None:
            self._line.refuse(f"venue says: {event.error[:60]}")
        else:
            self._line.unknown(event.event_type[:60] or "frame without an event type")
        return False

    def _other(self, payload: bytes) -> bool:
        """An array, a pong, or a word."""
        text = payload.strip()
        if text.startswith(b"["):
            try:
                events = read_events(text)
            except BAD_JSON as error:
                return self._one_by_one(text, error)
            return any([self._event(event) for event in events])
        if text.startswith(b"{"):
            return self.message(text)
        if text not in (b"PONG", b""):
            self._line.refuse(f"text {text[:30]!r}")
        return False

    def _one_by_one(self, array: bytes, error: Exception) -> bool:
        """An array that is wrong somewhere: read what is right in it."""
        try:
            parts = split_array(array)
        except BAD_JSON:
            return self._broken(array, error)
        is_data = False
        for part in parts:
            if part.startswith(b"{"):
                is_data |= self.message(part)
            else:
                self._line.refuse("array of something else than events")
        return is_data

    def _broken(self, payload: bytes, error: Exception) -> bool:
        """A frame that is no event we know; books of tokens that it names have missed something."""
        name = type_of(payload)
        if name and name not in self._rare:
            self._line.unknown(name[:60])
            return False
        reason = f"{name or 'frame'}: {reason_of(error)}"
        self._line.refuse(reason)
        if name in ("", "book", "price_change", "tick_size_change"):
            named = {match[1].decode() for match in islice(_TOKEN_ID.finditer(payload), _MAX_NAMED)}
            for key in named & self._tokens.keys():
                self._line.lost(self._tokens[key].instrument, reason)
        return False

    def _times(self, timestamp_ms: int) -> tuple[int, int]:
        """The time to record, and the time to order by, which may be off by a wrong clock but not by a wrong unit."""
        ns, recv_ns = timestamp_ms * NS_PER_MS, self._line.recv_ns
        if ns <= FIRST_NS:
            self._line.refuse("time before 2020")
            return UNKNOWN_NS, recv_ns
        if ns < recv_ns + AHEAD_NS:
            return ns, ns
        self._line.refuse("time ahead of ours")
        return UNKNOWN_NS, ns if ns < recv_ns + _FAR_AHEAD_NS else recv_ns

    def _wrong(self, instrument: Instrument, reason: str) -> None:
        """A frame that cannot be right: what it should have said about the book is missing."""
        self._line.refuse(reason)
        self._line.lost(instrument, reason)

"""A line that applies what a decoder says and knows what may be said (`observer.venues.check`)."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any

from observer.kit.decimals import SCALE
from observer.kit.errors import ToolkitError
from observer.ports import Instrument, Level, StreamPlan, Venue
from observer.records import BUY, SELL, UNKNOWN_NS
from observer.venues.times import AHEAD_NS

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_MOST = 2**63 - 1


class ContractBroken(ToolkitError):
    """A venue does not do what every venue owes."""


class Witness:
    """A line that applies what it hears and knows what may be said."""

    number = 1

    def __init__(
        self,
        venue: Venue,
        plan: StreamPlan,
        recv_ns: int,
        *,
        has_totals: bool,
        answers: Callable[[Instrument], bytes] | None,
    ) -> None:
        self.plan, self.recv_ns, self.answers, self._has_totals = plan, recv_ns, answers, has_totals
        self.events: list[tuple[Any, ...]] = []
        self.refused: list[str] = []
        self.n_faults = self.n_data = 0
        self._numbers: set[int] = set()  # of everything heard so far
        self._asked: list[Instrument] = []
        self._decoder = venue.decoder(plan, self)

    def read(self, payload: bytes) -> bool:
        """Let the decoder read a message."""
        self._numbers |= _numbers_of(payload)
        with _MustNotRaise(self.plan.name, payload):
            is_data: object = self._decoder.message(payload)
        if not isinstance(is_data, bool):
            raise ContractBroken(f"{self.plan.name} answers {is_data!r} to {payload[:60]!r}; wanted True or False")
        self.n_data += is_data
        asked, self._asked = self._asked, []
        for instrument in asked:
            if self.answers is not None:
                self.answer(instrument, self.answers(instrument))
        return is_data

    def answer(self, instrument: Instrument, payload: bytes) -> None:
        """Let the decoder read a REST answer."""
        self._numbers |= _numbers_of(payload)
        with _MustNotRaise(self.plan.name, payload):
            self._decoder.snapshot(instrument, payload)

    def book(
        self, instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level], venue_ns: int, seq: int = -1
    ) -> None:
        for side in (bids, asks):
            for price, size in side:
                self._level_is_lawful(price, size)
                require(size > 0, f"{self.plan.name} puts an empty level into a book")
        require(list(bids) == sorted(bids, reverse=True) and list(asks) == sorted(asks), "a book is not best first")
        require(not (bids and asks and bids[0][0] >= asks[0][0]), f"{self.plan.name} hands over a crossed book")
        instrument.book.replace(bids, asks)
        self._said("book", instrument, tuple(bids), tuple(asks), venue_ns, seq)

    def level(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, seq: int = -1) -> None:
        require(side in (0, 1), f"{self.plan.name} names side {side!r}")
        self._level_is_lawful(price, size)
        if instrument.book.is_valid:
            instrument.book.set(side, price, size)
        self._said("level", instrument, side, price, size, venue_ns, seq)

    def trade(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, trade_id: str) -> None:
        require(side in (BUY, SELL), f"{self.plan.name} names taker side {side!r}")
        self._number_is_lawful(price)
        self._number_is_lawful(size)
        require(price > 0 and size > 0 and bool(trade_id), f"{self.plan.name} has a trade of {price} x {size}")
        self._said("trade", instrument, side, price, size, venue_ns, trade_id)

    def price(self, instrument: Instrument, price: int, venue_ns: int) -> None:
        self._number_is_lawful(price)
        require(price > 0, f"{self.plan.name} has a price of {price}")
        self._said("price", instrument, price, venue_ns)

    def top(self, instrument: Instrument, best_bid: int, best_ask: int) -> None:
        self._number_is_lawful(best_bid)
        self._number_is_lawful(best_ask)
        self._is_carried(instrument)

    def lost(self, instrument: Instrument, reason: str) -> None:
        self._is_carried(instrument)
        instrument.book.invalidate()
        self.n_faults += 1
        self._asked.append(instrument)

    def lost_all(self, reason: str) -> None:
        for instrument in self.plan.instruments:
            instrument.book.invalidate()
        self.n_faults += 1

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)
        self.n_faults += 1

    def unknown(self, what: str) -> None:
        self.n_faults += 1

    def send(self, payload: bytes) -> None:
        require(bool(payload), f"{self.plan.name} sends nothing")

    def fetch(self, instrument: Instrument) -> None:
        self._is_carried(instrument)
        self._asked.append(instrument)

    def outcome(self, market_id: str, payoff_up: float, source: str) -> None:
        require(0.0 <= payoff_up <= 1.0, f"{self.plan.name} says that {market_id} pays {payoff_up}")

    def changed(self, market_id: str, field_name: str, value: str) -> None:
        require(bool(field_name), f"{self.plan.name} changes nothing of {market_id}")

    def _said(self, method: str, instrument: Instrument, *args: Any) -> None:
        self._is_carried(instrument)
        venue_ns = args[3] if method in ("level", "trade") else args[2] if method == "book" else args[1]
        is_time = type(venue_ns) is int and (venue_ns == UNKNOWN_NS or 0 < venue_ns <= self.recv_ns + AHEAD_NS)
        require(is_time, f"{self.plan.name} names time {venue_ns!r}, received at {self.recv_ns}")
        self.events.append((method, instrument.key, *args))

    def _is_carried(self, instrument: Instrument) -> None:
        is_ours = any(instrument is ours for ours in self.plan.instruments)
        require(is_ours, f"{self.plan.name} speaks of {instrument.key}, which it does not carry")

    def _level_is_lawful(self, price: int, size: int) -> None:
        """Prices are in the frame, as they are or seen from the other token; sizes too, where they are totals."""
        self._number_is_lawful(price)
        self._number_is_lawful(size)
        require(price > 0, f"{self.plan.name} has a level at {price}")
        require(
            price in self._numbers or SCALE - price in self._numbers,
            f"{self.plan.name} has a level at {Decimal(price) / SCALE}, which is in no frame",
        )
        if self._has_totals and size:
            require(size in self._numbers, f"{self.plan.name} has a size of {Decimal(size) / SCALE} from nowhere")

    def _number_is_lawful(self, number: object) -> None:
        is_lawful = type(number) is int and 0 <= number <= _MOST
        require(is_lawful, f"{self.plan.name} says {number!r} where an integer of 1e-9 units is due")


class _MustNotRaise:
    """Turns whatever a decoder raises into the broken rule that it is."""

    def __init__(self, name: str, payload: bytes) -> None:
        self.name, self.payload = name, payload

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, ContractBroken):
            raise ContractBroken(
                f"{self.name} raises {type(error).__name__} ({error}) at {self.payload[:80]!r}"
            ) from error


def _numbers_of(payload: bytes) -> set[int]:
    """Every number in a frame, in units of 1e-9, where it is one exactly."""
    found: set[int] = set()
    for text in _NUMBER.findall(payload[:1_000_000]):
        if len(text) <= 64:
            number = Decimal(text.decode())
            if abs(number) < 10**12 and (number * SCALE) % 1 == 0:
                found.add(int(number * SCALE))
    return found


def require(holds: bool, broken: str) -> None:
    if not holds:
        raise ContractBroken(broken)

"""The port between venues and the recorder: what a venue must be able to do, and what it is given to do it with.

A venue is one file below `observer/venues` and one line in its table. It knows the protocol and nothing else: no
sockets, no files, no clocks. It is asked

    discover  which markets are there now                       -> Listing
    plan      which connections record these listings           -> StreamPlan
    decoder   what the frames of one connection say             -> Decoder, which talks to a Line
    snapshot, outcome   what only REST can tell

and it answers through the `Line` it was handed. Everything that could go wrong on the way (reconnects, back-off,
silence, gaps, quarantine, storage) is the recorder's, the same for every venue.

Times are int64 ns UTC; prices and sizes are integers in units of 1e-9 (`observer.kit.decimals`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from observer.book import Book
from observer.records import UNKNOWN_NS, Market

Quantity = int  # units of 1e-9
Level = tuple[Quantity, Quantity]  # price, size


@dataclass(eq=False, slots=True)
class Instrument:
    """One order book, or one bare price, as its venue names it.

    Attributes:
        venue: e.g. "polymarket", "binance-spot".
        key: the venue's own id: token id, ticker, symbol, coin.
        market_id: the window it belongs to, "" for an underlying.
        token: records.UP or records.DOWN; 0 for an underlying.
        symbol: the underlying, e.g. "BTC".
        source: for an underlying, the name its reference prices get (`binance-spot`, `chainlink`); "" otherwise.
        book: its book; stays invalid for ever where the venue sends bare prices only.
        number: given by the recorder, unique within a run; events carry it.
        owner: number of the connection whose book updates count; while connections overlap, the other one's do not.
        seen_ns: when its book last changed; what was lost can only have been lost since.
        venue_ns: the same by the venue's clock.
        confirmed_ns: when its whole book was last known to be right, by a snapshot or by REST.
        agreed_ns: when its best prices last were what the venue stated. doubted_ns: since when they are not, or 0.
        taken_ns: when its owner took it over from a connection that fed it until then, or 0.
        is_unlike: whether the book that its owner took over with was not the one held.
    """

    venue: str
    key: str
    market_id: str
    token: int
    symbol: str
    source: str = ""
    book: Book = field(default_factory=Book)
    number: int = -1
    owner: int = -1
    seen_ns: int = 0
    venue_ns: int = UNKNOWN_NS
    confirmed_ns: int = 0
    agreed_ns: int = 0
    doubted_ns: int = 0
    taken_ns: int = 0
    is_unlike: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A market to record, with its books.

    Attributes:
        market: the window, with its dated fee schedule and settlement rule.
        instruments: Up and Down where the venue runs a book for each; Up alone where Down mirrors it.
        is_mirrored: True where one book serves both tokens (a bid for Up at p is an offer of Down at 1 − p).
        tags: lower-case words it can be chosen by: "crypto", "politics", "sports", "btc", "15m".
        condition_id: the venue's id for asking how it ended.
        ends_ns: when the market itself ends; later than `market.close_ns` where a long market is cut into windows.
    """

    market: Market
    instruments: tuple[Instrument, ...]
    is_mirrored: bool = False
    tags: tuple[str, ...] = ()
    condition_id: str = ""
    ends_ns: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which markets are wanted: everything, or those that match any of the words (symbols or tags, lower case)."""

    words: tuple[str, ...] = ()  # empty: everything

    def wants(self, listing: Listing) -> bool:
        """Whether a listing is asked for."""
        return not self.words or bool({listing.market.symbol.lower(), *listing.tags} & set(self.words))

    def wants_symbol(self, symbol: str) -> bool:
        """Whether an underlying is asked for: by name, or because crypto markets are."""
        return not self.words or symbol.lower() in self.words or "crypto" in self.words


@dataclass(frozen=True)
class StreamPlan:
    """One socket to keep open.

    Attributes:
        name: stable label within the venue; two plans of one name are the same stream.
        url: where to connect.
        instruments: what arrives on it. A plan with other instruments under the same name replaces the connection,
            the new one opened and heard before the old one is closed.
        subscribe: text frames to send right after the handshake, in order.
        headers: called at each connect, because signatures age.
        ping: text frame to send every `ping_every_s`; None leaves it to WebSocket pings.
        ping_every_s: seconds between pings.
        silence_s: no data for so long means that the connection is dead, whatever its pongs say.
        life_s: planned reconnect, with overlap, after so long; 0 means none.
        max_message_bytes: a longer message closes the connection (a bomb).
        subscribe_gap_s: seconds between subscribe frames, where a venue counts them.
    """

    name: str
    url: str
    instruments: tuple[Instrument, ...]
    subscribe: tuple[bytes, ...] = ()
    headers: Callable[[], dict[str, str]] = dict
    ping: bytes | None = None
    ping_every_s: float = 10.0
    silence_s: float = 30.0
    life_s: float = 0.0
    max_message_bytes: int = 16 << 20
    subscribe_gap_s: float = 0.0


class Line(Protocol):
    """What a decoder says about the frame in hand. Implemented by `observer.capture.line`.

    A decoder calls these while it reads a frame; each becomes a row that is on the disk before the next tick. It may
    call them for instruments that another connection owns: they are then recorded raw only.
    """

    number: int  # of the connection
    recv_ns: int  # when the frame in hand arrived

    def book(
        self, instrument: Instrument, bids: Sequence[Level], asks: Sequence[Level], venue_ns: int, seq: int = -1
    ) -> None:
        """A whole book; it is valid from here on."""
        ...

    def level(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, seq: int = -1) -> None:
        """The new total at one price (`observer.book.BID` or `ASK`); 0 removes. Ignored while the book is invalid."""
        ...

    def trade(self, instrument: Instrument, side: int, price: int, size: int, venue_ns: int, trade_id: str) -> None:
        """A trade; `side` is what the taker did (`records.BUY` or `SELL`). A known `trade_id` is a duplicate."""
        ...

    def price(self, instrument: Instrument, price: int, venue_ns: int) -> None:
        """A bare price of an underlying (an index, an oracle, a mark)."""
        ...

    def top(self, instrument: Instrument, best_bid: int, best_ask: int) -> None:
        """What the venue says the best prices are now (0: empty side). A book that disagrees is lost."""
        ...

    def lost(self, instrument: Instrument, reason: str) -> None:
        """A message was missed: the book is invalid, a gap begins, and a snapshot is asked for."""
        ...

    def lost_all(self, reason: str) -> None:
        """The whole connection cannot be trusted: every book on it is lost and it is opened anew."""
        ...

    def refuse(self, reason: str) -> None:
        """The frame in hand is wrong (bad number, crossed book, unknown field type): counted, kept raw, flagged."""
        ...

    def unknown(self, what: str) -> None:
        """An event type this decoder does not know: counted by name, kept raw; not an error."""
        ...

    def send(self, payload: bytes) -> None:
        """Send a text frame on this connection."""
        ...

    def fetch(self, instrument: Instrument) -> None:
        """Ask for the book by REST (`Venue.snapshot`); the answer comes to `Decoder.snapshot`."""
        ...

    def outcome(self, market_id: str, payoff_up: float, source: str) -> None:
        """The venue says officially how a market ended: 1, 0 or 0.5 per Up share."""
        ...

    def changed(self, market_id: str, field_name: str, value: str) -> None:
        """Something about a market changed on the wire (`price_tick`, `status`): recorded as a note."""
        ...


class Decoder(Protocol):
    """Reads one connection's messages; holds sequence numbers and nothing that a reconnect should keep."""

    def message(self, payload: bytes) -> bool:
        """Read one whole message (`line.recv_ns` is its time).

        Returns:
            True where it was data; False for pongs, acknowledgements and heartbeats, which prove nothing.

        Never raises on bad input: what is wrong goes to `line.refuse` or `line.unknown`.
        """
        ...

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Read the answer to `line.fetch`, in between messages."""
        ...


class RestError(Exception):
    """A REST call that did not succeed.

    Attributes:
        status: HTTP status, 0 where no answer came.
        retry_after_s: what the venue asked us to wait, 0 where it did not say.
    """

    def __init__(self, message: str, status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class Rest(Protocol):
    """HTTP with this project's manners: User-Agent, time-outs, `Retry-After`, a pause for a whole host on 418/403/429.

    Implemented by `observer.rest`.
    """

    async def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
        """Body of a 200; raises `RestError` (status, retry_after_s) otherwise, after the retries a GET allows."""
        ...

    async def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        """As `get`, for the venues that answer questions by POST; the body must be safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a market ended, or None in `payoff_up` while the venue has not said."""

    payoff_up: float | None
    kind: Literal["official"] = "official"
    source: str = ""


class Venue(Protocol):
    """One venue's protocol."""

    name: str

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Markets whose window is open or opens soon; called about once a minute. [] for a pure reference feed."""
        ...

    def feeds(self, selection: Selection) -> list[Instrument]:
        """Underlyings to record for their reference price; [] where the venue has none."""
        ...

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """Connections that together carry these instruments."""
        ...

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A fresh decoder for a fresh connection."""
        ...

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book by REST, raw. Also used, every some seconds, to check books that no message confirms."""
        ...

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """How a market ended; asked after its close until it is known."""
        ...

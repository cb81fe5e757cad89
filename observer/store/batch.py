"""What the recorder hands to the disk, batch by batch: raw frames, normalised events, ticks and notes.

A batch is everything since the one before, about half a second. It is encoded once (msgpack), written by one `write()`
and lives in a segment (`observer.store.segment`) until it has been compacted. A segment starts with a batch whose notes
name every connection, instrument and market that is alive, so each segment can be read alone.

Event tuples, told apart by their first entry; `ins` is an instrument's number, prices and sizes are units of 1e-9:

    (BOOK,  conn, ins, recv_ns, venue_ns, seq, bids, asks)     a whole book, levels (price, size) best first
    (LEVEL, conn, ins, recv_ns, venue_ns, seq, side, price, size)     new total at a price, 0 removes
    (TRADE, conn, ins, recv_ns, venue_ns, side, price, size, trade_id)     side: records.BUY / SELL of the taker
    (PRICE, conn, ins, recv_ns, venue_ns, price)     a bare price of an underlying
    (LOST,  conn, ins, recv_ns, reason)     the book is unknown from here to the next BOOK

A venue time that is not known is `records.UNKNOWN_NS`.

Tick tuples: (market number, tick_ns, cells, ladder). `cells` are the twelve book columns of `records.TICK_COLUMNS`,
floats in USD and shares, None where there is no quote. `ladder` holds the ten best (price, size) of each of the four
sides, flat, side-major, best first, as floats padded with None (4 × 10 × 2); it is None where no book of the market
changed since the market's tick before.
"""

from typing import Any, Literal

import msgspec

BOOK, LEVEL, TRADE, PRICE, LOST = range(5)


class Connected(msgspec.Struct, frozen=True, array_like=True, tag="connected"):
    """A connection that can carry frames."""

    conn: int
    venue: str
    name: str
    url: str
    at_ns: int
    instruments: tuple[int, ...] = ()  # numbers of what it is to carry


class Disconnected(msgspec.Struct, frozen=True, array_like=True, tag="disconnected"):
    """A connection that ended, and why."""

    conn: int
    at_ns: int
    reason: str
    planned: bool


class InstrumentSeen(msgspec.Struct, frozen=True, array_like=True, tag="instrument"):
    """What an instrument's number stands for (`observer.ports.Instrument`)."""

    number: int
    venue: str
    key: str
    market_id: str
    token: int
    symbol: str
    source: str


class MarketSeen(msgspec.Struct, frozen=True, array_like=True, tag="market"):
    """What a market's number stands for; `row` is `observer.store.market_rows.market_row` of it.

    `up` and `down` are the numbers of its instruments (-1: none, Down then mirrors Up). Windows cut from one long
    market share their instruments, so what belongs to a window is found through these and the window's times, not
    through `InstrumentSeen.market_id`, which names the first window that an instrument was seen in.
    """

    number: int
    row: dict[str, Any]
    is_mirrored: bool
    condition_id: str
    up: int = -1
    down: int = -1


class MarketEnded(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """A market was let go: its last tick was taken, and every gap of its window is told."""

    market_id: str
    at_ns: int


class MarketChanged(msgspec.Struct, frozen=True, array_like=True, tag="changed"):
    """Something about a market changed on the wire."""

    market_id: str
    field_name: str
    value: str
    at_ns: int


class GapSeen(msgspec.Struct, frozen=True, array_like=True, tag="gap"):
    """A span in which an instrument's book was unknown, or everything's (`ins` -1)."""

    ins: int
    market_id: str
    start_ns: int
    end_ns: int
    reason: str


class ClockStep(msgspec.Struct, frozen=True, array_like=True, tag="clock_step"):
    """The wall clock jumped; ticks went on by the monotonic clock."""

    at_ns: int
    by_ns: int


class Quarantined(msgspec.Struct, frozen=True, array_like=True, tag="quarantined"):
    """Frame `frame_index` of this batch's raws was refused, and why; -1 where the frame itself was not kept."""

    frame_index: int
    conn: int
    reason: str


class OutcomeSeen(msgspec.Struct, frozen=True, array_like=True, tag="outcome"):
    """How a market ended: `kind` is "official" by a venue's word; a loopback exchange's word is of another kind."""

    market_id: str
    payoff_up: float
    source: str
    at_ns: int
    kind: Literal["official", "inferred", "synthetic"] = "official"


class Fetched(msgspec.Struct, frozen=True, array_like=True, tag="fetched"):
    """Frame `frame_index` of this batch's raws is no message but a book by REST, asked for on connection `conn`."""

    frame_index: int
    conn: int
    ins: int


class Denied(msgspec.Struct, frozen=True, array_like=True, tag="denied"):
    """REST denied a book that no message denied: it is unknown from here on, and was wrong since `since_ns` at most."""

    ins: int
    since_ns: int
    at_ns: int
    reason: str


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag="dropped"):
    """What was not written because the disk was too slow or too full."""

    what: str  # "raw", "events", "ticks"
    rows: int
    start_ns: int
    end_ns: int
    reason: str


class Lateness(msgspec.Struct, frozen=True, array_like=True, tag="lateness"):
    """How late the tick was taken, by the monotonic clock."""

    tick_ns: int
    late_ns: int


Note = (
    Connected | Disconnected | InstrumentSeen | MarketSeen | MarketEnded | MarketChanged | GapSeen | ClockStep
    | Quarantined | OutcomeSeen | Fetched | Denied | Dropped | Lateness
)  # fmt: skip


class Batch(msgspec.Struct, array_like=True):
    """Everything since the batch before.

    Attributes:
        number: counts up by one within a run, across segments, without a hole.
        wall_ns, mono_ns: both clocks when the batch was closed.
        raws: (conn, recv_ns, payload) in order of arrival; payload as it came off the socket.
        events: tuples as above, in order of arrival.
        ticks: tuples as above.
        notes: what else happened.
    """

    number: int
    wall_ns: int
    mono_ns: int
    raws: list[tuple[int, int, bytes]] = []
    events: list[Any] = []
    ticks: list[Any] = []
    notes: list[Note] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode(batch: Batch) -> bytes:
    """The batch as msgpack."""
    return _encoder.encode(batch)


def decode(payload: bytes) -> Batch:
    """The batch that `encode` wrote; raises `msgspec.DecodeError` on anything else."""
    return _decoder.decode(payload)

"""What can be made to go wrong, and what is written down when it did.

A fault names a venue, a stream and a connection (each may be left open), a kind, and when: at a time, or after so many
data frames. Kinds fall into five groups:

    spans     freeze (open, pongs, no data), half_open (nothing at all, neither way); for `duration_s`, or for ever
    ends      abort (reset), close (with `code`), slow (as the venue treats a slow reader), day_cut (24 h are over)
    frames    duplicate, reorder, drop, garbage (not JSON), nan, negative, crossed, future; for `count` data frames
    extras    unknown (an undocumented event), bomb_deep, bomb_big, huge_book
    venue     http (`status`, `retry_after_s`, for `duration_s`), skew (`skew_ms`, for `duration_s`)

A fault without `conn` acts on every connection that matches. One with a duration also acts on those that come while it
lasts; one without waits for the first connection and is over once it has acted.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgspec

from observer.kit.errors import UsageError

Span = Literal["freeze", "half_open"]
End = Literal["abort", "close", "slow", "day_cut"]
OfFrame = Literal["duplicate", "reorder", "drop", "garbage", "nan", "negative", "crossed", "future"]
Extra = Literal["unknown", "bomb_deep", "bomb_big", "huge_book"]
OfVenue = Literal["http", "skew"]
Kind = Literal[Span, End, OfFrame, Extra, OfVenue]
SPANS, ENDS, OF_FRAME, EXTRAS, OF_VENUE = (frozenset(get_args(k)) for k in (Span, End, OfFrame, Extra, OfVenue))
# Kinds after which a client's book may differ from the true one.
LOSES_DATA = SPANS | ENDS | (OF_FRAME - {"duplicate"})


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault, as `POST /control/faults` takes it.

    Attributes:
        kind: what goes wrong.
        venue, stream, conn: where; "" and 0 mean anywhere.
        after_messages: data frames that a connection still gets first.
        at_ns: not before this virtual time.
        duration_s: virtual seconds; 0 means until the connection ends.
        count: frames that kinds of the group `frames` act on, per connection.
        code: of `close`.
        status, retry_after_s, path: of `http`; `path` is a part of the address, "" means every one. Handshakes count.
        skew_ms: of `skew`; how far the venue's clock is ahead.
        levels: of `huge_book`, a side.
    """

    kind: Kind
    venue: str = ""
    stream: str = ""
    conn: int = 0
    after_messages: int = 0
    at_ns: int = 0
    duration_s: float = 0.0
    count: int = 1
    code: int = 1011
    status: int = 429
    retry_after_s: float = 0.0
    path: str = ""
    skew_ms: int = 0
    levels: int = 20_000

    def check(self) -> None:
        """Refuse numbers that mean nothing; raises `UsageError`."""
        if self.kind in OF_VENUE and self.duration_s <= 0:
            raise UsageError(f"fault {self.kind} with duration_s {self.duration_s}: give it an end, above 0.")
        if min(self.after_messages, self.at_ns, self.duration_s, self.retry_after_s) < 0 or self.count < 1:
            raise UsageError(
                f"fault {self.kind}: after_messages, at_ns, duration_s, retry_after_s are 0 or more, count 1 or more."
            )


@dataclass(eq=False)
class Happened:
    """Something that went wrong on a connection, or at a venue (`conn` 0).

    Attributes:
        number: of this entry.
        fault: number of the fault that made it happen; 0 where the venue did so by itself.
        start_ns, end_ns: from the first data lost to the next that arrives for one of the keys; None while it lasts.
        frames: frames (or requests) that it touched.
        keys: instruments that it touched, by the venue's ids.
        loses_data: whether the client's books may be wrong from `start_ns` on.
        sample: how the first frame that it touched begins; "" where it touched none in particular.
    """

    number: int
    fault: int
    kind: str
    venue: str
    stream: str
    conn: int
    start_ns: int
    end_ns: int | None
    loses_data: bool
    frames: int = 0
    keys: set[str] = field(default_factory=set)
    sample: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.__dict__, "keys": sorted(self.keys)}

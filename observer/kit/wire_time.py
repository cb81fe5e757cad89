"""Times as venues write them, as int64 ns UTC; what cannot be a time is the sender's mistake and is refused."""

from typing import Annotated

import msgspec

from observer.kit.clock import parse_iso

# 1970 to 2100; a later time is a unit that was mistaken for another.
LAST_MS = 4_102_444_800_000
Millis = Annotated[int, msgspec.Meta(ge=0, lt=LAST_MS)]

_CACHE_ENTRIES = 4096
_seen: dict[str, int] = {}


class BadTime(ValueError):
    """Text that is no time between 1970 and 2100."""


def from_rfc3339(text: str) -> int:
    """Nanoseconds of e.g. `2026-04-07T14:30:00.123456Z`, to the microsecond; the last few thousand are remembered.

    Raises:
        BadTime: anything else.
    """
    known = _seen.get(text)
    if known is not None:
        return known
    try:
        ns = parse_iso(text)
    except (ValueError, OverflowError) as error:
        raise BadTime(f"{text[:40]!r} is no RFC 3339 time") from error
    if not 0 <= ns < LAST_MS * 1_000_000:
        raise BadTime(f"{text[:40]!r} is no time between 1970 and 2100")
    if len(_seen) >= _CACHE_ENTRIES:
        _seen.clear()
    _seen[text] = ns
    return ns

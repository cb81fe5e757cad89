"""Times as venues write them, as int64 ns UTC; what cannot be a time is the sender's mistake and is refused."""

from observer.kit.clock import NS_PER_MS, parse_iso

_LAST_NS = 4_102_444_800_000_000_000  # 2100-01-01: a later time is a unit that was mistaken for another
_CACHE_ENTRIES = 4096
_seen: dict[str, int] = {}


class BadTime(ValueError):
    """Something that is no time between 1970 and 2100."""


def from_ms(value: int) -> int:
    """Nanoseconds of a time in milliseconds."""
    ns = value * NS_PER_MS
    if not 0 <= ns < _LAST_NS:
        raise BadTime(f"{value} ms is no time between 1970 and 2100")
    return ns


def from_rfc3339(text: str) -> int:
    """Nanoseconds of e.g. `2026-04-07T14:30:00.123456Z`, to the microsecond; the last few thousand are remembered."""
    known = _seen.get(text)
    if known is not None:
        return known
    try:
        ns = parse_iso(text)
    except (ValueError, OverflowError) as error:
        raise BadTime(f"{text[:40]!r} is no RFC 3339 time") from error
    if not 0 <= ns < _LAST_NS:
        raise BadTime(f"{text[:40]!r} is no time between 1970 and 2100")
    if len(_seen) >= _CACHE_ENTRIES:
        _seen.clear()
    _seen[text] = ns
    return ns

"""Time: int64 nanoseconds UTC, and how it is written for people."""

from datetime import UTC, datetime

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


def iso(ns: int) -> str:
    """Format nanoseconds UTC as ISO 8601 with milliseconds, e.g. `2025-12-29T13:00:00.000Z`."""
    seconds, rest = divmod(int(ns), NS_PER_S)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest // NS_PER_MS:03d}Z"


def parse_iso(text: str) -> int:
    """Read an ISO 8601 time as nanoseconds UTC (microsecond precision); a time without a zone is UTC.

    Raises:
        ValueError: the text is not an ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def duration(seconds: float) -> str:
    """Format a span for a progress line: `42s`, `3m05s`, `2h07m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"

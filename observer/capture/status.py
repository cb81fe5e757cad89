"""What the recorder is doing, as plain data: the same for `/health`, `/metrics`, the terminal view and the tests."""

import resource
import sys
import time
from pathlib import Path
from typing import Any

from observer.capture.clock import Clock
from observer.capture.counters import Counters, VenueCounters
from observer.capture.intake import Intake
from observer.capture.losses import Losses
from observer.capture.site import Site
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S, iso

UNKNOWN_S = 60.0  # a book that is unknown for longer is worth a look


def status(
    clock: Clock, counters: Counters, intake: Intake, sites: dict[str, Site], ticker: Ticker, losses: Losses
) -> dict[str, Any]:
    """The recorder now.

    Returns:
        `now`, `made_mono_s` (the same by the monotonic clock), `clock_offset_s`, `clock_steps`, `ticks`, `tick_rows`,
        `lateness_ms` (p50, p99), `left_out` (`rows` that the disk did not take, and `age_s` of the last), `rss_mb`, and
        per venue what `_venue` says.
    """
    now_ns = clock.now_ns()
    unknown_s = _unknown_s(intake, ticker, now_ns)
    return {
        "now": iso(now_ns),
        "made_mono_s": time.monotonic(),
        "clock_offset_s": round(clock.offset_s, 3),
        "clock_steps": counters.clock_steps,
        "ticks": counters.ticks,
        "tick_rows": counters.tick_rows,
        "lateness_ms": {"p50": counters.lateness_ms(0.5), "p99": counters.lateness_ms(0.99)},
        "left_out": {
            "rows": sum(losses.rows.values()),
            "age_s": round((now_ns - losses.last_ns) / NS_PER_S, 1) if losses.last_ns else None,
        },
        "rss_mb": _rss_mb(),
        "venues": {
            name: _venue(name, site, counters.of(name), intake, now_ns) | _long(unknown_s.get(name, []))
            for name, site in sites.items()
        },
    }


def _venue(name: str, site: Site, counters: VenueCounters, intake: Intake, now_ns: int) -> dict[str, Any]:
    """One venue: markets, streams, messages and bytes so far, age of the last data, gaps, refusals."""
    # An underlying of which only bare prices come has no book that could be missing.
    books = [i for i in intake.instruments.values() if i.venue == name and (i.token or i.book.version)]
    open_streams = [s for s in site.streams.values() if s.connection is not None and not s.connection.done.done()]
    age_s = (now_ns - counters.last_data_ns) / NS_PER_S if counters.last_data_ns else None
    return {
        "markets": len(site.listings),
        "books": len(books),
        "books_valid": sum(i.book.is_valid for i in books),
        "streams": len(site.streams),
        "streams_open": len(open_streams),
        "messages": counters.messages,
        "payload_bytes": counters.payload_bytes,
        "events": counters.events,
        "data_age_s": None if age_s is None else round(age_s, 2),
        "quietest_stream_s": round(max((s.quiet_s(now_ns) for s in open_streams), default=0.0), 2),
        "lag_ms": round(counters.lag_ms, 1),
        "gaps": counters.gaps,
        "gaps_open": sum(intake.instruments[n].venue == name for n in intake.gaps if n in intake.instruments),
        "reconnects": counters.reconnects,
        "refused": dict(counters.refused),
        "unknown": dict(counters.unknown),
        "closed": dict(counters.closed),
        "failing": dict(site.failing),
    }


def _long(unknown_s: list[float]) -> dict[str, Any]:
    """How many books of open markets are unknown for long, and for how long the longest."""
    return {
        "books_unknown_long": sum(s > UNKNOWN_S for s in unknown_s),
        "longest_unknown_s": max(unknown_s, default=0.0),
    }


def _unknown_s(intake: Intake, ticker: Ticker, now_ns: int) -> dict[str, list[float]]:
    """By venue, for how long each unknown book of an open market is unknown, at most since its window opened."""
    found: dict[str, list[float]] = {}
    for market in ticker.markets.values():
        window = market.listing.market
        if not window.open_ns <= now_ns <= window.close_ns:
            continue
        for instrument in (market.up, market.down):
            if instrument is not None and not instrument.book.is_valid:
                gap = intake.gaps.get(instrument.number)
                since_ns = max(window.open_ns, market.since_ns if gap is None else gap.start_ns)
                found.setdefault(instrument.venue, []).append(round((now_ns - since_ns) / NS_PER_S, 1))
    return found


def _rss_mb() -> float:
    """Peak resident memory of this process, MB."""
    if sys.platform == "linux":  # `getrusage` would tell its parent's peak where that was higher
        _, _, after = Path("/proc/self/status").read_text().partition("VmHWM:")
        return round(int(after.split(maxsplit=1)[0]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20), 1)

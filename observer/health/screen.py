"""What a person watches while the recorder runs: a live table on a terminal, a line a minute in a log."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from observer.health.verdict import complaints
from observer.kit.console import say

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINE_S = 60.0
_COLUMNS = ("venue", "markets", "books", "msg/s", "kB/s", "lag ms", "quiet s", "gaps", "reconnects", "refused")


class Screen:
    """Shows one status after the other; a context manager."""

    def __init__(self, *, is_terminal: bool | None = None) -> None:
        self.is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._live = None
        self._last: tuple[float, dict[str, Any]] | None = None
        self._line_due = time.monotonic() + _LINE_S

    def __enter__(self) -> Self:
        if self.is_terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: dict[str, Any]) -> None:
        """Take a new status."""
        now = time.monotonic()
        rates = self._rates(now, status)
        self._last = (now, status)
        if self._live is not None:
            self._live.update(picture(status, rates), refresh=True)
        elif now >= self._line_due:
            self._line_due = now + _LINE_S
            say(line(status, rates))

    def _rates(self, now: float, status: dict[str, Any]) -> dict[str, tuple[float, float]]:
        """Messages and kB a second of each venue since the status before."""
        if self._last is None:
            return {}
        then, before = self._last
        took = max(now - then, 1e-3)
        rates: dict[str, tuple[float, float]] = {}
        for name, venue in status["venues"].items():
            old = before["venues"].get(name, venue)
            sent = (venue["messages"] - old["messages"]) / took, (venue["payload_bytes"] - old["payload_bytes"]) / took
            rates[name] = (sent[0], sent[1] / 1e3)
        return rates


def line(status: dict[str, Any], rates: dict[str, tuple[float, float]]) -> str:
    """The status in one line."""
    venues = status["venues"].values()
    wrong = complaints(status)
    per_s = sum(rate for rate, _ in rates.values())
    return (
        f"{status['now']} markets {sum(v['markets'] for v in venues)} messages/s {per_s:.0f} "
        f"rows {status['tick_rows']} late p99 {status['lateness_ms']['p99']:.1f} ms "
        f"gaps {sum(v['gaps'] for v in venues)} spool {status['spool']['queued_bytes'] / 1e3:.0f} kB queued"
        + (f" WRONG: {'; '.join(wrong)}" if wrong else "")
    )


def picture(status: dict[str, Any], rates: dict[str, tuple[float, float]]) -> "RenderableType":
    """The status as a table, what is wrong below it."""
    from rich.box import SIMPLE
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    late, spool = status["lateness_ms"], status["spool"]
    lateness = f"late p50 {late['p50']:.1f} p99 {late['p99']:.1f} ms"
    title = f"recording  {status['now'][:19]}Z  ticks {status['ticks']:,}  {lateness}"
    shown = Table(title=title, caption=_caption(status, spool), box=SIMPLE, padding=0)  # 80 columns are enough
    for name in _COLUMNS:
        is_name = name == "venue"
        shown.add_column(
            name, justify="left" if is_name else "right", no_wrap=is_name, min_width=12 if is_name else None
        )
    for name, venue in status["venues"].items():
        per_s, kb_per_s = rates.get(name, (0.0, 0.0))
        still_open = f" ({venue['gaps_open']} open)" if venue["gaps_open"] else ""
        quiet = "–" if venue["data_age_s"] is None else f"{venue['quietest_stream_s']:.1f}"
        shown.add_row(
            name, str(venue["markets"]), f"{venue['books_valid']}/{venue['books']}", f"{per_s:.0f}", f"{kb_per_s:.0f}",
            f"{venue['lag_ms']:.0f}", quiet, f"{venue['gaps']}{still_open}",
            str(venue["reconnects"]), str(sum(venue["refused"].values())),
        )  # fmt: skip
    wrong = [Text(f"! {text}", style="bold red") for text in complaints(status)]
    return Group(shown, *wrong)


def _caption(status: dict[str, Any], spool: dict[str, Any]) -> str:
    log = spool["log"]
    parts = [
        f"log {log['bytes_written'] / 1e6:.1f} MB", f"queued {spool['queued_bytes'] / 1e3:.0f} kB",
        f"fsync p99 {log['fsync_ms_p99']:.1f} ms", f"memory {status['rss_mb']:.0f} MB",
    ]  # fmt: skip
    compaction, upload = status["compaction"], status["upload"]
    if compaction is not None:
        parts.append(f"to compact {compaction['waiting_bytes'] / 1e6:.0f} MB")
    if upload is not None:
        parts.append(f"upload {upload['state']}, {upload['pending_files']} files wait")
    return "  ".join(parts)

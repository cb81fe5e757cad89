"""What a person watches while a session runs, on stderr: a live table on a terminal, plain lines in a log."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from live.session import Closed, Desk, Session
from observer.kit.clock import iso
from observer.kit.console import say
from observer.records import ACTIONS, POSITIONS

if TYPE_CHECKING:
    from rich.table import Table

REDRAW_S = 0.25
SHOWN = 12  # windows in the live table


class Screen:
    """Shows a session; a context manager. In a log it writes a line per finished window."""

    def __init__(self, session: Session, *, windows: int, is_terminal: bool | None = None) -> None:
        self.session, self.windows = session, windows
        self.is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._drawn = 0.0
        self._live = None

    def __enter__(self) -> Self:
        if self.is_terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True, force_terminal=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def ticked(self, now_ns: int) -> None:
        """A tick went by; redraw if it is time."""
        if self._live is None or time.monotonic() - self._drawn < REDRAW_S:
            return
        self._drawn = time.monotonic()
        self._live.update(self._table(now_ns), refresh=True)

    def closed(self, done: Closed) -> None:
        """A window is over."""
        if self._live is None:
            net = "no outcome" if done.net_usd is None else f"{done.net_usd:+.2f} USD"
            where = f"{len(self.session.closed)}/{self.windows}"
            say(f"{where} {done.market_id}  arm {done.arm}  orders {done.orders}  net {net}")

    def _table(self, now_ns: int) -> "Table":
        from rich.table import Table

        title = f"paper  {iso(now_ns)}  closed {len(self.session.closed)}/{self.windows}  {self.session.gate.state}"
        shown = Table(title=title, caption=self._totals())
        for name in ("market", "arm", "position", "price of Up", "profit, USD", "last action"):
            shown.add_column(name, justify="right" if name in ("price of Up", "profit, USD") else "left")
        for desk in list(self.session.desks.values())[:SHOWN]:
            shown.add_row(*self._row(desk))
        return shown

    def _row(self, desk: Desk) -> tuple[str, ...]:
        account = desk.account
        return (
            desk.market.market_id,
            desk.assignment.arm,
            POSITIONS[account.position],
            f"{desk.price:.3f}",
            f"{account.equity_usd():+.2f}",
            ACTIONS[desk.action],
        )

    def _totals(self) -> str:
        parts: list[str] = []
        for name in self.session.arms:
            mine = [done for done in self.session.closed if done.arm == name]
            net = sum(done.net_usd or 0.0 for done in mine)
            parts.append(f"{name}: {len(mine)} windows, {net:+.2f} USD")
        return "   ".join(parts)

"""The recorder, put together: sites feed the intake, the grid ticks, batches go to the spool, helpers run beside.

Order of the start: take the folder, mend what an earlier run left, open the spool, and only then listen. Order of the
stop (SIGTERM, Ctrl-C, the end of `--duration`): stop listening, end the open gaps, write the last batch, seal.
"""

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from observer.capture.children import Child
from observer.capture.clock import Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.losses import Losses
from observer.capture.outcomes import Pending
from observer.capture.site import Site
from observer.capture.status import status
from observer.capture.ticker import Ticker
from observer.kit import log, notify
from observer.kit.clock import NS_PER_S
from observer.kit.errors import StorageFailed
from observer.ports import Rest, Selection, Venue
from observer.store.files import write_whole
from observer.store.spool import Spool

# A batch is closed early at so many events or frames, so that none takes long to encode, and what it holds is still in
# the processor's cache when the log packs it: a twentieth of what a message costs.
FLUSH_S = 0.01
FLUSH_EVENTS = 1_000
UPLOADER, COMPACTOR = "uploader", "compactor"
REPORTS = {UPLOADER: "upload.json", COMPACTOR: "compact.json"}  # beside the file of pending outcomes; they write them
_LOG = log.get("daemon")
_WATCH_S = 1.0
_LONGEST_WAIT_S = 5.0  # the service's watchdog waits 30 s


class Daemon:
    """Records until told to stop.

    Args:
        venues: name -> venue.
        selection: which markets.
        clock: the recorder's clock.
        rest: HTTP for all venues.
        spool: an open spool whose preamble is `intake.preamble`.
        intake: the intake.
        tick_ns: spacing of the grid.
        pending: the file that keeps markets without an outcome.
        children: helper processes.
        seed: of the back-off jitter.

    Attributes:
        latest: the newest status, replaced as a whole each second, so other threads may read it.
        show: called with each new status, in a thread; passed over while it has not returned from the one before.
    """

    def __init__(
        self,
        venues: dict[str, Venue],
        selection: Selection,
        *,
        clock: Clock,
        rest: Rest,
        spool: Spool,
        intake: Intake,
        tick_ns: int,
        pending: Path,
        children: list[Child],
        seed: int,
    ) -> None:
        self.clock, self.spool, self.intake, self.children = clock, spool, intake, children
        self.counters: Counters = intake.counters
        self.ticker = Ticker(intake, tick_ns)
        self.pending = Pending(pending)
        intake.ended = self.pending.known
        rng = random.Random(seed)
        self.sites = {
            name: Site(venue, selection, intake, self.ticker, rest, self.pending, rng) for name, venue in venues.items()
        }
        self.losses = Losses(intake, self.ticker, self._renew)
        self.latest: dict[str, Any] = {}
        self.show: Callable[[dict[str, Any]], None] = lambda status: None
        self._began_ns = time.time_ns()
        self._reports: dict[str, dict[str, Any] | None] = dict.fromkeys(REPORTS)
        self._stop = asyncio.Event()
        self._showing = threading.Thread()

    def stop(self) -> None:
        """Stop recording soon; safe to call from a signal."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._stop.is_set()

    def status(self) -> dict[str, Any]:
        """What it is doing (`observer.capture.status`), with the spool and the helpers."""
        children = {
            c.name: {"starts": c.starts, "failures": c.backoff.failures, "last_exit": c.last_exit}
            for c in self.children
        }
        return status(self.clock, self.counters, self.intake, self.sites, self.ticker, self.losses) | {
            "spool": asdict(self.spool.state()),
            "helpers": children,
            "pending_outcomes": len(self.pending.markets),
            "upload": self._reports[UPLOADER],
            "compaction": self._reports[COMPACTOR],
        }

    async def run(self, duration_s: float | None) -> dict[str, Any]:
        """Record for `duration_s` of the recorder's clock, or until `stop`.

        Returns:
            The last status before the stop.

        Raises:
            StorageFailed: the disk refuses; what was acknowledged is safe, the process must end.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError):  # not the main thread
                loop.add_signal_handler(number, self.stop)
        work: list[Coroutine[Any, Any, None]] = [self._tick(), self._flush(), self._watch()]
        work += [site.run() for site in self.sites.values()]
        work += [child.run() for child in self.children]
        tasks = [asyncio.create_task(job) for job in work]
        stopped = asyncio.create_task(self._wait(duration_s))
        notify.ready()
        try:
            done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            last = self.status()
            for task in done - {stopped}:
                task.result()  # a loop that ended is a failure, and this raises it
        finally:
            notify.stopping()
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(*tasks, stopped, return_exceptions=True)
            self.intake.finish()
            self._put()
            await self._save_pending()
        return last

    async def _wait(self, duration_s: float | None) -> None:
        if duration_s is None:
            await self._stop.wait()
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), duration_s / self.clock.speed)

    async def _tick(self) -> None:
        """Take each tick when it is due, then close the batch."""
        while True:
            wait_s = (self.clock.due_mono_ns(self.intake.due_ns) - self.clock.mono_ns()) / NS_PER_S
            # Late ticks too let the others run in between; a long spacing is waited for in parts, each a sign of life.
            await asyncio.sleep(min(max(0.0, wait_s), _LONGEST_WAIT_S))
            self.losses.look(self.spool.state())
            self.ticker.catch_up(self.clock.now_ns())
            self._put()
            notify.alive()

    async def _flush(self) -> None:
        """Close the batch early under load; tell books again where the log lost them."""
        while True:
            await asyncio.sleep(FLUSH_S)
            self.losses.tell()
            if len(self.intake.events) >= FLUSH_EVENTS or len(self.intake.raws) >= FLUSH_EVENTS:
                self._put()

    async def _watch(self) -> None:
        """Once a second: notice a stepped clock and a spool that failed, keep pending outcomes, publish the status."""
        while True:
            await asyncio.sleep(_WATCH_S)
            for name in REPORTS.keys() & {child.name for child in self.children}:
                path = self.pending.path.with_name(REPORTS[name])
                self._reports[name] = await asyncio.to_thread(_read_report, path, self._began_ns)
            self.latest = self.status()
            if not self._showing.is_alive():
                self._showing = threading.Thread(target=self._show, args=(self.latest,), name="show", daemon=True)
                self._showing.start()
            if by_ns := self.clock.step_ns():
                _LOG.error("the wall clock was stepped by %+.3f s; ticks go on, restart to adopt it", by_ns / NS_PER_S)
                self.intake.clock_step(by_ns)
            if failed := self.spool.state().failure:
                raise StorageFailed(failed)
            if self.pending.is_changed:
                await self._save_pending()

    def _show(self, status: dict[str, Any]) -> None:
        """Show a status, however long that takes."""
        try:
            self.show(status)
        except OSError as error:  # a terminal that is gone, a full disk
            _LOG.warning("the status cannot be shown: %s", error)

    async def _save_pending(self) -> None:
        """Keep the markets whose outcome is to come; a disk without room for them may have some later."""
        try:
            await asyncio.to_thread(write_whole, self.pending.path, self.pending.to_bytes())
        except OSError as error:
            self.pending.is_changed = True
            _LOG.warning("pending outcomes cannot be kept: %s", error)

    def _renew(self) -> None:
        for site in self.sites.values():
            site.renew()

    def _put(self) -> None:
        intake = self.intake
        if intake.raws or intake.events or intake.ticks or intake.notes:
            self.spool.put(intake.take())


def _read_report(path: Path, since_ns: int) -> dict[str, Any] | None:
    """What a helper says of itself; None where it has said nothing since, or a power cut left half a file."""
    try:
        report = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _LOG.warning("%s cannot be read: %s", path, error)
        return None
    return report if report["updated_ns"] >= since_ns else None

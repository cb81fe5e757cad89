"""One stream of a venue, kept alive for as long as it is wanted.

A stream outlives its connections. When it needs a new one on purpose (its instruments changed, its connection grew
old) the new one is opened and heard before the old one is closed; when it needs one because the old one failed, it
waits by the back-off first.

A socket that has died without a word looks like a quiet market, until the next one tells of changes. So before the old
one is closed it must have spoken once more: where books went on without it, they are gaps since it last spoke.
"""

import asyncio
import contextlib
from collections.abc import Callable

from observer.backoff import Backoff
from observer.capture.connection import ConnectError, Connection, finish
from observer.capture.counters import count
from observer.capture.intake import MUTE, Intake
from observer.kit import log
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, StreamPlan, Venue

_LOG = log.get("stream")
GOOD_S = 30.0  # data for so long: the next failure is a new one, not a repeated one
OVERLAP_S = 10.0  # a new connection that has not fed every book by then takes over all the same
MUTE_NS = NS_PER_S  # what one connection tells, a healthy one beside it has told by then too


class Stream:
    """Keeps one plan recorded.

    Args:
        intake: where frames go.
        venue: whose stream it is.
        plan: what it carries; `change` replaces it.
        fetch: asks for a book by REST.
        backoff: how long to wait after a failure.
    """

    def __init__(
        self,
        intake: Intake,
        venue: Venue,
        plan: StreamPlan,
        fetch: Callable[[Connection, Instrument], None],
        backoff: Backoff,
    ) -> None:
        self.plan, self._intake, self._venue, self._fetch, self._backoff = plan, intake, venue, fetch, backoff
        self._name = f"{venue.name} {plan.name}"
        self.connection: Connection | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"{venue.name}/{plan.name}")

    def change(self, plan: StreamPlan) -> None:
        """Carry other instruments from now on."""
        self.plan = plan
        self._changed.set()

    def quiet_s(self, now_ns: int) -> float:
        """For how long its connection has brought no data; 0 where it has none."""
        return 0.0 if self.connection is None else (now_ns - self.connection.line.last_data_ns) / NS_PER_S

    async def stop(self) -> None:
        """Close the connection and end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.connection is not None:
            await finish(self.connection, "no longer wanted")

    async def _run(self) -> None:
        counters = self._intake.counters.of(self._venue.name)
        while True:
            try:
                reason = await self._recorded()
            except Exception as error:  # noqa: BLE001 - what breaks in a stream costs a wait, not the stream
                _LOG.exception("%s: failed", self._name)
                reason = f"stream failed: {error!r}"[:200]
                if self.connection is not None:
                    self.connection.close(reason)
            count(counters.closed, reason)
            counters.reconnects += 1
            wait_s = self._backoff.next_s()
            _LOG.warning("%s: %s; opening it again in %.1f s", self._name, reason, wait_s)
            await asyncio.sleep(wait_s)

    async def _recorded(self) -> str:
        """Record over one connection after the other until one ends that was still needed; returns why it did."""
        current = self.connection = await self._opened()
        while not current.done.done():
            wants_new = await self._wait(current)
            if wants_new:
                self.connection = current = await self._overlapped(current)
        return current.done.result()

    async def _opened(self) -> Connection:
        """A connection that is open; waits by the back-off between tries."""
        while True:
            self._changed.clear()
            connection = Connection(self._intake, self._venue, self.plan, self._fetch)
            try:
                await connection.open()
            except ConnectError:
                reason, wait_s = connection.done.result(), self._backoff.next_s(connection.asked_s)
                count(self._intake.counters.of(self._venue.name).closed, reason)
                _LOG.warning("%s: %s; next try in %.1f s", self._name, reason, wait_s)
                await asyncio.sleep(wait_s)
            else:
                return connection

    async def _wait(self, current: Connection) -> bool:
        """Wait until the connection ends (False) or a new one is wanted on purpose (True)."""
        good = asyncio.create_task(self._good(current))
        changed = asyncio.create_task(self._changed.wait())
        life_s = self.plan.life_s
        aged = asyncio.create_task(self._intake.clock.sleep(life_s)) if life_s else None
        wanted = {changed} if aged is None else {changed, aged}
        try:
            await asyncio.wait({current.done, *wanted}, return_when=asyncio.FIRST_COMPLETED)
            return not current.done.done()
        finally:
            for task in (good, changed, aged):
                if task is not None:
                    task.cancel()

    async def _good(self, current: Connection) -> None:
        """Forgive past failures once a connection has been good for a while."""
        await current.heard.wait()
        await asyncio.sleep(GOOD_S)
        self._backoff.reset()

    async def _overlapped(self, old: Connection) -> Connection:
        """Open the next connection beside the old one and close the old one when it is no longer needed."""
        self._changed.clear()
        new = Connection(self._intake, self._venue, self.plan, self._fetch)
        try:
            await self._heard(new, old)
            await self._judge(old)
        except BaseException:
            self._tell_missed(old)  # nobody will know
            new.close("no longer wanted", planned=True)
            raise
        if new.done.done():
            reason, wait_s = new.done.result(), self._backoff.next_s(new.asked_s)
            count(self._intake.counters.of(self._venue.name).closed, reason)
            _LOG.warning("%s: next connection: %s; keeping the old one, next in %.1f s", self._name, reason, wait_s)
            await asyncio.wait({old.done}, timeout=wait_s)
            self._changed.set()
            return old
        for instrument in new.plan.instruments:
            if instrument.owner == old.number and instrument.book.version:
                self._intake.open_gap(instrument, old.line.last_data_ns, "new connection without a snapshot in time")
                instrument.owner = new.number
                self._fetch(new, instrument)
        self.connection = new  # whoever stops this stream from here on must close this one
        await finish(old, "replaced")
        return new

    async def _heard(self, new: Connection, old: Connection) -> None:
        """Open the next connection; wait until every book has another feed, it has ended, or the old one has."""
        with contextlib.suppress(*ConnectError):  # `new.done` says why
            await new.open()
        waited_s = 0.0
        while not (new.done.done() or old.done.done() or self._is_replaced(old, new)) and waited_s < OVERLAP_S:
            await self._intake.clock.sleep(0.1)
            waited_s += 0.1

    async def _judge(self, old: Connection) -> None:
        """Wait until the old connection speaks again; tell what it missed where the books went on without it."""
        clock = self._intake.clock
        since_ns, has_changed = clock.now_ns(), False
        while unproven := self._unproven(old):
            if not has_changed and any(i.is_unlike or i.seen_ns > i.taken_ns for i in unproven):
                since_ns, has_changed = clock.now_ns(), True
            if old.done.done() or clock.now_ns() - since_ns >= MUTE_NS:
                break
            await clock.sleep(0.1)
        if has_changed or old.done.done():
            self._tell_missed(old)

    def _unproven(self, old: Connection) -> list[Instrument]:
        """What was taken from a connection that has not spoken since."""
        alive, spoke_ns = self._intake.instruments, old.line.last_data_ns
        return [i for i in old.plan.instruments if i.number in alive and i.owner > old.number and i.taken_ns > spoke_ns]

    def _tell_missed(self, old: Connection) -> None:
        for instrument in self._unproven(old):
            self._intake.missed(instrument, old.line.last_data_ns, instrument.taken_ns, MUTE)
            instrument.taken_ns = 0  # told

    def _is_replaced(self, old: Connection, new: Connection) -> bool:
        """Whether nothing is fed by the old connection any more, nor what has moved to another stream since."""
        alive = self._intake.instruments
        return new.carries_all and all(i.owner != old.number for i in old.plan.instruments if i.number in alive)

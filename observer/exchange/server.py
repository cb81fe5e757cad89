"""The exchange behind one port.

    async with Exchange(ExchangeSettings(seed=1)) as exchange:
        exchange.url                        # http://127.0.0.1:PORT
        exchange.floor.faults.arm(Fault(kind="freeze", venue="polymarket", duration_s=30))

Markets move in a task of their own; a request first lets everything happen that is due, so an answer is never older
than its question.
"""

import asyncio
import math
import time
from types import TracebackType

from aiohttp import web
from aiohttp.typedefs import Handler

from observer.exchange.control import Control
from observer.exchange.floor import Floor
from observer.exchange.markets.world import World
from observer.exchange.settings import ExchangeSettings
from observer.exchange.venues import VENUES
from observer.exchange.venues.contract import ExchangeVenue
from observer.exchange.wire import json_bytes
from observer.kit.clock import NS_PER_S, parse_iso
from observer.kit.errors import UsageError

HOST = "127.0.0.1"
_LONGEST_SLEEP_S = 0.05


class Exchange:
    """A running exchange.

    Args:
        settings: what to serve.

    Attributes:
        floor: clock, agenda, connections, faults.
        venues: by name.

    Raises:
        UsageError: an unknown venue or coin, a time that is none, a folder that holds no recording.
    """

    def __init__(self, settings: ExchangeSettings) -> None:
        self.settings = settings
        names = settings.venues or (("polymarket",) if settings.replay else tuple(VENUES))
        if settings.replay and set(names) != {"polymarket"}:
            raise UsageError("--replay plays Polymarket windows; leave --venues out or name polymarket alone.")
        self.floor = Floor(settings.seed, _start_ns(settings), settings.speed)
        world = None if settings.replay else World(self.floor, settings.coins, settings.moves_hz)
        self.venues: dict[str, ExchangeVenue] = {name: VENUES[name](self.floor, world, settings) for name in names}
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self.url = ""

    async def __aenter__(self) -> "Exchange":
        app = web.Application(middlewares=[self._gate])
        outcomes = "synthetic" if self.settings.replay is None else "inferred"
        app.add_routes(Control(self.floor, self.venues, outcomes).routes())
        for venue in self.venues.values():
            app.add_routes(venue.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.settings.port)
        await site.start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        self._task = asyncio.create_task(self._live())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        assert self._runner is not None
        self._task.cancel()
        for peer in list(self.floor.peers.values()):
            peer.abort()
        await self._runner.cleanup()

    async def fail(self) -> None:
        """Return only if the markets stop moving, with the reason raised; wait beside this while serving."""
        assert self._task is not None
        await self._task

    async def _live(self) -> None:
        floor = self.floor
        while True:
            if not floor.catch_up():
                await asyncio.sleep(0)
                continue
            due_ns = floor.agenda.next_ns
            wait_s = _LONGEST_SLEEP_S if due_ns is None else min(floor.clock.real_s_until(due_ns), _LONGEST_SLEEP_S)
            await asyncio.sleep(max(wait_s, 0.0))

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Catch up with the clock; refuse where a fault says so."""
        self.floor.catch_up()
        venue, _, rest = request.path.lstrip("/").partition("/")
        if venue in self.venues:
            fault = self.floor.faults.http(venue, rest.partition("/")[0], request.path)
            if fault is not None:
                retry = {"Retry-After": str(math.ceil(fault.retry_after_s))} if fault.retry_after_s else {}
                body = json_bytes({"error": f"fault {fault.status}"})
                return web.Response(status=fault.status, headers=retry, body=body, content_type="application/json")
        return await handler(request)


def _start_ns(settings: ExchangeSettings) -> int:
    if settings.start:
        try:
            return parse_iso(settings.start)
        except ValueError:
            raise UsageError(f"--start {settings.start}: wanted ISO 8601, e.g. 2026-11-20T14:00:00Z.") from None
    if settings.replay is not None:
        from observer.exchange.venues.polymarket.replayed import first_open_ns

        return first_open_ns(settings.replay) - int(settings.lead_s * settings.speed * NS_PER_S)
    return time.time_ns()

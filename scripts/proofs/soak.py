"""Thirty simulated days leave the recorder as it was: memory does not creep, no file stays open.

Site, lines, ticker and spool are the recorder's own; time is simulated, and sockets and decoders are replaced by calls,
so that a month passes in minutes: the open files counted are the spool's. Every quarter of an hour windows open and
close; frames, trades, holes, silent connections, refused messages, unknown events and outcomes come all the while.
Memory is read once a simulated day; a line through the days after the first ten must not rise by more than the noise
around it.
"""

import asyncio
import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from observer.backoff import Backoff
from observer.capture import site as site_module
from observer.capture.clock import Anchor, Clock
from observer.capture.counters import Counters
from observer.capture.intake import Intake
from observer.capture.line import LiveLine
from observer.capture.outcomes import Pending
from observer.capture.site import Site
from observer.capture.ticker import Ticker
from observer.kit.clock import NS_PER_S
from observer.kit.console import Progress
from observer.kit.decimals import SCALE
from observer.ports import Ended, Instrument, Line, Listing, RestError, Selection, StreamPlan
from observer.records import BUY, DOWN, UP, FeeSchedule, Market
from observer.store.spool import Spool
from scripts.proofs import Measurement

DAYS, WARM_DAYS = 30, 10
WINDOW_S, TICK_S = 900, 0.5
START_NS = 1_800_000_000 * NS_PER_S // (WINDOW_S * NS_PER_S) * WINDOW_S * NS_PER_S
NOISE_MB_PER_DAY = 0.05
OPEN_FILES_VARY = 3  # the spool seals one segment and opens the next at its own time


def measure() -> Measurement:
    """MB a day that memory creeps after the first days, beyond twice its own error."""
    return asyncio.run(_soak(DAYS, leak=False))


def control() -> Measurement:
    """The same with instruments that are never let go: memory must creep."""
    return asyncio.run(_soak(12, leak=True))


async def _soak(days: int, *, leak: bool) -> Measurement:
    memory, files = [], []
    with tempfile.TemporaryDirectory() as name, patch.object(site_module, "Stream", Socketless):
        world = World(Path(name))
        if leak:
            world.intake.drop_instrument = lambda instrument: None  # type: ignore[method-assign]
        progress = Progress("soak, days", days)
        for day in range(days):
            for _ in range(86_400 // WINDOW_S):
                await world.window()
            gc.collect()
            memory.append(_rss_mb())
            files.append(len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0)
            progress.update(day + 1, f"{memory[-1]:.1f} MB")
        counters = world.intake.counters
        world.spool.close(60.0)
    warm = min(WARM_DAYS, days // 3)
    slope, error = _line(memory[warm:])
    creeps = slope > max(2 * error, NOISE_MB_PER_DAY)
    steady = max(files[warm:]) - min(files[warm:]) <= OPEN_FILES_VARY
    holds = not creeps and steady and counters.tick_rows > days * 10_000
    detail = {
        "mb_per_day_error": round(error, 4), "first_mb": round(memory[0], 1), "last_mb": round(memory[-1], 1),
        "open_files": sorted(set(files[warm:])), "days": days, "tick_rows": counters.tick_rows,
        "gaps": counters.of("soak").gaps, "instruments_alive": len(world.intake.instruments),
    }  # fmt: skip
    return Measurement(round(slope, 4), round(max(2 * error, NOISE_MB_PER_DAY), 4), "MB a day", holds, detail)


class World:
    """The recorder and a simulated month around it."""

    def __init__(self, folder: Path) -> None:
        self.now_ns, self.folder, self.rng = START_NS, folder, random.Random(1)
        clock = Clock(Anchor(0, 0), mono_ns=lambda: self.now_ns)
        self.intake = Intake(clock, Counters())
        self.ticker = Ticker(self.intake, int(TICK_S * NS_PER_S))
        self.spool = Spool(folder, "run", lambda: self.intake.preamble, durability="os", segment_bytes=4 << 20)
        self.pending = Pending(folder / "pending.json")
        self.intake.ended = self.pending.known
        self.site = Site(
            SoakVenue(self), Selection(), self.intake, self.ticker, None, self.pending, self.rng  # type: ignore[arg-type]
        )  # fmt: skip

    async def window(self) -> None:
        """A quarter of an hour: discovery, frames and ticks, outcomes, and what a compactor would take away."""
        await self.site.end_closed()
        await self.site.discover()
        end_ns = self.now_ns + WINDOW_S * NS_PER_S
        while self.now_ns < end_ns:
            self.now_ns += self.rng.randrange(1, 20) * NS_PER_S // 2
            self.ticker.catch_up(self.now_ns)
            for stream in self.site.streams.values():
                stream.connection.something(self.rng)  # type: ignore[union-attr]
            if len(self.intake.ticks) > 200:
                self.spool.put(self.intake.take())
                await asyncio.sleep(0)
        await self.site._ask_outcomes()
        self.pending.to_bytes()
        while self.spool.state().queued_batches > 50:
            await asyncio.sleep(0.001)
        for path in (self.folder / "run" / "wal").glob("*.wal"):
            path.unlink()


@dataclass
class SoakVenue:
    """Two rolling windows and their books."""

    world: World
    name: str = "soak"

    async def discover(self, rest: Any, selection: Selection, now_ns: int) -> list[Listing]:
        """The windows that are open or open next."""
        if self.world.rng.random() < 0.01:
            return []
        first = now_ns // (WINDOW_S * NS_PER_S)
        return [self._listing(coin, first + k) for coin in ("BTC", "ETH") for k in (0, 1)]

    def _listing(self, coin: str, number: int) -> Listing:
        market = replace(
            MARKET, market_id=f"{coin.lower()}-{number}", symbol=coin, open_ns=number * WINDOW_S * NS_PER_S,
            close_ns=(number + 1) * WINDOW_S * NS_PER_S,
        )  # fmt: skip
        books = tuple(
            Instrument("soak", f"{market.market_id}-{token}", market.market_id, token, coin) for token in (UP, DOWN)
        )
        return Listing(market, books)

    def feeds(self, selection: Selection) -> list[Instrument]:
        """None."""
        return []

    def plan(self, instruments: Any) -> list[StreamPlan]:
        """One stream."""
        return [StreamPlan("all", "soak://", tuple(instruments))]

    def decoder(self, plan: StreamPlan, line: Line) -> Any:
        """The connection talks to the line itself."""
        return None

    async def snapshot(self, rest: Any, instrument: Instrument) -> bytes:
        """REST is down."""
        raise RestError("no answer")

    async def outcome(self, rest: Any, listing: Listing) -> Ended:
        """Up, most of the time at once."""
        return Ended(1.0 if self.world.rng.random() < 0.9 else None, source="soak")


class Socketless:
    """A stream whose connections are objects: they are cut, replaced and silent as sockets are."""

    def __init__(
        self, intake: Intake, venue: Any, plan: StreamPlan, fetch: Callable[..., None], backoff: Backoff
    ) -> None:
        self._intake, self._venue, self.plan = intake, venue, plan
        self.connection: Connectionless | None = None
        self.change(plan)

    def change(self, plan: StreamPlan) -> None:
        """Carry other instruments: a new connection with whole books, the old one ends."""
        old, self.plan = self.connection, plan
        self.connection = Connectionless(self._intake, self, plan)
        if old is not None:
            old.end("replaced", planned=True)

    def cut(self, reason: str) -> None:
        """The connection fails and a new one is opened."""
        assert self.connection is not None
        self.connection.end(reason, planned=False)
        self.connection = Connectionless(self._intake, self, self.plan)


class Connectionless:
    """One connection's line, spoken to directly."""

    def __init__(self, intake: Intake, stream: Socketless, plan: StreamPlan) -> None:
        self._intake, self._stream, self.plan = intake, stream, plan
        self.number = intake.add_connection("soak", plan.name, plan.url, plan.instruments)
        nothing: Callable[[Any], None] = lambda _: None  # noqa: E731
        self.line = LiveLine(intake, "soak", self.number, send=nothing, fetch=nothing, reopen=nothing)
        for instrument in plan.instruments:
            self._say(lambda i=instrument: self._whole(i))

    def something(self, rng: random.Random) -> None:
        """What a venue does next."""
        instrument = rng.choice(self.plan.instruments)
        chance = rng.random()
        if chance < 0.002:
            self._stream.cut(f"no data for {rng.choice((10, 15, 30))} s")
        elif chance < 0.004:
            self._say(lambda: self.line.lost(instrument, "hole in the sequence"))
            self._say(lambda: self._whole(instrument))
        elif chance < 0.01:
            self._say(lambda: self.line.refuse(f"bad number {rng.randrange(10**9)}"))
            self._say(lambda: self.line.unknown(f"event {rng.randrange(10**9)}"))
        elif chance < 0.6:
            trade = str(rng.randrange(10**12))
            self._say(lambda: self.line.trade(instrument, BUY, SCALE // 2, SCALE, self.line.recv_ns, trade))
        else:
            price, side = rng.randrange(1, 49), rng.randrange(2)
            at = price * SCALE // 100 if side == 0 else SCALE - price * SCALE // 100
            self._say(lambda: self.line.level(instrument, side, at, rng.randrange(3) * SCALE, self.line.recv_ns))

    def end(self, reason: str, *, planned: bool) -> None:
        """As `Connection` ends."""
        for instrument in self.plan.instruments:
            if instrument.owner == self.number and instrument.number in self._intake.instruments:
                self._intake.open_gap(instrument, self.line.last_data_ns, reason)
        self._intake.drop_connection(self.number, reason, planned=planned)

    def _whole(self, instrument: Instrument) -> None:
        levels = [(price * SCALE // 100, SCALE) for price in range(30, 49)]
        self.line.book(instrument, levels, [(SCALE - price, size) for price, size in levels], self.line.recv_ns)

    def _say(self, what: Callable[[], None]) -> None:
        self.line.receive(b"frame", lambda payload: what() is None)


MARKET = Market(
    market_id="", venue="soak", series="soak-15m", symbol="", open_ns=0, close_ns=1, tick_ns=NS_PER_S, price_tick=0.01,
    lot_shares=1.0, fees=FeeSchedule("free", "none", 0.0), settlement_rule="",
)  # fmt: skip


def _line(values: list[float]) -> tuple[float, float]:
    """Slope of a line through values one day apart, and the slope's standard error."""
    n = len(values)
    days = list(range(n))
    mean_x, mean_y = statistics.fmean(days), statistics.fmean(values)
    spread = sum((x - mean_x) ** 2 for x in days)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(days, values, strict=True)) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(days, values, strict=True))
    return slope, (rest / (n - 2) / spread) ** 0.5


def _rss_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    began = time.monotonic()
    print(measure(), time.monotonic() - began)

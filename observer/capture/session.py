"""From the door's settings to a recording run: venues, clock, folder, spool, helpers, and what came of it."""

import asyncio
import gc
import secrets
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import httpx
import uvloop

from observer.backoff import Backoff
from observer.capture.children import Child, helper_environment
from observer.capture.clock import Anchor, Clock
from observer.capture.counters import Counters
from observer.capture.daemon import COMPACTOR, UPLOADER, Daemon
from observer.capture.errands import run_errands
from observer.capture.intake import Intake, OutcomeKind
from observer.capture.settings import ObserveSettings
from observer.health.screen import Screen
from observer.health.server import HealthServer
from observer.kit.clock import NS_PER_S, iso
from observer.kit.console import say
from observer.kit.errors import ToolkitError, UsageError
from observer.kit.log import Log
from observer.ports import Listing, RestError, Selection, Venue
from observer.rest import HttpRest
from observer.s3.address import parse_address
from observer.store.instance_lock import InstanceLock
from observer.store.recovery import Recovery, recover
from observer.store.spool import PROMISE, Spool
from observer.venues.table import VENUES
from observer.venues.urls import resolve

SPOOL = "spool"
LOGS = "logs"
PENDING = "pending.json"
_CLOSE_S = 3.0
# A frame makes a handful of tuples that live until the disk has them. By default Python looks for cycles among them
# every 700, which is a quarter of all the time a message takes; nothing here makes cycles by the message.
_GC_EVERY = 200_000


def record(settings: ObserveSettings) -> dict[str, Any]:
    """Record until stopped, or for `settings.duration` seconds.

    Returns:
        The recorder's last status, with `run`, `data_dir` and `undone`: what a run that was to end by itself has not
        done, in words.

    Raises:
        UsageError: an unknown venue, bucket or address, or another observer is writing to the folder.
        StorageFailed: the disk refuses.
    """
    if settings.s3_bucket is not None:
        parse_address(f"s3://{settings.s3_bucket}/{settings.s3_prefix}")
    venues, selection = _venues(settings), selection_of(settings.markets)
    root = settings.local_dir
    with InstanceLock(root):
        (root / SPOOL).mkdir(exist_ok=True)
        _tell(recover(root / SPOOL))
        tune_garbage_collection()
        with Log(root / LOGS):
            result, ended_by_itself = uvloop.run(_record(settings, venues, selection))
    undone = [*_left_out(result), *_bring_home(settings)] if ended_by_itself else []
    return {**result, "undone": undone}


def tune_garbage_collection() -> None:
    """Look for cycles rarely, and never among what was loaded at the start."""
    gc.freeze()
    gc.set_threshold(_GC_EVERY)


async def _record(
    settings: ObserveSettings, venues: dict[str, Venue], selection: Selection
) -> tuple[dict[str, Any], bool]:
    """The result, and whether the run ended by itself."""
    root, clock = settings.local_dir, clock_of(settings.exchange)
    outcome_kind = outcome_kind_of(settings.exchange)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    intake = Intake(clock, Counters(), outcome_kind)
    daemons: list[Daemon] = []
    async with AsyncExitStack() as stack:
        # First of all: a port that is taken ends the start, and leaves no run behind.
        port = settings.health_port
        health = None if port is None else HealthServer(port, lambda: daemons[0].latest if daemons else {})
        if health is not None:
            stack.callback(health.close)
        rest = await stack.enter_async_context(HttpRest(resolve(settings.exchange, settings.url)))
        spool = Spool(root / SPOOL, run_id, lambda: intake.preamble, durability=settings.durability)
        stack.push_async_callback(asyncio.to_thread, spool.close, _CLOSE_S)
        daemon = Daemon(
            venues, selection, clock=clock, rest=rest, spool=spool, intake=intake,
            tick_ns=round(settings.tick * NS_PER_S), pending=root / SPOOL / PENDING, children=_children(settings),
            seed=secrets.randbits(32),
        )  # fmt: skip
        daemons.append(daemon)
        say(f"recording {settings.markets} of {', '.join(venues)} to {root}, run {run_id}, from {iso(clock.now_ns())}")
        say(PROMISE[settings.durability])
        if health is not None:
            say(f"health and metrics on http://127.0.0.1:{health.port}/health and /metrics")
        with Screen() as screen:
            daemon.show = screen.show
            last = await daemon.run(settings.duration)
    result = {"run": run_id, "data_dir": str(root), **last, "spool": asdict(spool.state())}
    return result, not daemon.is_stopped


def _left_out(result: dict[str, Any]) -> list[str]:
    """What the disk did not take, in words; nothing where it took everything."""
    rows = result["left_out"]["rows"]
    return [f"{rows} rows were left out, for the disk was too slow or too full"] if rows else []


def _bring_home(settings: ObserveSettings) -> list[str]:
    """A run that was to end by itself ends with its recording compacted, and uploaded where a bucket is named.

    Returns:
        What could not be done, in words.
    """
    steps: list[tuple[str, ...]] = [("observer.cli.compact", "--local-dir", str(settings.local_dir))]
    if settings.s3_bucket is not None:
        steps.append((*_upload_args(settings, settings.s3_bucket), "--once"))
    return run_errands(steps, helper_environment())


def list_markets(settings: ObserveSettings) -> dict[str, Any]:
    """What would be recorded now: `listed`, one row a market, and `feeds`, the reference prices.

    Raises:
        UsageError: nothing would be.
        ToolkitError: no venue can be asked.
    """
    return asyncio.run(_list(settings, _venues(settings), selection_of(settings.markets)))


async def _list(settings: ObserveSettings, venues: dict[str, Venue], selection: Selection) -> dict[str, Any]:
    rest = HttpRest(resolve(settings.exchange, settings.url))
    now_ns = clock_of(settings.exchange).now_ns()
    listed: list[dict[str, Any]] = []
    failures: list[RestError] = []
    try:
        for name, venue in venues.items():
            try:
                found = await venue.discover(rest, selection, now_ns)
            except RestError as error:
                say(f"{name} cannot be asked what it lists: {error}")
                failures.append(error)
            else:
                listed += [_row(one) for one in found if selection.wants(one)]
    finally:
        await rest.close()
    feeds = [f"{feed.symbol} {feed.source}" for venue in venues.values() for feed in venue.feeds(selection)]
    if len(failures) == len(venues):
        raise ToolkitError(f"No venue could be asked what it lists ({failures[0]}). Is this machine on the internet?")
    if not listed and not feeds:
        raise UsageError(
            f"--markets {settings.markets}: {', '.join(venues)} list nothing of that now. Name symbols or tags "
            "(BTC,ETH or crypto,politics,sports), or all."
        )
    return {"listed": listed, "feeds": feeds}


def selection_of(markets: str) -> Selection:
    """Read `--markets`: all, or words separated by commas.

    Raises:
        UsageError: no word at all.
    """
    words = tuple(word.strip().lower() for word in markets.split(",") if word.strip())
    if not words:
        raise UsageError("--markets is empty. Name symbols or tags (BTC,ETH or crypto,politics), or all.")
    return Selection(() if "all" in words else words)


def clock_of(exchange: str) -> Clock:
    """The recorder's clock: our own, or that of a loopback exchange.

    Raises:
        UsageError: the exchange does not answer.
    """
    if not exchange:
        return Clock()
    told = _told_by(exchange)
    return Clock(Anchor(int(told["now_ns"]), int(told["mono_ns"]), float(told["speed"])))


def outcome_kind_of(exchange: str) -> OutcomeKind:
    """What a word on how a market ended is worth: official from a venue, never from a loopback exchange.

    Raises:
        UsageError: the exchange does not answer.
    """
    if not exchange:
        return "official"
    return "inferred" if _told_by(exchange)["outcomes"] == "inferred" else "synthetic"


def _told_by(exchange: str) -> dict[str, Any]:
    """What a loopback exchange says of its clock and its outcomes."""
    try:
        # No proxy of the environment: none can reach our own machine.
        answer = httpx.get(f"{exchange.rstrip('/')}/clock", timeout=5.0, trust_env=False)
        told = answer.raise_for_status().json()
        if not {"now_ns", "mono_ns", "speed", "outcomes"} <= set(told):
            raise ValueError(f"it says {str(told)[:100]}")
    except (httpx.HTTPError, ValueError, TypeError) as error:
        raise UsageError(
            f"--exchange {exchange}: no loopback exchange answers there ({error}). Start one: mlx-rl exchange"
        ) from error
    return told


def _venues(settings: ObserveSettings) -> dict[str, Venue]:
    """The venues that were named, or every one that can be recorded: some want a key.

    Raises:
        UsageError: a venue that was named is not known, or lacks its key.
    """
    urls = resolve(settings.exchange, settings.url)
    venues: dict[str, Venue] = {}
    for name in settings.venues or VENUES:
        venue = VENUES[name](urls)
        try:
            if not settings.dry_run and hasattr(venue, "require_key"):
                venue.require_key()
        except UsageError as error:
            if settings.venues:
                raise
            say(f"{name} is left out: {error}")
        else:
            venues[name] = venue
    return venues


def _children(settings: ObserveSettings) -> list[Child]:
    children = [Child(COMPACTOR, ("observer.compact", "--local-dir", str(settings.local_dir)), Backoff())]
    if settings.s3_bucket is not None:
        children.append(Child(UPLOADER, _upload_args(settings, settings.s3_bucket), Backoff()))
    return children


def _upload_args(settings: ObserveSettings, bucket: str) -> tuple[str, ...]:
    """`python -m …` of the uploader."""
    args = ["observer.s3", "--local-dir", str(settings.local_dir), "--bucket", bucket, "--prefix", settings.s3_prefix]
    args += ["--keep-local-days", str(settings.keep_local_days)]
    return (*args, "--endpoint-url", settings.s3_endpoint_url) if settings.s3_endpoint_url else tuple(args)


def _tell(recovery: Recovery) -> None:
    """Say what an earlier run had left open."""
    for segment in recovery.segments:
        torn = f", {segment.torn_bytes} torn bytes kept in bad/ ({segment.flaw})" if segment.torn_bytes else ""
        say(f"recovered {segment.batches} batches of {segment.path or 'an empty segment'}{torn}")
    if recovery.postponed:
        say(f"{len(recovery.postponed)} segments wait for room on the disk; the next start seals them")


def _row(listing: Listing) -> dict[str, Any]:
    market = listing.market
    return {
        "venue": market.venue, "market": market.market_id, "series": market.series, "symbol": market.symbol,
        "opens": iso(market.open_ns)[:16], "closes": iso(market.close_ns)[:16], "fees": market.fees.name,
    }  # fmt: skip

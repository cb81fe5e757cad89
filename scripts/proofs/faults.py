"""Whatever a venue does wrong, the book is right again afterwards and the span of it is a gap row.

Each fault the loopback exchange knows is played on all venues at once, at five times real time, beside the recorder.
Then the markets are held still, and every book the recorder holds must equal the exchange's, level by level; every span
in which the exchange says it withheld or spoiled something of a book must lie inside gap rows, up to the close of its
window, or to the first book that a newer connection brought; memory and open files stay bounded.
A frame that stands alone (an index price, a trade, Hyperliquid's whole books) is no part of a chain, so nobody can
notice one that never came; frames in another order or with a time of tomorrow have lost nothing, for their levels are
taken all the same; and a false level that makes sense is believed until the next check. Of these, only the books
afterwards are judged. A host that answers 451 is left alone for an hour, so after that fault, the last one, a window
that is listed later need not be known.
"""

import asyncio
import ctypes
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from observer.book import ASK, BID
from observer.capture import site as site_module
from observer.capture.counters import Counters
from observer.capture.daemon import Daemon
from observer.capture.intake import NEVER_NS, Intake
from observer.capture.line import LiveLine
from observer.capture.session import clock_of
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import scaled
from observer.ports import Instrument, Selection
from observer.rest import HttpRest
from observer.store.batch import BOOK, Batch, GapSeen, InstrumentSeen, MarketSeen
from observer.store.spool import Spool
from observer.venues.table import VENUES
from observer.venues.urls import resolve
from scripts.loopback import Exchange, exchange
from scripts.proofs import Measurement

SPEED = 5
# kind -> what else the fault needs; durations are virtual seconds
FAULTS: dict[str, dict[str, Any]] = {
    "freeze": {"duration_s": 40.0}, "half_open": {"duration_s": 40.0}, "abort": {}, "close": {}, "slow": {},
    "day_cut": {}, "duplicate": {"count": 5}, "reorder": {"count": 5}, "drop": {"count": 3}, "garbage": {"count": 3},
    "nan": {"count": 3}, "negative": {"count": 3}, "crossed": {"count": 3}, "future": {"count": 3}, "unknown": {},
    "bomb_deep": {}, "bomb_big": {}, "huge_book": {}, "skew": {"duration_s": 30.0, "skew_ms": 5_000},
}  # fmt: skip
# How frames that change a book look, by venue; Coinbase numbers all its messages in one chain.
CHAINED: dict[str, tuple[str, ...]] = {
    "polymarket": ('"price_change"', '"book"'), "kalshi": ('"orderbook_',), "binance-spot": ('"depthUpdate"',),
    "binance-usdm": ('"depthUpdate"',), "coinbase": ('"sequence_num"', '"channel"'), "kraken": ('"channel":"book"',),
    "hyperliquid": (),
}  # fmt: skip
HTTP = ((429, 5.0), (503, 0.0), (451, 0.0))
SETTLE_S = 60.0  # real seconds a book may take to be right again; a back-off alone may take half of it
TRANSIT_NS = SPEED * NS_PER_S * 4 // 10  # the exchange says when it sent, we when it arrived: up to 0.4 real seconds
MEMORY_MB = 100.0  # the proof's process may grow by
MORE_FILES = 8  # open at the end, sockets among them: a window that rolls has its next connection open for a while


def measure() -> Measurement:
    """Books that are wrong, and spans without a gap row, over every fault on every venue."""
    return asyncio.run(_play(list(_all_faults())))


def control() -> Measurement:
    """The same with a recorder that believes whatever sequence it gets and checks nothing: books must be wrong."""
    with _believing_everything():
        return asyncio.run(_play([{"kind": "drop", "count": 10}]))


def _all_faults() -> Iterator[dict[str, Any]]:
    for kind, rest in FAULTS.items():
        yield {"kind": kind, **rest}
    for status, retry_after_s in HTTP:
        yield {"kind": "http", "status": status, "retry_after_s": retry_after_s, "duration_s": 20.0}


@dataclass
class Rig:
    """The exchange, the recorder, and what it has written so far.

    Attributes:
        gaps: gap rows. names: venue and key by instrument number.
        closes: of the last window that a book is needed for.
        with_book: instruments that had a book.
        owners, taken: the newest connection that brought a book, by instrument, and when newer ones did, by name.
    """

    served: Exchange
    daemon: Daemon
    gaps: list[GapSeen] = field(default_factory=list)
    names: dict[int, tuple[str, str]] = field(default_factory=dict)
    closes: dict[tuple[str, str], int] = field(default_factory=dict)
    with_book: set[int] = field(default_factory=set)
    owners: dict[int, int] = field(default_factory=dict)
    taken: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    async def get(self, path: str) -> Any:
        """Ask the exchange without holding the recorder up."""
        return await asyncio.to_thread(self.served.get, path)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Tell the exchange something, likewise."""
        return await asyncio.to_thread(self.served.post, path, body)

    def instruments(self) -> dict[tuple[str, str], Instrument]:
        """Every instrument with a book, by venue and key."""
        return {(i.venue, i.key.lower()): i for i in self.daemon.intake.instruments.values() if i.book.is_valid}


async def _play(faults: list[dict[str, Any]]) -> Measurement:
    flags = ("--speed", str(SPEED), "--moves-hz", "2", "--coins", "BTC", "ETH")
    with tempfile.TemporaryDirectory() as name, _kalshi_key(Path(name)) as key, exchange(*flags, *key) as served:
        rig = Rig(served, _daemon(served, Path(name)))
        _keep_what_is_written(rig)
        running = asyncio.create_task(rig.daemon.run(None))
        await _settle(rig, "the start")
        before_mb, files_before = _rss_mb(), _open_files()
        failures: list[str] = []
        for fault in faults:
            failures += await _one(rig, fault)
        grown_mb, more_files = _rss_mb() - before_mb, _open_files() - files_before
        rig.daemon.stop()
        await running
        uncovered = _uncovered(rig, served.get("/control/log"))
    bad = len(failures) + len(uncovered)
    detail = {
        "faults": len(faults), "venues": sorted(rig.daemon.sites), "gap_rows": len(rig.gaps),
        "wrong": failures[:20], "uncovered": uncovered[:20], "grown_mb": round(grown_mb, 1), "more_files": more_files,
    }  # fmt: skip
    is_bounded = grown_mb <= MEMORY_MB and more_files <= MORE_FILES
    return Measurement(bad, 0, "wrong books and uncovered spans", bad == 0 and is_bounded, detail)


async def _one(rig: Rig, fault: dict[str, Any]) -> list[str]:
    """Play one fault on every venue, let it pass, and compare all books; returns what is wrong."""
    await rig.post("/control/faults", fault)
    await asyncio.sleep(1.5 + fault.get("duration_s", 0.0) / SPEED)
    wrong = await _settle(rig, fault["kind"], are_all_listed=fault.get("status") != 451)
    return [f"{fault['kind']} {fault.get('status', '')}: {what}" for what in wrong]


async def _settle(rig: Rig, what: str, *, are_all_listed: bool = True) -> list[str]:
    """Wait until every book equals the exchange's while the markets stand still; returns what never did."""
    until = time.monotonic() + SETTLE_S
    wrong = [f"nothing to compare after {what}"]
    while wrong and time.monotonic() < until:
        await rig.post("/control/still", {"still": False})
        await asyncio.sleep(1.0)
        await rig.post("/control/still", {"still": True})
        await asyncio.sleep(0.5)
        wrong = _differences(rig, await rig.get("/control/books"), are_all_listed=are_all_listed)
    await rig.post("/control/still", {"still": False})
    return wrong


def _differences(rig: Rig, truth: dict[str, Any], *, are_all_listed: bool) -> list[str]:
    """Books that are not the exchange's; all of them must be there, or all that the recorder has ever named."""
    ours, named, wrong = rig.instruments(), set(rig.names.values()), []
    for book in truth["books"]:
        key = (book["venue"], book["key"].lower())
        if key not in named and not are_all_listed:
            continue
        if key not in ours:
            wrong.append(f"{book['venue']} {book['key'][:24]}: unknown")
            continue
        for side, levels in ((BID, book["bids"]), (ASK, book["asks"])):
            real = [(scaled(price), scaled(size)) for price, size in levels]
            depth = min(len(real), _depth_of(book["venue"]))
            if ours[key].book.top(side, depth) != real[:depth]:
                wrong.append(f"{book['venue']} {book['key'][:24]}: side {side} differs")
    return wrong if truth["books"] else ["the exchange has no books"]


def _depth_of(venue: str) -> int:
    """How many levels of a book are known: the feed's, or half of a REST answer, whose end nobody tells of again."""
    return {"kraken": 10, "hyperliquid": 20, "binance-spot": 500, "binance-usdm": 500}.get(venue, 1_000)


def _uncovered(rig: Rig, log: list[dict[str, Any]]) -> list[str]:
    """Spans of lost or spoiled data of a book, also of one whose market has ended, that lie in no gap rows of it."""
    gaps: dict[tuple[str, str], list[tuple[int, int]]] = {rig.names[number]: [] for number in rig.with_book}
    for gap in rig.gaps:
        if gap.ins in rig.with_book:
            gaps[rig.names[gap.ins]].append((gap.start_ns, gap.end_ns))
    missing: list[str] = []
    for entry in log:
        if not entry["loses_data"] or entry["conn"] == 0 or not _breaks_a_chain(entry):
            continue
        start_ns, end_ns = entry["start_ns"], entry["end_ns"] or entry["start_ns"]
        for key in entry["keys"]:
            name = entry["venue"], key.lower()
            mine = gaps.get(name)  # None: the recorder did not ask for it
            close_ns = rig.closes.get(name, NEVER_NS)
            until_ns = min(end_ns, close_ns, *(t for t in rig.taken.get(name, ()) if t > start_ns))
            if mine is not None and start_ns < close_ns and not _covered(mine, start_ns, until_ns):
                missing.append(f"{entry['venue']} {key[:24]}: {entry['kind']} at {start_ns} to {end_ns}")
    return missing


def _covered(gaps: list[tuple[int, int]], start_ns: int, end_ns: int) -> bool:
    """Whether gap rows, one or several that touch, hold the whole span."""
    reached_ns = start_ns
    for first_ns, last_ns in sorted(gaps):
        if first_ns - TRANSIT_NS <= reached_ns <= last_ns:
            reached_ns = last_ns
            if reached_ns >= end_ns:
                return True
    return False


def _breaks_a_chain(entry: dict[str, Any]) -> bool:
    """Whether what was touched is a change of a book, each of which builds on the one before."""
    if entry["kind"] in ("reorder", "crossed", "future"):
        return False
    return not entry["sample"] or any(word in entry["sample"] for word in CHAINED[entry["venue"]])


def _daemon(served: Exchange, folder: Path) -> Daemon:
    """The recorder of all venues, its helpers left out."""
    clock = clock_of(served.url)
    intake = Intake(clock, Counters())
    urls = resolve(served.url)
    return Daemon(
        {name: VENUES[name](urls) for name in VENUES}, Selection(("btc", "eth")), clock=clock, rest=HttpRest(urls),
        spool=Spool(folder / "spool", "run", lambda: intake.preamble), intake=intake, tick_ns=NS_PER_S // 2,
        pending=folder / "spool" / "pending.json", children=[], seed=1,
    )  # fmt: skip


def _keep_what_is_written(rig: Rig) -> None:
    """Read every batch on its way to the disk."""
    put = rig.daemon.spool.put

    def keep(batch: Batch) -> None:
        for note in batch.notes:
            if isinstance(note, GapSeen):
                rig.gaps.append(note)
            elif isinstance(note, InstrumentSeen):
                rig.names[note.number] = (note.venue, note.key.lower())
            elif isinstance(note, MarketSeen):
                for number in {note.up, note.down} - {-1}:
                    name, close_ns = rig.names[number], note.row["close_ns"]
                    rig.closes[name] = max(close_ns, rig.closes.get(name, close_ns))
        for event in batch.events:
            if event[0] == BOOK:
                _, conn, number, recv_ns, *_ = event
                rig.with_book.add(number)
                if conn > rig.owners.get(number, conn):
                    rig.taken.setdefault(rig.names[number], []).append(recv_ns)
                rig.owners[number] = max(conn, rig.owners.get(number, conn))
        put(batch)

    rig.daemon.spool.put = keep  # type: ignore[method-assign]


@contextmanager
def _believing_everything() -> Iterator[None]:
    """Take the recorder's doubts away for a while."""
    with (
        patch.object(site_module, "CHECK_S", 1e9),
        patch.object(LiveLine, "lost", lambda self, *args: None),
        patch.object(LiveLine, "lost_all", lambda self, *args: None),
        patch.object(LiveLine, "top", lambda self, *args: None),
    ):
        yield


@contextmanager
def _kalshi_key(folder: Path) -> Iterator[tuple[str, ...]]:
    """A key pair that the exchange accepts and the recorder finds in its environment."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = folder / "public.pem"
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    before = dict(os.environ)
    os.environ |= {"KALSHI_KEY_ID": "proof", "KALSHI_PRIVATE_KEY": pem.decode()}
    try:
        yield ("--kalshi-keys", f"proof={public}")
    finally:
        os.environ.clear()
        os.environ |= before


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _rss_mb() -> float:
    """Resident memory now, MB, without what the allocator keeps of the bombs it held for a moment."""
    gc.collect()
    with suppress(AttributeError):  # only glibc can be asked to give it back
        ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0

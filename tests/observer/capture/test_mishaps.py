"""What goes wrong at one venue, on the screen or in a helper ends neither the other venues nor the recorder."""

import asyncio
import errno
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from observer.backoff import Backoff
from observer.capture import children as children_module
from observer.capture import daemon as daemon_module
from observer.capture import site as site_module
from observer.capture.children import Child
from observer.capture.daemon import COMPACTOR, REPORTS, UPLOADER, Daemon
from observer.capture.outcomes import FIRST_ASK_S
from observer.compact.standing import Report
from observer.health.metrics import StatusCollector
from observer.health.screen import line, picture
from observer.health.verdict import complaints
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording
from observer.ports import Ended, Instrument, Listing, RestError
from observer.s3.status import Status, StatusFile
from observer.store.batch import OutcomeSeen
from tests.observer.capture.test_daemon import daemon_of
from tests.observer.capture.test_site import Rig, listing
from tests.observer.capture.test_site import recording as site_recording
from tests.samples.tiny_venue import TinyServer, TinyVenue, until

Do = Callable[[Daemon, TinyServer], Any]


def play(folder: Path, before: Callable[[Daemon, TinyVenue], None], do: Do) -> None:
    """Record one window of a server that greets with its books; the recorder must be alive at the end."""

    async def run() -> None:
        async with TinyServer() as server:
            one = listing("w", -1, 60)
            server.greeting = [["book", i.key, [[500_000_000, 10**9]], []] for i in one.instruments]
            venue = TinyVenue(server.url, listings=[one])
            daemon = daemon_of(folder, venue)
            before(daemon, venue)
            running = asyncio.create_task(daemon.run(None))
            try:
                await do(daemon, server)
                assert not running.done(), running.exception()
            finally:
                daemon.stop()
                await asyncio.wait_for(running, 5)
                daemon.spool.close()

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits, shortened."""
    monkeypatch.setattr(daemon_module, "_WATCH_S", 0.02)
    monkeypatch.setattr(site_module, "CHECK_S", 0.02)
    monkeypatch.setattr(site_module, "Backoff", lambda rng: Backoff(rng, base_s=0.001, cap_s=0.01))


def test_a_discovery_that_breaks_is_survived_shown_and_forgotten_once_it_works(tmp_path: Path) -> None:
    errors = iter([KeyError("events")] * 6)

    def before(daemon: Daemon, venue: TinyVenue) -> None:
        async def discover(*_: object) -> list[Listing]:
            for error in errors:
                raise error
            return venue.listings

        venue.discover = discover  # type: ignore[method-assign]

    async def do(daemon: Daemon, server: TinyServer) -> None:
        site = daemon.sites["tiny"]
        await until(lambda: site.failing, "the complaint")
        assert daemon.status()["venues"]["tiny"]["failing"] == {"discovery": "KeyError('events')"}
        await until(lambda: daemon.ticker.markets, "the discovery")
        assert "discovery" not in site.failing

    play(tmp_path, before, do)


def test_underlyings_are_recorded_while_nothing_can_be_discovered(tmp_path: Path) -> None:
    feed = Instrument("tiny", "btc", "", 0, "BTC", "tiny")

    def before(daemon: Daemon, venue: TinyVenue) -> None:
        async def discover(*_: object) -> list[Listing]:
            raise RestError("HTTP 451", 451)

        venue.feeds = lambda selection: [feed]  # type: ignore[method-assign]
        venue.discover = discover  # type: ignore[method-assign]

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: server.received, "a subscription")
        assert server.received == [b'["want", ["btc"]]']

    play(tmp_path, before, do)


def test_one_bad_answer_is_no_complaint(tmp_path: Path) -> None:
    errors = iter([RestError("HTTP 503", 503)])

    def before(daemon: Daemon, venue: TinyVenue) -> None:
        async def discover(*_: object) -> list[Listing]:
            for error in errors:
                raise error
            return venue.listings

        venue.discover = discover  # type: ignore[method-assign]

    async def do(daemon: Daemon, server: TinyServer) -> None:
        seen: list[dict[str, str]] = []
        daemon.show = lambda status: seen.append(status["venues"]["tiny"]["failing"])
        await until(lambda: daemon.ticker.markets and seen, "the discovery")
        assert all("discovery" not in failing for failing in seen)

    play(tmp_path, before, do)


def test_a_book_by_rest_that_no_decoder_can_read_ends_nothing(tmp_path: Path) -> None:
    def before(daemon: Daemon, venue: TinyVenue) -> None:
        venue.books = {"w-up": b"nonsense", "w-down": b"nonsense"}

    async def do(daemon: Daemon, server: TinyServer) -> None:
        instruments = daemon.intake.instruments
        await until(lambda: instruments and all(i.book.is_valid for i in instruments.values()), "the books")
        server.send("hole", "w-up")
        await until(lambda: len(server.sockets) == 2, "a new connection")
        await until(lambda: all(i.book.is_valid for i in instruments.values()), "the books again")
        assert any(reason.startswith("decoder failed") for reason in daemon.counters.of("tiny").closed)

    play(tmp_path, before, do)


def test_a_book_whose_fetch_breaks_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "CHECK_S", 60.0)  # the first check comes before the first book

    def before(daemon: Daemon, venue: TinyVenue) -> None:
        async def snapshot(*_: object) -> bytes:
            for error in errors:
                raise error
            return b"[[[6, 1]], [[8, 1]]]"

        errors = iter([KeyError("bids"), RestError("HTTP 503", 503, 0.01), msgspec.DecodeError("no JSON")])
        venue.snapshot = snapshot  # type: ignore[method-assign]

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: server.sockets and server.received, "the connection")
        await until(lambda: all(i.book.is_valid for i in daemon.intake.instruments.values()), "the books")
        server.send("hole", "w-up")
        up = next(i for i in daemon.intake.instruments.values() if i.key == "w-up")
        await until(lambda: up.book.best(0) == 6, "the fetched book", 8.0)
        assert len(server.sockets) == 1

    play(tmp_path, before, do)


def test_a_market_that_cannot_be_asked_does_not_hide_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        def before(rig: Rig) -> None:
            async def outcome(rest: object, one: Listing) -> Ended:
                if one.market.market_id == "gone":
                    raise RestError("HTTP 404", 404)
                return Ended(1.0, source="tiny")

            for name in ("gone", "old"):
                rig.pending.add(listing(name, -60 - FIRST_ASK_S, -FIRST_ASK_S))
            rig.venue.outcome = outcome  # type: ignore[method-assign]

        async with site_recording(tmp_path, [listing("w", -1, 60)], before=before) as rig:
            await until(lambda: rig.notes(OutcomeSeen), "the other's outcome")
            assert [note.market_id for note in rig.notes(OutcomeSeen)] == ["old"]
            assert set(rig.pending.markets) == {"gone", "w"}

    asyncio.run(run())


def test_an_uploaders_report_of_which_half_is_left_or_of_an_earlier_run_is_passed_over(tmp_path: Path) -> None:
    report = tmp_path / REPORTS[UPLOADER]

    def before(daemon: Daemon, venue: TinyVenue) -> None:
        report.write_bytes(b'{"state": "upl')

    async def do(daemon: Daemon, server: TinyServer) -> None:
        daemon.children = [Child(UPLOADER, (), Backoff())]
        await until(lambda: daemon.latest, "a status")
        assert daemon.latest["upload"] is None
        report.write_bytes(b'{"state": "stopped", "updated_ns": 7}')
        made = daemon.latest["made_mono_s"]
        await until(lambda: daemon.latest["made_mono_s"] > made + 0.2, "another status")
        assert daemon.latest["upload"] is None
        now = {"state": "idle", "updated_ns": time.time_ns(), "failing_since_ns": 0, "oldest_unuploaded_s": 0.0}
        report.write_text(json.dumps(now))
        await until(lambda: daemon.latest["upload"] == now, "the report")
        assert daemon.latest["compaction"] is None

    play(tmp_path, before, do)


def test_what_a_recorder_and_its_helpers_really_say_can_be_judged_shown_and_scraped(tmp_path: Path) -> None:
    status, report = Status("s3://bucket", "http://127.0.0.1:1"), Report(tmp_path / REPORTS[COMPACTOR])

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: daemon.latest, "a status")
        daemon.children = [Child(name, (), Backoff()) for name in REPORTS]
        StatusFile(tmp_path / REPORTS[UPLOADER]).write(status)
        report.write(None)
        await until(lambda: daemon.latest.get("compaction") and daemon.latest["upload"], "both reports")
        await until(lambda: not complaints(daemon.latest), "a well recorder")
        report.write(BadRecording("archive.json is damaged"))
        since_ns = daemon.latest["compaction"]["updated_ns"] - 400 * NS_PER_S
        report._said["failing_since_ns"] = since_ns  # so long ago
        report.write(BadRecording("archive.json is damaged"))
        await until(lambda: complaints(daemon.latest), "the complaint")

        assert complaints(daemon.latest) == ["compaction has failed for 7 minutes: archive.json is damaged"]
        assert "WRONG: compaction has failed" in line(daemon.latest, {})
        assert picture(daemon.latest, {})
        (failing,) = (m for m in StatusCollector(lambda: daemon.latest).collect() if m.name.endswith("failing_seconds"))
        assert {s.labels["helper"]: s.value // 100 for s in failing.samples} == {"upload": 0, "compaction": 4}

    def agree(daemon: Daemon, venue: TinyVenue) -> None:
        venue.books = {key: b"[[[500000000, 1000000000]], []]" for key in ("w-up", "w-down")}

    play(tmp_path, agree, do)


def test_a_report_of_an_uploader_that_does_not_run_is_not_shown(tmp_path: Path) -> None:
    def before(daemon: Daemon, venue: TinyVenue) -> None:
        (tmp_path / REPORTS[UPLOADER]).write_text(json.dumps({"updated_ns": time.time_ns() + 10**12}))

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: daemon.latest, "a status")
        assert daemon.latest["upload"] is None

    play(tmp_path, before, do)


def test_a_disk_without_room_for_pending_outcomes_is_no_end_and_they_are_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bytes] = []

    def full(path: Path, data: bytes) -> None:
        tries.append(data)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(daemon_module, "write_whole", full)

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: len(tries) == 3, "a try that works")
        await asyncio.sleep(0.1)
        assert len(tries) == 3
        assert b'"w"' in tries[-1]

    play(tmp_path, lambda daemon, venue: None, do)


def test_a_terminal_that_is_gone_is_no_end(tmp_path: Path) -> None:
    shown: list[object] = []

    def before(daemon: Daemon, venue: TinyVenue) -> None:
        def show(status: object) -> None:
            shown.append(status)
            raise BrokenPipeError

        daemon.show = show

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: len(shown) > 3, "some statuses")

    play(tmp_path, before, do)


def test_ticks_that_are_always_late_leave_room_for_everything_else(tmp_path: Path) -> None:
    def before(daemon: Daemon, venue: TinyVenue) -> None:
        daemon.ticker.catch_up = lambda now_ns: None  # type: ignore[method-assign]
        daemon.intake.due_ns = 0

    async def do(daemon: Daemon, server: TinyServer) -> None:
        await until(lambda: daemon.latest, "a status")

    play(tmp_path, before, do)


def test_a_helper_that_ends_is_started_again_and_ended_with_the_recorder(tmp_path: Path) -> None:
    async def run() -> None:
        child = Child("helper", ("compileall", "-q", str(tmp_path)), Backoff(base_s=0.01, cap_s=0.01))
        running = asyncio.create_task(child.run())
        await until(lambda: child.starts >= 3, "some starts", 20.0)
        assert child.last_exit == 0
        assert child.backoff.failures >= 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert child._process is not None
        assert child._process.returncode is not None

    asyncio.run(run())


def test_a_helper_that_runs_for_a_while_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "_GOOD_S", 0.05)

    async def run() -> None:
        backoff = Backoff()
        backoff.failures = 7
        child = Child("helper", ("http.server", "--bind", "127.0.0.1", "0"), backoff)
        running = asyncio.create_task(child.run())
        await until(lambda: backoff.failures == 0, "the forgiveness")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert child._process is not None
        assert child._process.returncode is not None

    asyncio.run(run())


def test_a_helper_that_hears_no_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "_STOP_S", 0.1)
    (tmp_path / "deaf.py").write_text(
        "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(__file__).with_name('ready').touch()\ntime.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def run() -> None:
        child = Child("helper", ("deaf",), Backoff())
        running = asyncio.create_task(child.run())
        await until((tmp_path / "ready").exists, "its start")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert child._process is not None
        assert child._process.returncode == -9

    asyncio.run(run())


def test_a_helper_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        child = Child("helper", ("compileall", "-q", str(tmp_path)), Backoff(base_s=0.01, cap_s=0.01))
        monkeypatch.setattr(children_module.sys, "executable", "/nowhere/python")
        running = asyncio.create_task(child.run())
        await until(lambda: child.backoff.failures >= 3, "some tries")
        monkeypatch.undo()
        await until(lambda: child.starts, "a start")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_a_status_that_cannot_be_shown_yet_holds_up_nothing(tmp_path: Path) -> None:
    shown: list[object] = []
    goes_on = threading.Event()

    def before(daemon: Daemon, _: TinyVenue) -> None:
        def show(status: object) -> None:
            shown.append(status)
            goes_on.wait(10)

        daemon.show = show

    async def do(daemon: Daemon, _: TinyServer) -> None:
        await until(lambda: shown, "a status")
        ticks, latest = daemon.counters.ticks, daemon.latest
        await until(lambda: daemon.counters.ticks > ticks + 4, "more ticks")
        assert daemon.latest is not latest
        assert len(shown) == 1
        goes_on.set()
        await until(lambda: len(shown) > 3, "more statuses")

    play(tmp_path, before, do)

"""Faults of every kind on the way to S3 lose no upload: each object is there once, byte-equal, and no tick is later.

The real uploader brings a growing recording to a real S3 server (OpenStack Swift, over HTTP and over TLS) through a
proxy that is down, resets, loses answers, falls silent, says 503 and flips bits, and with a clock that is 90 days off.
A process that ticks and writes as the recorder does tells how late its ticks are; after each fault the uploader is
frozen for a while, so that ticks with it and without it are taken from the same minute of a shared machine.
Seven faults of a minute each, over HTTP and then over TLS, take fifteen minutes; the uploader's own time-outs and waits
are shortened to seconds, so that it meets each fault many times. The control's faults are short.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.proofs import Measurement, NotRunHere
from tests.samples.fault_proxy import HEAD_BYTES, FaultProxy
from tests.samples.quirk_server import QuirkServer
from tests.samples.swift_server import ACCESS_KEY, SECRET_KEY, SwiftServer, make_bucket, swift_server, why_absent

ROOT = Path(__file__).resolve().parents[2]
BUCKET, PREFIX = "proof", "observer"
LOAD = "tests.samples.growing_folder"
FAULT_S, SHORT_S, REST_S, FROZEN_S = 60.0, 4.0, 1.5, 4.0
# For what waits after the last fault: nearly all of it, and the server shares two cores with the uploader.
FINISH_S = 240.0
NAMED, DOUBLE = re.compile(r"-([0-9a-f]{16})(?:-\d+)?\.\w+$"), re.compile(r"-[0-9a-f]{16}-\d+\.\w+$")
PHASES = ("down", "reset", "lost answer", "blackhole", "503", "wrong clock", "flipped bits")
# Failures that a run must have met, or it proved nothing: of down, reset or lost answer, and wrong clock.
MET = {"EndpointConnectionError", "ConnectionClosedError", "RequestTimeTooSkewed"}
# The ticks may be so much later beside the uploader, which shares two cores with the whole store here.
LATER_MS = 10.0

# The uploader with short waits, and a clock that a file sets wrong.
UPLOADER = """
import datetime, os, sys, time
from pathlib import Path
import botocore.auth
from observer.s3 import __main__ as door, bucket
bucket.CONNECT_TIMEOUT_S, bucket.READ_TIMEOUT_S, bucket.ATTEMPTS = 1.0, 1.5, 2
door.BACKOFF_CAP_S = 1.0
clock, true_s, true_ns = Path(sys.argv.pop(1)), time.time, time.time_ns
true_date = botocore.auth.get_current_datetime
def off_s():
    return float(clock.read_text()) if clock.exists() else 0.0
time.time = lambda: true_s() + off_s()
time.time_ns = lambda: true_ns() + int(off_s() * 1e9)
botocore.auth.get_current_datetime = lambda *a, **k: true_date(*a, **k) + datetime.timedelta(seconds=off_s())
"""
GOOD = UPLOADER + "os.nice(10)\nos._exit(door.main())\n"
# What the control runs: each file is put once, nothing is signed, asked, checked or tried again.
NAIVE = (
    UPLOADER
    + """
from observer.s3.courier import Courier, Delivery
from observer.s3.address import content_key
from botocore.config import Config
import boto3
plain = boto3.client("s3", endpoint_url=sys.argv[sys.argv.index("--endpoint-url") + 1], config=Config(
    request_checksum_calculation="when_required", s3={"payload_signing_enabled": False},
    retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=2))
true_deliver = Courier.deliver
def deliver(self, entry, source, **options):
    if options.get("read_back"):
        return true_deliver(self, entry, source, **options)
    address = self.bucket.address
    try:
        plain.put_object(Bucket=address.bucket, Key=address.key(content_key(entry.path, entry.sha256)),
                         Body=source.read_bytes(), Metadata={"sha256": entry.sha256})
    except Exception:
        pass  # the fault that this control plants: an uploader that notices nothing
    return Delivery(1, False)
Courier.deliver = deliver
os._exit(door.main())
"""
)


@dataclass
class Found:
    """What a run left in the bucket."""

    objects: int = 0
    missing: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    finished_s: float = 0.0  # after the last fault
    failures: dict[str, int] = field(default_factory=dict)
    late_ms: tuple[float, float] = (0.0, 0.0)  # p99 of the ticks with the uploader frozen, and with it at work

    @property
    def wrong(self) -> int:
        """Objects that are not there once and byte-equal, and what else was not finished."""
        return sum(map(len, (self.missing, self.differing, self.doubled, self.unfinished)))


def measure() -> Measurement:
    """Objects that are missing, differ or are there twice after every fault, over HTTP and over TLS."""
    runs = {name: _run(tls=name == "tls", phases=PHASES, program=GOOD, fault_s=FAULT_S) for name in ("http", "tls")}
    later = {name: run.late_ms[1] - run.late_ms[0] for name, run in runs.items()}
    detail = {
        name: {
            "objects": run.objects, "missing": run.missing, "differing": run.differing, "doubled": run.doubled,
            "unfinished": run.unfinished, "finished_s": round(run.finished_s, 1), "failures": run.failures,
            "tick_late_p99_ms": {"uploader_frozen": round(run.late_ms[0], 2), "at_work": round(run.late_ms[1], 2)},
        } for name, run in runs.items()
    }  # fmt: skip
    wrong = sum(run.wrong for run in runs.values())
    has_met_faults = all(run.failures.keys() >= MET for run in runs.values())
    holds = wrong == 0 and has_met_faults and max(later.values()) <= LATER_MS
    return Measurement(wrong, 0, "objects not there once and byte-equal", holds, detail)


def control() -> Measurement:
    """Three of the faults on an uploader that puts each file once and believes the answer: objects must be wrong."""
    run = _run(tls=False, phases=("down", "lost answer", "flipped bits"), program=NAIVE, fault_s=SHORT_S)
    detail = {"objects": run.objects, "missing": len(run.missing), "differing": len(run.differing)}
    return Measurement(run.wrong, 0, "objects not there once and byte-equal", run.wrong == 0, detail)


def _run(*, tls: bool, phases: tuple[str, ...], program: str, fault_s: float) -> Found:
    absent = why_absent()
    if absent:
        raise NotRunHere(absent)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (place / "swift").mkdir()
        server = stack.enter_context(swift_server(place / "swift", tls=tls))
        make_bucket(server, BUCKET)
        quirky = stack.enter_context(QuirkServer("503", certificate=server.ca))
        proxy = stack.enter_context(FaultProxy(server.port))
        root = place / "data"
        root.mkdir()
        endpoint = server.endpoint.replace(str(server.port), str(proxy.port))
        flags = ["--local-dir", str(root), "--bucket", BUCKET, "--prefix", PREFIX, "--endpoint-url", endpoint]
        flags += ["--every", "0.5", "--publish-every", "2"]

        grower = stack.enter_context(Child("-m", LOAD, "grow", str(root)))
        uploader = stack.enter_context(
            Child("-c", program, str(place / "clock"), *flags, environment=_environment(server))
        )
        ticker = stack.enter_context(Child("-m", LOAD, "tick", str(place / "ticks.log")))
        frozen: list[tuple[float, float]] = []
        for phase in phases:
            with _fault(phase, proxy, quirky, place / "clock"):
                time.sleep(fault_s)
            time.sleep(REST_S)
            with uploader.frozen(), _span(frozen):
                time.sleep(FROZEN_S)
        ticks = json.loads(ticker.stop())
        grower.stop()

        found = Found(late_ms=_p99_ms(ticks, frozen))
        status = _await_idle(root, found)
        uploader.stop()
        found.failures = status["failures"]
        _compare(server, root, found)
        _bring_down(server, root, place / "copy", found)
    return found


class Child:
    """A Python process that ends with its block, at SIGTERM."""

    def __init__(self, *args: str, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *args], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, **(environment or {})},
        )  # fmt: skip

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped in its tracks until the block ends."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> str:
        """End it, if it still runs; what it printed."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.communicate(timeout=20)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.communicate()[0]


def _environment(server: SwiftServer) -> dict[str, str]:
    trusted = {} if server.ca is None else {"AWS_CA_BUNDLE": str(server.ca)}
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"}
    return {**keys, "AWS_EC2_METADATA_DISABLED": "true", **trusted}


@contextlib.contextmanager
def _fault(phase: str, proxy: FaultProxy, quirky: QuirkServer, clock: Path) -> Iterator[None]:
    """One of the faults, until the block ends."""
    true_port = proxy.upstream
    if phase == "down":
        proxy.set("refuse")
    elif phase == "reset":
        proxy.set("reset", after=HEAD_BYTES)
    elif phase == "lost answer":
        proxy.set("lose", after=HEAD_BYTES)
    elif phase == "blackhole":
        proxy.set("blackhole")
    elif phase == "flipped bits":
        proxy.set("corrupt")
    elif phase == "503":
        proxy.set("refuse")  # cuts what is open
        proxy.upstream = quirky.port
        proxy.set("none")
    elif phase == "wrong clock":
        clock.write_text(str(90 * 86_400.0))
    else:
        raise ValueError(phase)
    yield
    clock.unlink(missing_ok=True)
    if proxy.upstream != true_port:
        proxy.set("refuse")
        proxy.upstream = true_port
    proxy.set("none")


@contextlib.contextmanager
def _span(spans: list[tuple[float, float]]) -> Iterator[None]:
    """Note from when to when the block lasted."""
    begun = time.monotonic()
    yield
    spans.append((begun, time.monotonic()))


def _p99_ms(ticks: list[tuple[float, float]], frozen: list[tuple[float, float]]) -> tuple[float, float]:
    """Lateness that 99 of 100 ticks stay below, while the uploader was frozen and while it was not."""
    late_s: dict[bool, list[float]] = {True: [], False: []}
    for due, late in ticks:
        late_s[any(start <= due <= end for start, end in frozen)].append(late)
    alone, beside = (sorted(late_s[is_frozen]) for is_frozen in (True, False))
    return 1000 * alone[int(0.99 * len(alone))], 1000 * beside[int(0.99 * len(beside))]


def _await_idle(root: Path, found: Found) -> dict[str, Any]:
    """Wait until everything is up and published; returns the uploader's status."""
    dataset_id = json.loads((root / "dataset.json").read_text())["dataset_id"]
    begun = time.monotonic()
    while True:
        status = json.loads((root / "spool" / "upload.json").read_text())
        if status["state"] == "idle" and status["dataset_id"] == dataset_id and not status["oldest_unuploaded_s"]:
            found.finished_s = time.monotonic() - begun
            return status
        if time.monotonic() > begun + FINISH_S:
            found.unfinished.append(f"{status['pending_files']} files wait {FINISH_S} s after the last fault")
            return status
        time.sleep(0.2)


def _compare(server: SwiftServer, root: Path, found: Found) -> None:
    """Hold every object against the local file, by the server's own listing."""
    import boto3

    environment = _environment(server)
    client = boto3.client(
        "s3", endpoint_url=server.endpoint, region_name="us-east-1", verify=environment.get("AWS_CA_BUNDLE"),
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
    )  # fmt: skip
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", []) if "/_probe/" not in item["Key"]]
    with ThreadPoolExecutor(8) as pool:
        bodies = pool.map(lambda key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(), keys)
        hashes = {key: hashlib.sha256(body).hexdigest() for key, body in zip(keys, bodies, strict=True)}
    for key in keys:
        named = NAMED.search(key)
        if named is None or hashes[key][:16] != named[1]:
            found.differing.append(key)
    local = {path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(root)}
    for path, sha256 in local.items():
        key = f"{PREFIX}/{path.with_name(f'{path.stem}-{sha256[:16]}{path.suffix}').as_posix()}"
        if key not in hashes:
            found.missing.append(key)
    found.doubled = [key for key in keys if DOUBLE.search(key)]
    found.objects = len(keys)


def _files(root: Path) -> Iterator[Path]:
    """The files of a data folder that belong into a bucket as they are."""
    for top in ("ticks", "book", "trades", "reference", "markets", "gaps", "outcomes", "raw", "events"):
        yield from (
            p for p in (root / top).rglob("*") if p.is_file() and p.name not in ("dataset.json", "archive.json")
        )


def _bring_down(server: SwiftServer, root: Path, copy: Path, found: Found) -> None:
    """What comes down must be the recording, verified by the store's own check."""
    flags = [f"s3://{BUCKET}/{PREFIX}", str(copy), "--endpoint-url", server.endpoint]
    for command in (["sync", *flags], ["data", "verify", "--data-dir", str(copy)]):
        done = subprocess.run(
            [sys.executable, "-m", "live.cli.main", *command], cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, **_environment(server)},
        )  # fmt: skip
        if done.returncode != 0:
            found.unfinished.append(f"mlx-rl {command[0]}: {done.stderr.strip().splitlines()[-1:]}")
            return
    if (copy / "dataset.json").read_bytes() != (root / "dataset.json").read_bytes():
        found.unfinished.append("another recording came down")

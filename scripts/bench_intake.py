"""CPU per message of a Polymarket-like flood, ours beside what others write: `python scripts/bench_intake.py [--json]`.

Every contender reads the same flood of 200 markets on core 0, one at a time, in turns; the exchange has core 1. Ours
decodes, applies to books, checks, and writes raw and normalised rows durably; the rivals decode and keep nothing.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.loopback import exchange, observer  # noqa: E402

CONTENDERS = ("ours, whole", "picows + msgspec", "websockets + json")
SECONDS, ROUNDS = 6.0, 3


def rate_of(contender: str, url: str, seconds: float) -> dict[str, float]:
    """Messages per second and CPU microseconds per message of one contender, in a process of its own on core 0."""
    if contender == "ours, whole":
        return _ours(url, seconds)
    command = ["taskset", "--cpu-list", "0", sys.executable, __file__, "--worker", contender, url, str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _ours(url: str, seconds: float) -> dict[str, float]:
    from scripts.proofs.intake import FLAGS, cpu_s

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        with observer(folder, url, *FLAGS, core=0, module="scripts.proofs.intake") as running:
            time.sleep(4.0)
            pid = running.process.pid
            before, cpu, began = running.status()["venues"]["polymarket"]["messages"], cpu_s(pid), time.monotonic()
            time.sleep(seconds)
            after, used = running.status()["venues"]["polymarket"]["messages"], cpu_s(pid) - cpu
            took = time.monotonic() - began
    return {"messages_per_s": (after - before) / took, "us_per_message": 1e6 * used / max(1, after - before)}


def _tokens(url: str) -> tuple[str, list[str]]:
    """Address of the flood's socket and the tokens of a hundred of its markets."""
    import urllib.request

    from observer.venues.urls import resolve

    urls = resolve(url)
    with urllib.request.urlopen(
        f"{urls['polymarket.gamma']}/events/keyset?limit=100&tag_slug=politics&closed=false"
    ) as a:
        events = json.loads(a.read())["events"]
    tokens = [t for event in events for market in event["markets"] for t in json.loads(market["clobTokenIds"])]
    return urls["polymarket.market"], tokens[:200]


async def _websockets(url: str, seconds: float) -> int:
    import websockets

    socket_url, tokens = _tokens(url)
    async with websockets.connect(socket_url, compression=None, max_size=None) as socket:
        await socket.send(json.dumps({"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}))
        messages, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            json.loads(await socket.recv())
            messages += 1
    return messages


async def _picows(url: str, seconds: float) -> int:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    from observer.venues.polymarket.words import read_event, read_events

    socket_url, tokens = _tokens(url)
    count = 0

    class Reader(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            subscribe = {"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}
            transport.send(WSMsgType.TEXT, json.dumps(subscribe).encode())

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal count
            payload = frame.get_payload_as_bytes()
            if payload[:1] == b"{":
                read_event(payload)
            else:
                read_events(payload)
            count += 1

    transport, _ = await ws_connect(Reader, socket_url, max_frame_size=64 << 20)
    await asyncio.sleep(seconds)
    transport.disconnect(graceful=False)
    return count


def _work(contender: str, url: str, seconds: float) -> dict[str, float]:
    reader = _websockets if contender.startswith("websockets") else _picows
    began, cpu = time.monotonic(), time.process_time()
    messages = asyncio.run(reader(url, seconds))
    took, used = time.monotonic() - began, time.process_time() - cpu
    return {"messages_per_s": messages / took, "us_per_message": 1e6 * used / max(1, messages)}


def run(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """All contenders in turns; medians."""
    found: dict[str, list[dict[str, float]]] = {contender: [] for contender in CONTENDERS}
    with exchange("--venues", "polymarket", "--flood", "200", core=1) as served:
        for _ in range(rounds):
            for contender in CONTENDERS:
                found[contender].append(rate_of(contender, served.url, seconds))
    return [
        {"contender": contender, **{key: statistics.median(one[key] for one in rows) for key in rows[0]}}
        for contender, rows in found.items()
    ]


def main() -> int:
    """Run the bench and print the table."""
    from observer.kit.console import table

    flags = argparse.ArgumentParser(prog="bench_intake.py", description="Time taking messages in. Nothing is kept.")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.worker:
        contender, url, seconds = asked.worker
        print(json.dumps(_work(contender, url, float(seconds))))
        return 0
    rows = run(ROUNDS, SECONDS)
    if asked.json:
        print(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=2))
    else:
        lines = [[r["contender"], round(r["messages_per_s"]), round(r["us_per_message"], 2)] for r in rows]
        print(table(lines, ["contender", "messages/s", "CPU us / message"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How many messages a second the exchange's flood offers, to a reader that only counts them.

The exchange runs in a process of its own with 200 markets on one connection; the reader is picows and looks at nothing.
`--json` prints the figures as one object.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from observer.exchange.child import Child, running
from observer.kit.console import emit_json, table
from observer.venues.urls import at_exchange

MARKETS = 200


class Counter(WSListener):
    """Counts frames and their bytes."""

    def __init__(self) -> None:
        self.frames = self.payload_bytes = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame."""
        self.frames += 1
        self.payload_bytes += frame.payload_size


def tokens(child: Child) -> list[str]:
    """Every flooded token, page by page."""
    found: list[str] = []
    query: dict[str, Any] = {"tag_slug": "politics", "limit": 100}
    while True:
        page = child.get("/polymarket/gamma/markets/keyset", **query)
        found += [token for market in page["markets"] for token in json.loads(market["clobTokenIds"])]
        if "next_cursor" not in page:
            return found
        query["after_cursor"] = page["next_cursor"]


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used; NaN where the system has no /proc."""
    if not Path("/proc").exists():
        return float("nan")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def count(child: Child, seconds: float) -> dict[str, Any]:
    """Subscribe, let the first second pass, count for the rest."""
    wanted = tokens(child)
    transport, counter = await ws_connect(Counter, at_exchange(child.url, "polymarket.market"))
    assert isinstance(counter, Counter)
    transport.send(WSMsgType.TEXT, json.dumps({"type": "market", "assets_ids": wanted}).encode())
    await asyncio.sleep(1.0)
    frames, payload, started = counter.frames, counter.payload_bytes, time.monotonic()
    used_s = cpu_s(child.ready["pid"])
    await asyncio.sleep(seconds)
    took_s, n = time.monotonic() - started, counter.frames - frames
    result = {
        "assets": len(wanted), "seconds": took_s, "messages_per_s": n / took_s,
        "bytes_per_message": (counter.payload_bytes - payload) / n,
        "exchange_cpu_us_per_message": (cpu_s(child.ready["pid"]) - used_s) / n * 1e6,
    }  # fmt: skip
    transport.disconnect()
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to count [5]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    with running("--venues", "polymarket", "--coins", "BTC", "--flood", str(MARKETS)) as child:
        result = asyncio.run(count(child, args.seconds))
    if args.json:
        emit_json(result)
    else:
        print(table([[name, value] for name, value in result.items()], ("flood of 200 markets", "")))


if __name__ == "__main__":
    main()

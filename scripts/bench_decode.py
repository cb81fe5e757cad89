"""CPU per Binance depth message, decoded and applied to a book: ours, cryptofeed, a plain loop.

    python scripts/bench_decode.py [--json] [--cryptofeed PYTHON]

Binance, because cryptofeed knows no Polymarket. No socket: every contender reads the same made-up frames from memory,
in a process of its own, in turns, and all must end with the same best prices. Ours also keeps what the recorder would
write, the frames and the events. cryptofeed wants an environment of its own; name its interpreter:

    python -m venv /tmp/cryptofeed && /tmp/cryptofeed/bin/pip install cryptofeed==2.4.1
    python scripts/bench_decode.py --cryptofeed /tmp/cryptofeed/bin/python
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

OURS, PLAIN, CRYPTOFEED = "ours, with what is kept", "json + Decimal, a dict a side", "cryptofeed 2.4.1"
N_FRAMES, ROUNDS, REPEATS = 20_000, 3, 3
CHANGES = 12  # of each side in a frame; a busy BTCUSDT second has ten frames of about so many
LEVELS = 1_000
TAKE_EVERY = 1_000  # messages to a batch of the recorder's


def frames() -> tuple[str, list[str]]:
    """A book by REST and the changes that follow it, seeded: prices near the best ones change most."""
    from observer.kit.rng import stream

    rng = stream(0, "bench-decode")
    far = rng.geometric(0.05, size=(N_FRAMES, 2, CHANGES)).clip(1, LEVELS)
    sizes = (rng.random(size=far.shape) * 5).round(5)
    sizes[rng.random(size=far.shape) < 0.3] = 0.0

    def side(sign: int, steps: Any, amounts: Any) -> list[list[str]]:
        levels = {
            f"{60_000 + sign * step / 100:.2f}0000": f"{size:.8f}" for step, size in zip(steps, amounts, strict=True)
        }
        return [list(level) for level in levels.items()]

    whole = [side(sign, range(1, LEVELS + 1), [1.0] * LEVELS) for sign in (-1, 1)]
    snapshot = json.dumps({"lastUpdateId": 1000, "bids": whole[0], "asks": whole[1]})
    made: list[str] = []
    for i in range(N_FRAMES):
        bids, asks = (side(sign, far[i, k].tolist(), sizes[i, k].tolist()) for k, sign in enumerate((-1, 1)))
        event = {
            "e": "depthUpdate", "E": 1_790_000_000_000 + 100 * i, "s": "BTCUSDT", "U": 1001 + i, "u": 1001 + i,
            "b": bids, "a": asks,
        }  # fmt: skip
        made.append(json.dumps({"stream": "btcusdt@depth@100ms", "data": event}, separators=(",", ":")))
    return snapshot, made


def ours(snapshot: bytes, messages: list[bytes]) -> tuple[float, list[float]]:
    """CPU seconds, and the best prices at the end."""
    from observer.book import ASK, BID
    from observer.capture.clock import Clock
    from observer.capture.counters import Counters
    from observer.capture.intake import Intake
    from observer.capture.line import LiveLine
    from observer.capture.session import tune_garbage_collection
    from observer.ports import Instrument
    from observer.venues.binance.decoder import BinanceDecoder
    from observer.venues.binance.rules import SPOT

    tune_garbage_collection()
    intake = Intake(Clock(), Counters())
    instrument = Instrument("binance-spot", "BTCUSDT", "", 0, "BTC", "binance-spot")
    intake.add_instrument(instrument)
    number = intake.add_connection("binance-spot", "books", "", [instrument])
    line = LiveLine(
        intake, "binance-spot", number, send=lambda payload: None, fetch=lambda one: None, reopen=lambda why: None
    )
    decoder = BinanceDecoder([instrument], line, SPOT)
    line.receive(messages[0], decoder.message)
    line.fetched(instrument, snapshot, decoder.snapshot)
    began = time.process_time()
    for i in range(1, len(messages)):
        line.receive(messages[i], decoder.message)
        if i % TAKE_EVERY == 0:
            intake.take()
    took = time.process_time() - began
    return took, [instrument.book.best(side) / 1e9 for side in (BID, ASK)]


def plain(snapshot: bytes, messages: list[bytes]) -> tuple[float, list[float]]:
    """What many write: `json`, exact numbers, a dictionary a side; keeps nothing."""
    from decimal import Decimal

    whole = json.loads(snapshot)
    book = {name: {Decimal(price): Decimal(size) for price, size in whole[name]} for name in ("bids", "asks")}
    began = time.process_time()
    for message in messages:
        event = json.loads(message)["data"]
        for name, changes in (("bids", event["b"]), ("asks", event["a"])):
            side = book[name]
            for price, size in changes:
                amount = Decimal(size)
                if amount:
                    side[Decimal(price)] = amount
                else:
                    side.pop(Decimal(price), None)
    took = time.process_time() - began
    return took, [float(max(book["bids"])), float(min(book["asks"]))]


def run(cryptofeed: str | None) -> list[dict[str, Any]]:
    """All contenders in turns; medians.

    Raises:
        RuntimeError: two of them end with different books.
    """
    commands = {
        OURS: [sys.executable, __file__, "--worker", "ours"],
        PLAIN: [sys.executable, __file__, "--worker", "plain"],
    }
    if cryptofeed:
        commands[CRYPTOFEED] = [cryptofeed, str(ROOT / "scripts" / "bench_decode_cryptofeed.py")]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        snapshot, made = frames()
        file.write("\n".join([snapshot, *made]))
        file.flush()
        for _ in range(ROUNDS):
            for name, command in commands.items():
                done = subprocess.run([*command, file.name], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
                found[name].append(json.loads(done.stdout))
    books = {tuple(one["best"]) for rows in found.values() for one in rows}
    if len(books) != 1:
        raise RuntimeError(f"the contenders end with different best prices: {sorted(books)}")
    return [
        {"contender": name, "us_per_message": statistics.median(one["us_per_message"] for one in rows)}
        for name, rows in found.items()
    ]


def main() -> int:
    """Run the bench and print the table."""
    from observer.kit.console import emit_json, say, table

    flags = argparse.ArgumentParser(prog="bench_decode.py", description="Time reading depth messages. Nothing is kept.")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_argument(
        "--cryptofeed", metavar="PYTHON", help="an interpreter that has cryptofeed; left out without one"
    )
    flags.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.worker:
        which, path = asked.worker
        snapshot, *made = Path(path).read_bytes().split(b"\n")
        took, best = min({"ours": ours, "plain": plain}[which](snapshot, made) for _ in range(REPEATS))
        print(json.dumps({"us_per_message": 1e6 * took / len(made), "best": best}))
        return 0
    if not asked.cryptofeed:
        say("cryptofeed is left out; --cryptofeed PYTHON names an interpreter that has it")
    rows = run(asked.cryptofeed)
    if asked.json:
        emit_json({"rows": rows})
        return 0
    first = rows[0]["us_per_message"]
    lines = [[r["contender"], round(r["us_per_message"], 2), round(r["us_per_message"] / first, 2)] for r in rows]
    print(table(lines, ["contender", "CPU us / message", "times ours"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

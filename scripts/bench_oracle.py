"""How fast the oracle is: ours, NumPy over many windows in lock step, and a plain Python loop, in turns.

Windows of 1,800 made-up ticks with missing quotes and five levels of depth. CPU time of one thread, median over
the rounds. `--json` prints the figures as one object.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from mlx_rl.market import LawSettings
from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.market.oracle import Oracle, solve
from observer.kit.clock import NS_PER_S
from observer.kit.console import emit_json, table
from observer.kit.rng import stream
from observer.records import N_COLUMNS, Market, Tape
from observer.venues.fees import POLYMARKET_CRYPTO

TICKS = 1_800  # a quarter-hour at half a second
PYTHON_WINDOWS = 4  # the plain loop is slow, so it gets fewer windows


def windows(count: int) -> list[Tape]:
    """`count` windows of TICKS ticks."""
    tapes = []
    for i in range(count):
        rng = stream(0, "bench-oracle", i)
        start = i * 900 * NS_PER_S
        market = Market(
            f"bench-{i}", "bench", "bench-15m", "BTC", start, start + 900 * NS_PER_S, NS_PER_S // 2, 0.01, 0.01,
            POLYMARKET_CRYPTO[2], "bench",
        )  # fmt: skip
        mid = np.clip(50 + np.cumsum(rng.integers(-1, 2, size=TICKS)), 5, 95)
        half = rng.integers(1, 3, size=TICKS)
        rows = np.full((TICKS, N_COLUMNS), np.nan)
        sides = (mid - half, mid + half, 100 - mid - half, 100 - mid + half)
        rows[:, :4] = np.stack(sides, axis=1) / 100
        rows[:, 4:8] = rng.uniform(5, 200, size=(TICKS, 4)).round(2)
        rows[:, 8:12] = rows[:, 4:8] + rng.uniform(50, 1000, size=(TICKS, 4)).round(2)
        rows[:, :4][rng.random((TICKS, 4)) < 0.05] = np.nan
        tapes.append(Tape(market, start + np.arange(TICKS, dtype=np.int64) * (NS_PER_S // 2), rows))
    return tapes


def window_by_window(fills: list[Fills]) -> None:
    """The compiled programme as labels use it: each result is dropped before the next window."""
    for f in fills:
        solve(f, 1.0)


def keep_all(fills: list[Fills]) -> list[Oracle]:
    """The same, every result kept; most of the time goes to fresh memory from the operating system."""
    return [solve(f, 1.0) for f in fills]


def lock_step(fills: list[Fills]) -> np.ndarray:
    """NumPy: all windows go back in time together; returns the value (W, T + 1, 3)."""
    cash, dust = np.stack([f.cash for f in fills]), np.stack([f.dust_shares for f in fills])
    at, size = np.stack([f.execute_at for f in fills]), fills[0].size_shares
    w = np.arange(len(fills))
    value = np.empty((len(fills), TICKS + 1, 3))
    q = np.full((len(fills), TICKS, 3, 3), -np.inf)
    value[:, TICKS] = [0.0, size, 0.0]
    for t in range(TICKS - 1, -1, -1):
        e = at[:, t]
        then, row = value[w, e], np.minimum(e, TICKS - 1)
        moved = cash[w, row] + dust[w, row] * [1.0, 0.0, 0.0, 0.0] + then[:, [1, 0, 2, 0]]
        moved[e == TICKS] = np.nan
        stay = then[:, [0, 1, 0, 2]]
        moved = np.where(np.isnan(moved), stay, moved)
        q[:, t, :, 0] = value[:, t + 1]
        q[:, t, 0, 1], q[:, t, 0, 2], q[:, t, 1, 2], q[:, t, 2, 1] = moved[:, 0], moved[:, 2], moved[:, 1], moved[:, 3]
        value[:, t] = q[:, t].max(axis=2)
    return value


def plain_python(fills: list[Fills]) -> list[float]:
    """A loop over lists; returns the value from flat at the first tick of each window."""
    found = []
    for f in fills:
        cash, dust, at = f.cash.tolist(), f.dust_shares.tolist(), f.execute_at.tolist()
        value = [(0.0, 0.0, 0.0)] * TICKS + [(0.0, f.size_shares, 0.0)]
        for t in range(TICKS - 1, -1, -1):
            hold, e = value[t + 1], at[t]
            if e == TICKS:
                value[t] = hold
                continue
            (c0, c1, c2, c3), (flat, up, down) = cash[e], value[e]
            # A comparison with NaN is False, so an order without depth never wins.
            best = [hold[0], hold[1], hold[2]]
            best[0] = c0 + dust[e][0] + up if c0 + dust[e][0] + up > best[0] else best[0]
            best[0] = c2 + down if c2 + down > best[0] else best[0]
            best[1] = c1 + flat if c1 + flat > best[1] else best[1]
            best[2] = c3 + flat if c3 + flat > best[2] else best[2]
            value[t] = (best[0], best[1], best[2])
        found.append(value[0][0])
    return found


def speed(rounds: int = 9, count: int = 200) -> dict[str, float]:
    """Ticks per second of one core, by contestant, each timed once per round."""
    tapes, law = windows(count), LawSettings()
    fills = [price_fills(tape, law) for tape in tapes]
    few = fills[:PYTHON_WINDOWS]
    _check_same_answer(few)
    contestants: dict[str, tuple[Callable[[], object], int]] = {
        "oracle": (lambda: window_by_window(fills), count),
        "oracle, all results kept": (lambda: keep_all(fills), count),
        "NumPy in lock step": (lambda: lock_step(fills), count),
        "plain Python": (lambda: plain_python(few), len(few)),
        "price_fills": (lambda: [price_fills(tape, law) for tape in tapes[:50]], 50),
    }
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (run, _) in contestants.items():
            started = time.thread_time()
            run()
            took[name].append(time.thread_time() - started)
    return {name: n * TICKS / float(np.median(took[name])) for name, (_, n) in contestants.items()}


def _check_same_answer(fills: list[Fills]) -> None:
    mine = [o.value[0, 0] for o in keep_all(fills)]
    np.testing.assert_allclose(lock_step(fills)[:, 0, 0], mine, rtol=0, atol=1e-9)
    np.testing.assert_allclose(plain_python(fills), mine, rtol=0, atol=1e-9)


def main() -> int:
    """Run the contest and print it."""
    flags = argparse.ArgumentParser(prog="bench_oracle.py", description="Time the oracle. Nothing is kept.")
    flags.add_argument("--rounds", type=int, default=9, help="times each contestant runs [9]")
    flags.add_argument("--windows", type=int, default=200, help="windows of 1,800 ticks [200]")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    asked = flags.parse_args()
    found = speed(asked.rounds, asked.windows)
    if asked.json:
        emit_json({"unit": "ticks/s on one core", "ticks_per_window": TICKS, **found})
    else:
        rows = [(name, f"{per_s / 1e6:.2f}", f"{per_s / found['oracle']:.4f}") for name, per_s in found.items()]
        print(table(rows, ("what", "M ticks/s", "of the oracle")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

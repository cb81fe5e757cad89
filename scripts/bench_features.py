"""How fast states are computed: the feature kernel, pandas and Polars, in turns, on the same ticks.

Pandas and Polars compute seven of the eighteen entries (returns over 1, 5 and 10 minutes as of then, both
imbalances, one-minute flow, five-minute volatility); the kernel computes all eighteen. The shared
entries must agree to 1e-6. One thread each, CPU time of the process, median and best over the rounds. One tick at
a time, the rival is pandas over the last twenty minutes, recomputed, which is what many live systems do.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.kernel import FeatureKernel, batch_features
from mlx_rl.features.schema import FeatureSchema, schema_for
from observer.kit.clock import NS_PER_S
from observer.kit.console import emit_json, say, table
from observer.kit.rng import stream
from observer.records import N_COLUMNS, TICK_COLUMNS, Market, Tape
from observer.venues.fees import FREE

SHARED = (
    "returns_1m", "returns_5m", "returns_10m", "order_book_imbalance_l1", "order_book_imbalance_l5",
    "trade_flow_imbalance", "vol_5m",
)  # fmt: skip
TOLERANCE = 1e-6
RIVAL_ROWS = 2_400  # twenty minutes of half-second ticks


def made_up_tape(ticks: int, seed: int = 0) -> Tape:
    """One long window of uneven ticks, 0.2 to 0.8 s apart, with quotes, sizes, trades and an underlying."""
    rng = stream(seed, "bench-features")
    recv_ns = NS_PER_S * 1_000_000_000 + np.cumsum(rng.integers(2, 9, size=ticks)) * (NS_PER_S // 10)
    rows = np.empty((ticks, N_COLUMNS))
    mid = 0.5 + 0.3 * np.sin(np.arange(ticks) / 5_000) + rng.normal(0, 0.005, size=ticks)
    half = rng.integers(1, 3, size=ticks) / 200
    rows[:, :4] = np.stack([mid - half, mid + half, 1 - mid - half, 1 - mid + half], axis=1)
    rows[:, 4:12] = rng.uniform(5, 200, size=(ticks, 8))
    trades = rng.poisson(0.5, size=ticks)
    rows[:, 12:14] = rng.exponential(30, size=(ticks, 2)).round(6) * (trades > 0)[:, None]
    rows[:, 14], rows[:, 15] = trades, rows[:, 12:14].max(axis=1)
    rows[:, 16] = 90_000 * np.exp(np.cumsum(rng.normal(0, 5e-5, size=ticks)))
    rows[:, 17] = rng.uniform(0, 1, size=ticks)
    market = Market(
        "bench-0", "bench", "bench", "BTC", int(recv_ns[0]), int(recv_ns[-1]), NS_PER_S // 2, 0.01, 0.01, FREE, "bench"
    )
    return Tape(market, recv_ns.astype(np.int64), rows)


def with_pandas(schema: FeatureSchema, recv_ns: NDArray[np.int64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shared entries by merge_asof and time-based rolling windows, (T, 7)."""
    import pandas as pd

    f = pd.DataFrame(rows, columns=list(TICK_COLUMNS))
    f["ns"] = recv_ns
    price = f[["ns", "reference"]].rename(columns={"reference": "then"})
    minute = schema.params["underlying_minute_move"]
    columns: list[Any] = []
    for minutes in (1, 5, 10):
        asked = pd.DataFrame({"ns": recv_ns - minutes * 60 * NS_PER_S})
        then = pd.merge_asof(asked, price, on="ns")["then"]
        columns.append(_squash((f["reference"] / then - 1).fillna(0), minute * np.sqrt(minutes)))
    for what in ("size", "depth5"):
        bid, ask = f[f"up_bid_{what}"], f[f"up_ask_{what}"]
        columns.append((bid - ask) / (bid + ask))
    clock = pd.to_datetime(recv_ns)
    flow = f[["buy_usd", "sell_usd"]].set_index(clock).rolling(f"{schema.params['flow_window_s']:.0f}s").sum()
    total = flow["buy_usd"] + flow["sell_usd"]
    columns.append(((flow["buy_usd"] - flow["sell_usd"]) / total.where(total > 0)).fillna(0))
    close = f["reference"].groupby(recv_ns // (5 * NS_PER_S)).last()
    square = close.pct_change() ** 2
    rate = np.sqrt(square.rolling(60, min_periods=1).mean() / 5).shift(1).fillna(0)
    vol = rate.reindex(recv_ns // (5 * NS_PER_S)).to_numpy()
    columns.append(_squash(vol * np.sqrt(300), minute * np.sqrt(5)))
    return np.stack([np.asarray(c, dtype=float) for c in columns], axis=1)


def with_polars(schema: FeatureSchema, recv_ns: NDArray[np.int64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shared entries by join_asof and rolling_sum_by, (T, 7)."""
    import polars as pl

    used = ["up_bid_size", "up_ask_size", "up_bid_depth5", "up_ask_depth5", "buy_usd", "sell_usd", "reference"]
    f = pl.DataFrame({name: rows[:, TICK_COLUMNS.index(name)] for name in used} | {"ns": recv_ns})
    f = f.with_columns(clock=pl.from_epoch("ns", time_unit="ns"), cell=pl.col("ns") // (5 * NS_PER_S))
    price = f.select("ns", then="reference").set_sorted("ns")
    minute = schema.params["underlying_minute_move"]
    for minutes in (1, 5, 10):
        asked = f.select(ns=pl.col("ns") - minutes * 60 * NS_PER_S).set_sorted("ns")
        f = f.with_columns(asked.join_asof(price, on="ns")["then"].alias(f"then_{minutes}"))
    close = f.group_by("cell", maintain_order=True).agg(pl.col("reference").last())
    square = pl.col("reference").pct_change() ** 2
    rate = (square.rolling_mean(60, min_samples=1) / 5).sqrt().shift(1).fill_null(0)
    f = f.join(close.select("cell", rate=rate), on="cell", how="left", maintain_order="left")

    def squash(x: Any, half: float) -> Any:
        return x / (half + x.abs())

    window = f"{schema.params['flow_window_s']:.0f}s"
    f = f.with_columns(pl.col(name).rolling_sum_by("clock", window) for name in ("buy_usd", "sell_usd"))
    buy, sell = pl.col("buy_usd"), pl.col("sell_usd")
    chosen = [
        squash(pl.col("reference") / pl.col(f"then_{m}") - 1, minute * float(np.sqrt(m))).fill_null(0).alias(f"r{m}")
        for m in (1, 5, 10)
    ]
    for what in ("size", "depth5"):
        bid, ask = pl.col(f"up_bid_{what}"), pl.col(f"up_ask_{what}")
        chosen.append(((bid - ask) / (bid + ask)).alias(what))
    chosen.append(((buy - sell) / (buy + sell)).fill_nan(0).alias("flow"))
    chosen.append(squash(pl.col("rate") * float(np.sqrt(300)), minute * float(np.sqrt(5))).alias("vol"))
    return f.select(chosen).to_numpy()


def _squash(x: Any, half: float) -> Any:
    return x / (half + abs(x))


def worst_disagreement(schema: FeatureSchema, tape: Tape) -> dict[str, float]:
    """Largest absolute difference of each rival from the kernel over the shared entries."""
    shared = [schema.columns.index(name) for name in SHARED]
    ours = batch_features(schema, [tape])[0][:, shared]
    return {
        "pandas": float(np.abs(ours - with_pandas(schema, tape.recv_ns, tape.rows)).max()),
        "polars": float(np.abs(ours - with_polars(schema, tape.recv_ns, tape.rows)).max()),
    }


def batch_speeds(ticks: int, rounds: int, *, rivals: bool = True) -> dict[str, dict[str, float]]:
    """Million ticks per second of one core, by who computes: median and best of `rounds` interleaved rounds."""
    tape = made_up_tape(ticks)
    state18, edge = schema_for("state18"), schema_for("edge")
    runs: dict[str, Callable[[], object]] = {
        "kernel, state18 (18 entries)": lambda: batch_features(state18, [tape]),
        "kernel, edge (28 entries)": lambda: batch_features(edge, [tape]),
    }
    if rivals:
        runs["polars (7 of the 18)"] = lambda: with_polars(state18, tape.recv_ns, tape.rows)
        runs["pandas (7 of the 18)"] = lambda: with_pandas(state18, tape.recv_ns, tape.rows)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):  # the first round warms up and is dropped
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return {
        name: {"median": ticks / float(np.median(s[1:])) / 1e6, "best": ticks / min(s[1:]) / 1e6}
        for name, s in seconds.items()
    }


def tick_costs(rounds: int, *, rivals: bool = True) -> dict[str, dict[str, float]]:
    """Microseconds per tick when ticks come one at a time, through the Python call."""
    tape = made_up_tape(20_000)
    costs: dict[str, list[float]] = {}

    def note(name: str, start: float, ticks: int) -> None:
        costs.setdefault(name, []).append((time.process_time() - start) / ticks * 1e6)

    clock = tape.recv_ns.tolist()
    for _ in range(rounds + 1):
        for name in ("state18", "edge"):
            kernel = FeatureKernel(schema_for(name))
            kernel.start(tape.market)
            start = time.process_time()
            for recv_ns, row in zip(clock, tape.rows, strict=True):
                kernel.push(recv_ns, row)
            note(f"kernel, {name}, push", start, len(clock))
        if rivals:
            start = time.process_time()
            for end in range(10_000, 10_010):
                last = slice(end - RIVAL_ROWS, end)
                with_pandas(schema_for("state18"), tape.recv_ns[last], tape.rows[last])
            note(f"pandas over the last {RIVAL_ROWS} ticks", start, 10)
    return {name: {"median": float(np.median(c[1:])), "best": min(c[1:])} for name, c in costs.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=400_000, help="ticks in the batch [400000]")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds [7]")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    asked = parser.parse_args()

    off = worst_disagreement(schema_for("state18"), made_up_tape(min(asked.ticks, 100_000)))
    batch = batch_speeds(asked.ticks, asked.rounds)
    single = tick_costs(asked.rounds)
    if asked.json:
        emit_json({"ticks": asked.ticks, "rounds": asked.rounds, "batch_mticks_per_s": batch, "tick_us": single,
                   "worst_disagreement": off})  # fmt: skip
    else:
        print(table([[k, v["median"], v["best"]] for k, v in batch.items()], ["batch, M ticks/s", "median", "best"]))
        print()
        print(table([[k, v["median"], v["best"]] for k, v in single.items()], ["µs per tick", "median", "best"]))
        print(f"\nlargest difference on the shared entries: pandas {off['pandas']:.1e}, polars {off['polars']:.1e}")
    if max(off.values()) > TOLERANCE:
        say(f"error: the kernel and its rivals disagree by more than {TOLERANCE:g}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

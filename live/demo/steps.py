"""The demo's steps, one command each, with what they print as JSON kept for the summary.

Two recordings go down the whole line: six real Bitcoin windows, where nobody can know yet which model is better,
and the synthetic `spike`, where it is known what there is to find.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import observer
from observer.exchange.child import running
from observer.kit.console import say
from observer.kit.errors import ToolkitError
from observer.samples import sample

# Windows of half the length: more of them for the same work, and a verdict wants windows, not ticks.
SPIKE_WINDOWS, SPIKE_TICKS = 96, 900
UNSEEN_SEED, UNSEEN_WINDOWS = 1_000, 24
# Two real windows to learn from, one embargoed, three to judge on: all there is.
REAL_FOLDS = ("--valid-frac", "0", "--test-frac", "0.5")
SPIKE_FOLDS = ("--valid-frac", "0.04", "--test-frac", "0.45")
BATCH_SIZE = "64"
# Six quarter-hours, the exchange's lead of three real seconds before them, and time for outcomes after them.
REPLAY_SPEED, REPLAY_S = 60, 6 * 900 + 3 * 60 + 300
EPOCHS = {"spike_base": 4, "spike_transformer": 4, "real_base": 20, "real_transformer": 10}


@dataclass
class Demo:
    """The demo's folder and what its steps have said so far."""

    root: Path
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, step: str, *args: str) -> dict[str, Any]:
        """Run `mlx-rl ARGS --json` and keep its result under `step`; its progress goes on to stderr.

        Raises:
            ToolkitError: the command failed.
        """
        say(f"\n$ mlx-rl {' '.join(args)}")
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "live.cli.main", *args, "--json"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(observer.__file__).parent.parent)},
        )
        self.seconds[step] = time.monotonic() - started
        if done.returncode != 0:
            raise ToolkitError(f"`mlx-rl {' '.join(args)}` exited {done.returncode}; the demo stops here.")
        self.said[step] = json.loads(done.stdout)
        return self.said[step]

    def path(self, *parts: str) -> str:
        """A path inside the demo's folder."""
        return str(self.root.joinpath(*parts))


def record(demo: Demo) -> None:
    """Record the six windows over real sockets, make the synthetic market, and check every byte of both.

    The bundled quotes are played by a loopback exchange, sixty times as fast as they were; the recorder listens to
    it as it would to the venue.
    """
    bundled, real, spike = demo.path("data", "bundled"), demo.path("data", "real"), demo.path("data", "spike")
    source = str(sample("polymarket_btc15m_6_windows"))
    demo.run("import", "import", "polymarket_btc15m_1s", "--from", source, "--data-dir", bundled)
    say(f"\n$ mlx-rl exchange --replay {bundled} --speed {REPLAY_SPEED}")
    with running("--replay", bundled, "--speed", str(REPLAY_SPEED)) as exchange:
        demo.run(
            "observe", "observe", "--exchange", exchange.url, "--venues", "polymarket", "--markets", "btc",
            "--local-dir", real, "--duration", str(REPLAY_S),
            "--url", "polymarket.rtds=off",  # the windows were recorded without the prices they settle on
        )  # fmt: skip
    demo.run("compact", "compact", "--local-dir", real)
    demo.run(
        "synthetic", "synthetic", "spike", "--data-dir", spike, "--windows", str(SPIKE_WINDOWS),
        "--ticks-per-window", str(SPIKE_TICKS), "--seed", "1",
    )  # fmt: skip
    for name in ("real", "spike"):
        demo.run(f"verify_{name}", "data", "verify", "--data-dir", demo.path("data", name))


def learn(demo: Demo) -> None:
    """Train both models on both recordings, and let each pair trade the windows it has not seen."""
    for data, folds in (("spike", SPIKE_FOLDS), ("real", REAL_FOLDS)):
        for kind in ("base", "transformer"):
            name = f"{data}_{kind}"
            demo.run(
                f"train_{name}", "train", "--data-dir", demo.path("data", data), "--method", "wbc", "--model", kind,
                "--epochs", str(EPOCHS[name]), "--batch-size", BATCH_SIZE, "--output", demo.path("models", name),
                "--runs-dir", demo.path("runs"), *folds,
            )  # fmt: skip
        demo.run(
            f"compare_{data}", "compare", "--base-model", demo.path("models", f"{data}_base"),
            "--transformer-model", demo.path("models", f"{data}_transformer"),
            "--data-dir", demo.path("data", data), "--html", demo.path(f"{data}.html"),
        )  # fmt: skip


def carry(demo: Demo) -> None:
    """Export all four models, each with its certificate."""
    for name in EPOCHS:
        exported = demo.path("models", f"{name}_torch")
        demo.run(f"export_{name}", "export", "--input", demo.path("models", name), "--output", exported)


def trade(demo: Demo) -> None:
    """Let the A/B router trade the real windows on paper, then decide its journal again."""
    real, journal = demo.path("data", "real"), demo.path("journals", "hybrid.jsonl")
    demo.run(
        "paper", "run", "hybrid", "--load", demo.path("models", "real_base_torch"),
        "--load-b", demo.path("models", "real_transformer_torch"), "--venue", "replay", "--data-dir", real,
        "--size", "50", "--journal", journal,
    )  # fmt: skip
    demo.run("replay", "replay", journal, "--data-dir", real)


def shares(demo: Demo) -> dict[str, float]:
    """Each exported model's share of the causal optimum's profit on `spike` paths that nobody has seen."""
    from export.load import load
    from mlx_rl.market.law import LawSettings
    from mlx_rl.optima.share import share_of_optimum
    from observer.venues.synthetic.spike import SpikeSettings

    unseen = SpikeSettings(windows=UNSEEN_WINDOWS, ticks_per_window=SPIKE_TICKS, seed=UNSEEN_SEED)
    return {
        kind: share_of_optimum(
            "spike", unseen, load(demo.root / "models" / f"spike_{kind}_torch")[0], LawSettings()
        ).share
        for kind in ("transformer", "base")
    }

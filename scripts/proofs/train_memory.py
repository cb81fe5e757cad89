"""Training on ten million ticks takes no more than 2.5 GB of memory.

The recording is a synthetic one of 5,556 windows. A process of its own builds the dataset and trains the base model
for one epoch on it; its peak resident memory is read from the kernel.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from observer.cli.synthetic import record
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.null import NullSettings
from scripts.proofs import Measurement

ROOT = Path(__file__).resolve().parents[2]
TICKS_PER_WINDOW, TICKS = 1_800, 10_000_000
BAR_GB = 2.5

TRAIN = """
import json, resource, sys
from pathlib import Path
from mlx_rl.cli.train import TrainCommand, train_model
root = Path(sys.argv[1])
made = train_model(TrainCommand(
    data_dir=root / "data", output=root / "model", runs_dir=root / "runs", method="wbc", model="base", epochs=1,
    batch_size=4096, valid_frac=0.0, test_frac=0.0,
))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"peak_gb": peak / 1e9, "samples": made["samples"]["train"], "train_s": made["train_s"]}))
"""

# What a careless loader does: every tape in memory at once, next to the dataset.
HOARD = """
import sys
from pathlib import Path
from observer.store.reader import Recording
hoard = list(Recording(Path(sys.argv[1]) / "data").tapes())
"""


def measure() -> Measurement:
    """Peak resident memory of training on 10 M ticks, dataset included."""
    return _run(TRAIN)


def control() -> Measurement:
    """The same with all tapes kept in memory at once: it must exceed the bar."""
    return _run(HOARD + TRAIN)


def _run(program: str) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        settings = NullSettings(windows=-(-TICKS // TICKS_PER_WINDOW), ticks_per_window=TICKS_PER_WINDOW)
        record(SYNTHETIC["null"], settings, Path(folder) / "data")
        command = [sys.executable, "-c", program, folder]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    holds = found["peak_gb"] <= BAR_GB and found["samples"] >= TICKS
    return Measurement(found["peak_gb"], BAR_GB, "GB at peak", holds, found)

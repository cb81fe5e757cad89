"""What pays 12 ticks after it was shown, the transformer finds and the base model, which sees 5 ticks, cannot.

On the synthetic market `spike` the best policy that sees only the past is known exactly. Both models are trained with
`wbc` from five seeds, each on its own recording, and then trade unseen paths after all costs next to that policy.
"""

import tempfile
from pathlib import Path

import numpy as np

from mlx_rl.artifact.folder import load_policy
from mlx_rl.cli.train import TrainCommand, train_model
from mlx_rl.market.law import LawSettings
from mlx_rl.optima.share import share_of_optimum
from observer.cli.synthetic import record
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.spike import SpikeSettings
from scripts.proofs import Measurement

SEEDS = (0, 1, 2, 3, 4)
TRAIN_WINDOWS, UNSEEN_WINDOWS = 24, 12
UNSEEN_SEED = 1_000
EPOCHS, BATCH_SIZE = 5, 64  # what counts is the number of steps: the transformer finds the lag all at once
AT_LEAST, AT_MOST = 0.80, 0.20


def measure() -> Measurement:
    """Mean share of the causal optimum's profit over five seeds; the worst transformer and the best base must clear."""
    shares = {kind: [_share(kind, seed, SpikeSettings()) for seed in SEEDS] for kind in ("transformer", "base")}
    worst, best = min(shares["transformer"]), max(shares["base"])
    return Measurement(
        value=float(np.mean(shares["transformer"])),
        bar=AT_LEAST,
        unit="share of the causal optimum",
        holds=worst >= AT_LEAST and best <= AT_MOST,
        detail={"transformer": shares["transformer"], "base": shares["base"], "base_at_most": AT_MOST},
    )


def control() -> Measurement:
    """The mark pays 30 ticks later, out of the transformer's sight too: it must not find it."""
    share = _share("transformer", SEEDS[0], SpikeSettings(mark_lag_ticks=30))
    return Measurement(share, AT_LEAST, "share of the causal optimum", holds=share >= AT_LEAST)


def _share(kind: str, seed: int, market: SpikeSettings) -> float:
    """Train one model on a recording of its own and return its share on unseen paths."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        record(SYNTHETIC["spike"], market.model_copy(update={"windows": TRAIN_WINDOWS, "seed": seed}), root / "data")
        command = TrainCommand(
            data_dir=root / "data", output=root / "model", runs_dir=root / "runs", method="wbc", model=kind,
            epochs=EPOCHS, batch_size=BATCH_SIZE, seed=seed, valid_frac=0.0, test_frac=0.0,
        )  # fmt: skip
        train_model(command)
        unseen = market.model_copy(update={"windows": UNSEEN_WINDOWS, "seed": UNSEEN_SEED})
        return share_of_optimum("spike", unseen, load_policy(root / "model"), LawSettings()).share

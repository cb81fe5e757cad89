"""A small training run in a process of its own, for tests that kill it.

    python -m tests.mlx_rl.training.killed FOLDER PLAN STEP_TO_DIE_AT [resume]

Prints the SHA-256 of the final weights. At step STEP_TO_DIE_AT (0: never) the process kills itself with SIGKILL.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

from mlx_rl.algos.wbc import WBCSettings, WeightedCloning
from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.training import loop
from mlx_rl.training.settings import TrainSettings
from mlx_rl.training.step import Stepper
from tests.mlx_rl.training.toy import ToyData

SIZES = {"head_dim": 8, "value_dim": 8, "temporal_dim": 8}
ARCHITECTURES = {
    "one-stream": BaseArchitecture(hidden_dim=16, **SIZES),
    "two-streams": TransformerArchitecture(seq_len=6, d_model=16, n_heads=2, n_layers=2, d_ff=16, **SIZES),
}


def main(folder: str, plan: str, die_at: int, resume: bool) -> str:
    a = ARCHITECTURES[plan]
    data = ToyData.random(20, 40, 18, a.seq_len, seed=0)
    settings = TrainSettings(epochs=3, batch_size=256 if plan == "two-streams" else 64, dropout=0.1, checkpoint_s=1e-9)
    step_once = Stepper.__call__

    def step(self: Stepper, state, x, rate, number):
        if number == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step_once(self, state, x, rate, number)

    Stepper.__call__ = step
    ids = np.arange(800)
    made = loop.train(
        data, ids[:600], ids[600:], a, WeightedCloning(WBCSettings()), settings, Path(folder), resume=resume
    )
    weights = made.network.numpy()
    return hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest()


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "resume" in sys.argv))

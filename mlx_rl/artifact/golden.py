"""The golden record: inputs a model will meet, and what it said about them when it was saved. NumPy only.

Every loader computes the outputs anew and compares. The inputs are real recorded states, a third of them from
the first ticks of a market, where most of the window is padding, and states at the edge of what can occur.
Letters: N inputs, L window length, F features.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.schema import POSITION_COLUMNS
from mlx_rl.market.binary import position_entries
from mlx_rl.policy import Policy
from mlx_rl.training.data import Gather, TrainingData
from observer.kit.rng import stream
from observer.records import DOWN, UP

N_GOLDEN = 48
EXTREMES = (-8.0, -1.0, 0.0, 1.0, 8.0)  # in standard deviations; every entry of the window at once


def golden_inputs(data: TrainingData, seq_len: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Choose (N, L, F) windows, (N, L) which slots are real, and (N, F) states with position entries."""
    age = data.row - data.first_row
    draw = stream(seed, "golden")
    young = np.flatnonzero(age < seq_len - 1)
    first = np.flatnonzero(age == 0)[:1]  # all padding but the newest state
    n = N_GOLDEN - len(EXTREMES)
    ids = np.concatenate([first, draw.choice(young, n // 3), draw.choice(len(age), n - n // 3 - len(first))])
    batch = Gather(data, seq_len, len(ids))(ids, draw=0)
    f = data.features.shape[1]
    extreme = np.ones((len(EXTREMES), seq_len, f), np.float32) * np.array(EXTREMES, np.float32)[:, None, None]
    extreme[:, :, POSITION_COLUMNS] = 0.0
    window = np.concatenate([batch.window, extreme])
    is_real = np.concatenate([batch.is_real, np.ones((len(EXTREMES), seq_len), np.bool_)])
    return {"window": window, "is_real": is_real, "state": _in_turning_positions(window[:, -1])}


def _in_turning_positions(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flat, Up, Down, flat, … with profits from the worst to the best that can be."""
    n = len(state)
    held = np.arange(n) % (max(UP, DOWN) + 1)
    state = state.copy()
    state[:, POSITION_COLUMNS] = position_entries(held, np.linspace(-1, 1, n), size_shares=1.0)
    return state


def golden_outputs(policy: Policy, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """What a policy says about golden inputs."""
    encoded = policy.encode(inputs["window"], inputs["is_real"])  # type: ignore[arg-type]
    logits, value, forecast = policy.heads(inputs["state"], encoded)  # type: ignore[arg-type]
    return {"encoded": encoded, "logits": logits, "value": value, "forecast": forecast}

"""What a model is shown of `spike`: 5 states of any schema tell nothing of the next displacement, 13 tell it all."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_rl.features.kernel import batch_features
from mlx_rl.features.schema import schema_for
from observer.records import mid_up
from observer.venues.synthetic import SYNTHETIC


def share_explained(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Share of the variance of the second half of y that a least-squares fit on the first half explains."""
    half = len(y) // 2
    design = np.column_stack([np.ones(len(y)), (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)])
    weights = np.linalg.lstsq(design[:half], y[:half], rcond=None)[0]
    return 1 - float(((y[half:] - design[half:] @ weights) ** 2).mean() / y[half:].var())


@pytest.mark.parametrize("schema", ["state18", "edge"])
def test_five_states_tell_nothing_and_thirteen_tell_all(schema: str) -> None:
    market = SYNTHETIC["spike"]
    tapes = [tape for tape, _ in market.generate(market.settings(windows=24, seed=3, step=0.0))]
    states = batch_features(schema_for(schema, reference="own_mid"), tapes)
    mids = [mid_up(tape.rows) for tape in tapes]
    ahead = np.concatenate([(mid - mid[0])[13:] for mid in mids])  # of tick t + 1, for t = 12 …

    def seen(n_states: int) -> NDArray[np.float64]:
        lagged = [np.column_stack([np.roll(state, age, axis=0) for age in range(n_states)]) for state in states]
        return np.concatenate([each[12:-1].astype(np.float64) for each in lagged])

    assert share_explained(seen(5), ahead) < 1e-3
    assert share_explained(seen(13), ahead) > 0.98

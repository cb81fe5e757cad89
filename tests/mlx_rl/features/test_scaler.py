"""The scaler learns from training samples only and leaves the position alone."""

import json

import numpy as np
import pytest

from mlx_rl.features.scaler import Scaler
from observer.kit.errors import SchemaMismatch, UsageError


def states(n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(7)
    x = rng.normal(0.2, 0.3, size=(n, 18)).astype(np.float32)
    x[:, 4] = 0.7  # constant
    return x


def test_training_states_come_out_standardised_and_constants_centred() -> None:
    x, is_train = states(), np.arange(400) < 300
    scaler = Scaler.fit(x, is_train)
    made = scaler.apply(x)[:300]

    assert made.dtype == np.float32
    free = [i for i in range(18) if i not in (4, 12, 13, 14)]
    np.testing.assert_allclose(made[:, free].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(made[:, free].std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(made[:, 4], 0, atol=1e-6)
    assert scaler.scale[4] == 1


def test_position_columns_pass_through_unchanged() -> None:
    x = states()

    assert np.array_equal(Scaler.fit(x, np.ones(400, bool)).apply(x)[:, 12:15], x[:, 12:15])


def test_samples_outside_the_training_fold_change_nothing() -> None:
    x, is_train = states(), np.arange(400) % 2 == 0
    other = np.where(is_train[:, None], x, np.float32(np.nan))

    assert Scaler.fit(x, is_train).to_dict() == Scaler.fit(other, is_train).to_dict()


def test_it_survives_json_bit_for_bit_and_scales_in_place() -> None:
    x = states()
    scaler = Scaler.fit(x, np.ones(400, bool))
    back = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    wanted = scaler.apply(x)

    assert back.mean.tobytes() == scaler.mean.tobytes()
    assert back.scale.tobytes() == scaler.scale.tobytes()
    assert back.apply(x, out=x) is x
    assert np.array_equal(x, wanted)


def test_one_state_is_scaled_as_many() -> None:
    x = states()
    scaler = Scaler.fit(x, np.ones(400, bool))

    assert np.array_equal(scaler.apply(x[5]), scaler.apply(x)[5])
    assert np.array_equal(Scaler.identity(18).apply(x), x)


def test_bad_input_is_refused() -> None:
    x = states()
    with pytest.raises(UsageError, match="no training sample"):
        Scaler.fit(x, np.zeros(400, bool))
    with pytest.raises(UsageError, match=r"got \(400, 18\) and \(3,\)"):
        Scaler.fit(x, np.ones(3, bool))
    x[3, 2] = np.nan
    with pytest.raises(UsageError, match=r"NaN or infinity in columns \[2\]"):
        Scaler.fit(x, np.ones(400, bool))
    with pytest.raises(SchemaMismatch, match="fitted on 18 features, this state has 28"):
        Scaler.identity(18).apply(np.zeros(28, np.float32))
    with pytest.raises(SchemaMismatch, match="not a scaler"):
        Scaler.from_dict({"mean": [0.0]})
    with pytest.raises(SchemaMismatch, match="lists of one length"):
        Scaler.from_dict({"mean": [0.0], "scale": [1.0, 1.0]})
    with pytest.raises(SchemaMismatch, match="not positive"):
        Scaler.from_dict({"mean": [0.0], "scale": [0.0]})

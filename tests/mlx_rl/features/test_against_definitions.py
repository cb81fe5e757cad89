"""The compiled kernel says what the definitions say, on made-up and on recorded markets."""

import dataclasses

import numpy as np
import pytest

from mlx_rl.features.kernel import batch_features
from mlx_rl.features.schema import FeatureSchema, schema_for
from observer.records import REFERENCE, Tape
from tests.mlx_rl.features.recorded import recorded_tapes
from tests.mlx_rl.features.slow import slow_features
from tests.samples.tapes import make_tape

STRIDE = 17  # the slow side looks at every 17th tick; the kernel has seen all of them


def assert_same(schema: FeatureSchema, tapes: list[Tape]) -> None:
    slow = slow_features(schema, tapes, STRIDE)
    for k, made in enumerate(batch_features(schema, tapes)):
        worst = np.abs(made[::STRIDE] - slow[k]).max(axis=0)

        assert dict(zip(schema.columns, worst, strict=True)) == {
            name: pytest.approx(0, abs=1e-5) for name in schema.columns
        }, f"window {k}"


@pytest.mark.parametrize("reference", ["underlying", "own_mid"])
def test_made_up_windows_agree_with_the_definitions(reference: str) -> None:
    tapes = [make_tape(seed=5, n_ticks=2000, index=index, missing_frac=0.1) for index in range(2)]

    assert_same(schema_for("edge", reference=reference), tapes)


def test_holes_and_strikes_agree_with_the_definitions() -> None:
    tapes = [make_tape(seed=8, n_ticks=2000, index=index) for index in (0, 1, 3, 5, 11)]
    for tape in tapes:
        tape.rows[200:500, REFERENCE] = np.nan
    tapes[1] = dataclasses.replace(tapes[1], market=dataclasses.replace(tapes[1].market, strike=90_010.0))

    assert_same(schema_for("edge"), tapes)


def test_recorded_windows_agree_with_the_definitions() -> None:
    tapes = list(recorded_tapes("small/polymarket_btc15m_6_windows"))

    assert_same(schema_for("state18", reference="own_mid"), tapes)

"""The comparison itself: it finds what differs, counts flips as it says, and never takes NaN for agreement."""

from dataclasses import replace

import numpy as np
import pytest

from export.parity import BATCHES, MASKS, compare, latency
from export.probes import make_probes
from export.runtimes import Outputs, Runtime, fast_runtime, policy_runtime
from mlx_rl.artifact.manifest import read_manifest
from tests.samples.model_folder import make_golden, make_model_folder, make_policy

POLICY = make_policy("transformer", "small")
GOLDEN = make_golden(POLICY)
NUMPY = policy_runtime("numpy", POLICY)


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory):
    return make_probes(read_manifest(make_model_folder(tmp_path_factory.mktemp("m") / "x")), GOLDEN)


def bent(change, name: str = "bent") -> Runtime:
    """NumPy with its outputs changed by `change`."""

    def run(window, is_real, state) -> Outputs:
        made = NUMPY.run(window, is_real, state)
        change(made, window)
        return made

    return replace(NUMPY, name=name, run=run)


def test_probes_hold_every_edge(probes) -> None:
    assert probes.counts["golden"] == len(GOLDEN["logits"])
    assert np.array_equal(probes.state[: len(GOLDEN["state"])], GOLDEN["state"])
    assert (probes.is_real.sum(axis=1) == 1).any()  # all padding but the last
    assert (probes.window == 0).all(axis=(1, 2)).any()
    assert ((abs(probes.window) == 1).mean(axis=(1, 2)) > 0.8).any()
    assert {tuple(row) for row in probes.state[:, 12:14].tolist()} == {(0, 0), (1, 1), (1, -1)}
    assert probes.is_real[:, -1].all()
    assert not probes.window[:, :, 12:15].any()


def test_what_agrees_passes(probes) -> None:
    found = compare([NUMPY, fast_runtime(POLICY)], probes, GOLDEN)

    assert found.passed
    assert found.max_abs <= 1e-5
    assert found.decisions["compared"] == len(probes) * 7
    assert {row["batch"] for row in found.rows if row["runtime"] == "numpy"} == set(BATCHES)
    assert {row["batch"] for row in found.rows if row["runtime"] == "fast"} == {1}


@pytest.mark.parametrize("output", ["encoded", "logits", "value", "forecast", "attention"])
def test_a_difference_in_any_output_is_found(output: str, probes) -> None:
    def change(made: Outputs, window: np.ndarray) -> None:
        made[output] = made[output].copy()
        made[output].reshape(-1)[-1] += np.float32(1e-3)

    found = compare([NUMPY, bent(change)], probes, GOLDEN)

    assert not found.passed
    assert found.max_abs == pytest.approx(1e-3, rel=1e-2)
    assert found.complaint().startswith("bent differs from ")
    assert f"by 0.001 in {output} at batch" in found.complaint()


def test_a_difference_at_one_batch_size_only_is_found(probes) -> None:
    def change(made: Outputs, window: np.ndarray) -> None:
        made["value"] = made["value"] + np.float32(2e-5 if len(window) == 300 else 0)

    found = compare([NUMPY, bent(change)], probes, GOLDEN)

    assert not found.passed
    assert "at batch 300" in found.complaint()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_never_passes(bad: float, probes) -> None:
    def change(made: Outputs, window: np.ndarray) -> None:
        made["forecast"] = np.full_like(made["forecast"], bad)

    found = compare([bent(change, "a"), bent(change, "b")], probes, GOLDEN)

    assert not found.passed
    assert found.max_abs == np.inf


def test_flips_are_counted_by_mask_and_margin() -> None:
    """Three states. First: logits 0, 1, 0.99995 against 0, 0.99994, 0.99995: a flip of BUY and SELL, gap 5e-5.
    Second and third: 0, 1, 0.5 against 0, 0.4, 0.5: flips with gap 0.5. Of the 7 masks, BUY and SELL are both
    allowed in 2. Close calls: the first state under those 2 masks; flips outside: two states under 2 masks, 4.
    """
    from export.parity import _decisions

    first = np.array([[0, 1, 0.99995], [0, 1, 0.5], [0, 1, 0.5]], np.float32)
    second = np.array([[0, 0.99994, 0.99995], [0, 0.4, 0.5], [0, 0.4, 0.5]], np.float32)

    found = _decisions({"a": first, "b": second})

    assert len(MASKS) == 7
    assert found == {"compared": 21, "within_margin": 2, "flips_within_margin": 2, "flips_outside_margin": 4}


def test_a_flip_outside_the_margin_fails_whatever_the_difference(probes) -> None:
    found = compare([NUMPY], probes, GOLDEN)
    broken = replace(found, decisions={**found.decisions, "flips_outside_margin": 3})

    assert found.passed
    assert not broken.passed
    assert broken.complaint() == "3 decisions differ although no two actions were close"


def test_latency_is_given_in_microseconds(probes) -> None:
    took = latency([NUMPY, fast_runtime(POLICY)], probes, rounds=20)

    assert set(took) == {"numpy", "fast"}
    assert 0 < took["numpy"]["p50_us"] <= took["numpy"]["p90_us"] <= took["numpy"]["p99_us"]

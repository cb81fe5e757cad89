"""The look-ahead checker finds what looks ahead, in ours and in yours, and accuses nobody else."""

from collections.abc import Sequence

import numpy as np
import pytest

from mlx_rl.features.kernel import batch_features
from mlx_rl.features.lookahead import check_schema, look_ahead
from mlx_rl.features.schema import SCHEMAS, schema_for
from observer.kit.errors import UsageError
from observer.records import UP_BID, Tape
from tests.samples.tapes import make_tape

TAPES = [make_tape(seed=2, n_ticks=300, index=index, ladder=index == 0) for index in (0, 1, 2, 14)]


@pytest.mark.parametrize("reference", ["underlying", "own_mid"])
@pytest.mark.parametrize("name", list(SCHEMAS))
def test_no_registered_schema_looks_ahead(name: str, reference: str) -> None:
    assert check_schema(schema_for(name, reference=reference), TAPES, cuts=12) == []


def next_bid(tapes: Sequence[Tape]) -> list[np.ndarray]:
    """An honest column and one that reads the tick after."""
    columns = []
    for tape in tapes:
        bid = np.clip(np.nan_to_num(tape.rows[:, UP_BID]), -1, 1)
        columns.append(np.stack([bid, np.append(bid[1:], 0.0)], axis=1).astype(np.float32))
    return columns


def test_a_column_that_reads_the_next_tick_is_named() -> None:
    leaks = look_ahead(next_bid, TAPES, ["bid", "next_bid"], cuts=5)

    assert {leak.column for leak in leaks} == {"next_bid"}
    assert {leak.change for leak in leaks} == {"replaced", "blanked", "absurd", "removed"}


def test_a_column_scaled_by_the_whole_recording_is_named() -> None:
    def over_the_maximum(tapes: Sequence[Tape]) -> list[np.ndarray]:
        bids = [np.clip(np.nan_to_num(tape.rows[:, [UP_BID]]), 0, 1).astype(np.float32) for tape in tapes]
        return [bid / max(other.max() for other in bids) for bid in bids]

    leaks = look_ahead(over_the_maximum, TAPES, ["bid_of_max"], cuts=5)

    assert leaks
    assert leaks[0].column == "bid_of_max"


def test_a_column_that_only_peeks_at_how_long_the_window_will_run_is_named() -> None:
    def share_done(tapes: Sequence[Tape]) -> list[np.ndarray]:
        return [(np.arange(len(tape))[:, None] / len(tape)).astype(np.float32) for tape in tapes]

    assert {leak.change for leak in look_ahead(share_done, TAPES, ["share_done"], cuts=5)} == {"removed"}


def test_a_leak_planted_in_the_kernels_output_is_named() -> None:
    schema = schema_for("state18")

    def leaky(tapes: Sequence[Tape]) -> list[np.ndarray]:
        states = batch_features(schema, tapes)
        for state in states:
            state[:-1, 5] = state[1:, 5]
        return states

    assert {leak.column for leak in look_ahead(leaky, TAPES, schema.columns)} == {"trade_flow_imbalance"}


def test_a_memory_longer_than_declared_is_named() -> None:
    def windows_so_far(tapes: Sequence[Tape]) -> list[np.ndarray]:
        return [np.full((len(tape), 1), k, np.float32) for k, tape in enumerate(tapes)]

    leaks = look_ahead(windows_so_far, TAPES, ["windows_so_far"], cuts=8, memory_s=0.0)

    assert {leak.change for leak in leaks} == {"forgotten"}


def test_the_underlyings_history_runs_on_across_windows() -> None:
    def states(tapes: Sequence[Tape]) -> list[np.ndarray]:
        return batch_features(schema_for("state18"), tapes)

    whole = [make_tape(seed=3, n_ticks=2000, index=index) for index in range(2)]
    leaks = look_ahead(states, whole, SCHEMAS["state18"].columns, cuts=8, memory_s=0.0)

    assert {leak.column for leak in leaks} >= {"returns_1m", "vol_5m", "trend_regime"}
    assert {leak.change for leak in leaks} == {"forgotten"}


def test_states_of_the_wrong_shape_and_empty_recordings_are_refused() -> None:
    with pytest.raises(UsageError, match="want states of shape"):
        look_ahead(next_bid, TAPES, ["bid"])
    with pytest.raises(UsageError, match="at least one recorded tick"):
        look_ahead(next_bid, [TAPES[0].until(0)], ["bid", "next_bid"])

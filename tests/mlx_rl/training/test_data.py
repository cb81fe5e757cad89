"""Batches are what the recording says, padded where a market window had not begun."""

import numpy as np
import pytest

from mlx_rl.training.data import Gather, check_data, epoch_order, step_ids
from observer.kit.errors import UsageError
from tests.mlx_rl.training.toy import ToyData


def test_a_window_never_shows_the_market_before_it() -> None:
    data = ToyData.random(windows=3, ticks=8, features=4, seq_len=6, seed=0)
    batch = Gather(data, 6, 32)(np.arange(24), 0)

    for i in range(24):
        tick = i % 8
        n_real = min(tick + 1, 6)
        assert batch.is_real[i].tolist() == [False] * (6 - n_real) + [True] * n_real
        assert np.all(batch.window[i, : 6 - n_real] == 0)
        last = data.row[i]
        assert np.array_equal(batch.window[i, 6 - n_real :], data.features[last - n_real + 1 : last + 1])


def test_a_longer_window_than_the_zero_margin_is_still_clean() -> None:
    data = ToyData.random(windows=2, ticks=5, features=3, seq_len=4, seed=1)
    batch = Gather(data, 12, 16)(np.arange(10), 0)

    assert np.all(batch.window[~batch.is_real] == 0)
    assert batch.is_real.sum(axis=1).tolist() == [1, 2, 3, 4, 5] * 2


def test_an_epochs_order_depends_on_seed_and_epoch_only() -> None:
    ids = np.arange(100)

    assert np.array_equal(epoch_order(ids, 0, 3), epoch_order(ids, 0, 3))
    assert not np.array_equal(epoch_order(ids, 0, 3), epoch_order(ids, 0, 4))
    assert not np.array_equal(epoch_order(ids, 0, 3), epoch_order(ids, 1, 3))
    assert np.array_equal(np.sort(epoch_order(ids, 0, 3)), ids)


def test_a_resumed_epoch_continues_with_the_batch_after_the_last() -> None:
    order = epoch_order(np.arange(103), 0, 0)
    whole = list(step_ids(order, 10))
    rest = list(step_ids(order, 10, start=4))

    assert len(whole) == 10
    assert [step for step, _ in rest] == [4, 5, 6, 7, 8, 9]
    assert np.array_equal(rest[0][1], whole[4][1])


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    data = ToyData.random(windows=2, ticks=5, features=3, seq_len=4, seed=1)
    data.value = data.value[:-1]

    with pytest.raises(UsageError, match=r"dataset array value is \(9, 3\) float32; the trainer wants \(10, 3\)"):
        check_data(data, np.arange(10))


def test_arrays_of_another_type_are_refused() -> None:
    data = ToyData.random(windows=2, ticks=5, features=3, seq_len=4, seed=1)
    data.q = data.q.astype(np.float64)

    with pytest.raises(UsageError, match=r"dataset array q is \(10, 3, 3\) float64; the trainer wants .* float32"):
        check_data(data, np.arange(10))

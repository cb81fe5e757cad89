"""The window of a market's first ticks is padded in front, and says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_rl.features.padding import padded_window
from observer.kit.errors import UsageError


@given(n=st.integers(1, 40), seq_len=st.integers(1, 25))
def test_the_window_ends_with_the_latest_state_and_is_zero_where_not_real(n: int, seq_len: int) -> None:
    history = np.arange(1, 3 * n + 1, dtype=np.float32).reshape(n, 3)
    window, is_real = padded_window(history, seq_len)

    assert window.shape == (seq_len, 3)
    assert is_real.sum() == min(n, seq_len)
    assert is_real[-1]
    assert np.array_equal(window[is_real], history[-min(n, seq_len) :])
    assert not window[~is_real].any()


@given(n=st.integers(1, 40), seq_len=st.integers(1, 25))
def test_it_is_the_same_view_that_zero_rows_in_front_would_give(n: int, seq_len: int) -> None:
    history = np.arange(1, 3 * n + 1, dtype=np.float32).reshape(n, 3)
    padded = np.concatenate([np.zeros((seq_len - 1, 3), np.float32), history])

    assert np.array_equal(padded_window(history, seq_len)[0], padded[n - 1 : n - 1 + seq_len])


def test_a_reused_buffer_holds_nothing_of_the_market_before() -> None:
    buffer = np.full((4, 2), 9, np.float32)
    window, _ = padded_window(np.ones((1, 2), np.float32), 4, out=buffer)

    assert window is buffer
    assert buffer.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1]]


def test_no_state_and_no_slot_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one state"):
        padded_window(np.zeros((0, 3), np.float32), 5)
    with pytest.raises(UsageError, match="at least one state"):
        padded_window(np.zeros((2, 3), np.float32), 0)

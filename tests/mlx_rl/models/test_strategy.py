"""The public class: made, asked tick by tick, saved, loaded."""

from pathlib import Path

import numpy as np
import pytest

from mlx_rl.features.schema import POSITION_COLUMNS
from mlx_rl.models.strategy import RLStrategy, TransformerRLStrategy
from observer.kit.errors import UsageError
from observer.records import BUY, DOWN, HOLD, SELL, UP


def states(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).uniform(-1, 1, (n, 18)).astype(np.float32)
    made[:, POSITION_COLUMNS] = 0.0
    return made


def test_the_guides_constructor_makes_the_guides_shapes() -> None:
    strategy = TransformerRLStrategy(seq_len=20, n_heads=4, n_layers=2, d_model=64, temporal_dim=32)

    assert strategy.policy.encode(np.zeros((1, 20, 18), np.float32), np.ones((1, 20), bool)).shape == (1, 32)
    assert TransformerRLStrategy().policy.architecture == strategy.policy.architecture


def test_deciding_tick_by_tick_equals_deciding_on_the_window() -> None:
    strategy, history = TransformerRLStrategy(seq_len=6, d_model=16, n_heads=2, seed=4), states(9)
    for t, state in enumerate(history):
        action = strategy.act(state, UP, 0.25)
        n = min(t + 1, 6)
        window, is_real = np.zeros((1, 6, 18), np.float32), np.arange(6)[None] >= 6 - n
        window[0, 6 - n :] = history[t + 1 - n : t + 1]
        now = history[t : t + 1].copy()
        now[:, POSITION_COLUMNS] = [1.0, 1.0, 0.25]
        logits, _, _ = strategy.policy.heads(now, strategy.policy.encode(window, is_real))

        assert action == (SELL if logits[0, SELL] > logits[0, HOLD] else HOLD)


def test_the_mask_is_never_overruled() -> None:
    strategy = RLStrategy(seed=1)
    made = [(position, strategy.act(state, position)) for state in states(40) for position in (UP, DOWN)]

    assert (UP, BUY) not in made
    assert (DOWN, SELL) not in made
    assert strategy.act(states(1)[0], is_pending=True) == HOLD


def test_a_new_market_starts_with_an_empty_window() -> None:
    strategy = TransformerRLStrategy(seq_len=5, d_model=8, n_heads=2)
    for state in states(7):
        strategy.act(state)
    strategy.start()
    strategy.act(states(1)[0])

    assert np.all(strategy.attention()[..., :4] == 0)
    assert np.allclose(strategy.attention()[..., 4], 1)


def test_attention_can_be_asked_for_given_states() -> None:
    strategy, history = TransformerRLStrategy(seq_len=5, d_model=8, n_heads=2), states(5)
    for state in history:
        strategy.act(state)

    assert strategy.attention().shape == (2, 2, 5)  # layers, heads, oldest first
    assert np.array_equal(strategy.attention(history), strategy.attention())


def test_attention_without_a_state_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="call act first"):
        TransformerRLStrategy(seq_len=5, d_model=8, n_heads=2).attention()
    with pytest.raises(UsageError, match="attention wants 1 to 5 states, oldest first; got 6"):
        TransformerRLStrategy(seq_len=5, d_model=8, n_heads=2).attention(states(6))


def test_a_saved_strategy_decides_the_same_after_loading(tmp_path: Path) -> None:
    made, other = TransformerRLStrategy(seed=1), TransformerRLStrategy(seed=2)
    made.save(tmp_path / "m")
    other.load(tmp_path / "m")

    assert other.manifest is not None
    assert other.manifest.method == "untrained"
    assert [made.act(s) for s in states(25)] == [other.act(s) for s in states(25)]


def test_the_other_kind_of_model_is_refused(tmp_path: Path) -> None:
    RLStrategy().save(tmp_path / "m")

    with pytest.raises(UsageError, match="holds a base model; TransformerRLStrategy holds transformer models"):
        TransformerRLStrategy().load(tmp_path / "m")


def test_a_state_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a state of state18 has shape \(18,\); got \(5,\)"):
        RLStrategy().act(np.zeros(5, np.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_state_that_is_not_finite_is_refused_and_leaves_no_trace(value: float) -> None:
    strategy, history = TransformerRLStrategy(seq_len=5, d_model=8, n_heads=2), states(3)
    strategy.act(history[0])
    seen = strategy.attention()
    bad = history[1].copy()
    bad[7] = value
    name = strategy.policy.schema.columns[7]

    with pytest.raises(UsageError, match=rf"entry 7 \({name}\) of the state is {value} at tick 2 of the window"):
        strategy.act(bad)
    with pytest.raises(UsageError, match=rf"entry 7 \({name}\) of the state is {value} at tick 3 of the window"):
        strategy.attention(np.stack([history[0], history[2], bad]))
    assert np.array_equal(strategy.attention(), seen)
    strategy.act(history[1])
    with pytest.raises(UsageError, match=f"position_pnl is {value} at tick 3"):
        strategy.act(history[2], UP, value)

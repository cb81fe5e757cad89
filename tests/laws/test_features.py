"""Laws of the feature kernel: live equals batch, the future changes nothing, no number escapes its bounds."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_rl.features.kernel import FeatureKernel, batch_features
from mlx_rl.features.lookahead import ABSURD, check_schema
from mlx_rl.features.schema import SCHEMAS, FeatureSchema, schema_for
from observer.records import BUY_USD, REFERENCE, UP_BID_SIZE, Tape
from tests.samples.tapes import make_tape

SCHEMA_AND_REFERENCE = [(name, reference) for name in SCHEMAS for reference in ("underlying", "own_mid")]
each_schema = pytest.mark.parametrize(("name", "reference"), SCHEMA_AND_REFERENCE)
QUICK = settings(max_examples=40, deadline=None)


def uneven_tape(seed: int, index: int = 0, *, absurd_frac: float = 0.0, series: str = "btc-updown-15m") -> Tape:
    """A made-up tape with bursts of a millisecond, long holes, gaps in the reference and, on request, nonsense."""
    tape = make_tape(seed, 400, index=index, missing_frac=0.15)
    rng = np.random.default_rng([seed, index, 1])
    step = rng.choice([1_000_000, 90_000_000, 500_000_000, 7_000_000_000], size=len(tape), p=[0.3, 0.2, 0.4, 0.1])
    recv_ns = tape.market.open_ns + np.cumsum(step)
    keep = recv_ns <= tape.market.close_ns
    rows = tape.rows[keep].copy()
    rows[rng.random(len(rows)) < 0.3, REFERENCE] = np.nan
    rows[rng.random(len(rows)) < 0.1, UP_BID_SIZE:REFERENCE] = np.nan
    wrong = rng.random(rows.shape) < absurd_frac
    rows[wrong] = rng.choice(ABSURD, size=wrong.sum())
    market = dataclasses.replace(tape.market, series=series, market_id=f"{series}-{index}")
    return Tape(market, recv_ns[keep].astype(np.int64), rows)


def stream_features(schema: FeatureSchema, tapes: list[Tape]) -> list[np.ndarray]:
    kernel = FeatureKernel(schema)
    states = []
    for tape in tapes:
        kernel.start(tape.market)
        pushed = [kernel.push(int(ns), row) for ns, row in zip(tape.recv_ns, tape.rows, strict=True)]
        states.append(np.array(pushed, np.float32).reshape(len(tape), len(schema)))
    return states


def same_bits(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return [x.tobytes() for x in a] == [x.tobytes() for x in b]


@each_schema
@QUICK
@given(seed=st.integers(0, 2**32 - 1), absurd=st.sampled_from([0.0, 0.2]))
def test_live_and_batch_agree_bitwise(name: str, reference: str, seed: int, absurd: float) -> None:
    schema = schema_for(name, reference=reference)
    tapes = [uneven_tape(seed, index, absurd_frac=absurd) for index in (0, 1, 5)]

    assert same_bits(batch_features(schema, tapes), stream_features(schema, tapes))


@each_schema
@QUICK
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_where_a_batch_is_cut_does_not_matter(name: str, reference: str, seed: int, cuts: list[int]) -> None:
    schema, tape = schema_for(name, reference=reference), uneven_tape(seed)
    kernel = FeatureKernel(schema)
    kernel.start(tape.market)
    edges = [0, *sorted(min(cut, len(tape)) for cut in cuts), len(tape)]
    parts = [kernel.run(tape.recv_ns[a:b], tape.rows[a:b]) for a, b in pairwise(edges)]

    assert same_bits([np.concatenate(parts)], batch_features(schema, [tape]))


@each_schema
@QUICK
@given(seed=st.integers(0, 2**32 - 1))
def test_states_stay_within_one_whatever_the_feed_says(name: str, reference: str, seed: int) -> None:
    tapes = [uneven_tape(seed, index, absurd_frac=0.3) for index in range(2)]

    for state in batch_features(schema_for(name, reference=reference), tapes):
        assert state.dtype == np.float32
        assert state.flags["C_CONTIGUOUS"]
        assert np.isfinite(state).all()
        assert np.abs(state).max() <= 1
        assert not state[:, 12:15].any()


@each_schema
@QUICK
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(6)))
def test_windows_of_other_series_may_come_in_any_order(name: str, reference: str, seed: int, order: list[int]) -> None:
    schema = schema_for(name, reference=reference)
    series = [[uneven_tape(seed + k, i, series=f"series-{k}") for i in range(2)] for k in range(3)]
    plain = [tape for tapes in series for tape in tapes]
    turns = [position // 2 for position in order]  # which series comes next; within one, time order is kept
    queues = [list(tapes) for tapes in series]
    mixed = [queues[k].pop(0) for k in turns]

    made = {t.market.market_id: x.tobytes() for t, x in zip(mixed, batch_features(schema, mixed), strict=True)}
    wanted = {t.market.market_id: x.tobytes() for t, x in zip(plain, batch_features(schema, plain), strict=True)}
    assert made == wanted


@each_schema
@QUICK
@given(seed=st.integers(0, 2**32 - 1))
def test_the_future_changes_nothing_in_the_past(name: str, reference: str, seed: int) -> None:
    tapes = [uneven_tape(seed, index) for index in range(2)]

    assert check_schema(schema_for(name, reference=reference), tapes, cuts=3, seed=seed) == []


@QUICK
@given(seed=st.integers(0, 2**32 - 1))
def test_a_window_that_starts_before_the_last_one_ended_learns_nothing_from_it(seed: int) -> None:
    schema, late = schema_for("edge"), uneven_tape(seed, 1)
    early = uneven_tape(seed, 0)

    assert same_bits(batch_features(schema, [late, early])[1:], batch_features(schema, [early]))


@each_schema
@QUICK
@given(seed=st.integers(0, 2**32 - 1))
def test_only_the_current_tick_tells_of_the_books_imbalance(name: str, reference: str, seed: int) -> None:
    """Sizes may not echo in later states: a policy must look back itself to know an earlier imbalance."""
    schema, tape = schema_for(name, reference=reference), uneven_tape(seed)
    rows = tape.rows.copy()
    rows[:-1, UP_BID_SIZE:BUY_USD] *= 3.7
    a, b = (batch_features(schema, [Tape(tape.market, tape.recv_ns, x)])[0][-1] for x in (tape.rows, rows))

    assert np.array_equal(a, b)


def test_read_only_and_transposed_input_gives_the_same_states() -> None:
    schema, tape = schema_for("edge"), uneven_tape(3)
    wanted = batch_features(schema, [tape])
    frozen = tape.rows.copy()
    frozen.flags.writeable = False
    fortran = np.asfortranarray(tape.rows)

    assert same_bits(wanted, batch_features(schema, [Tape(tape.market, tape.recv_ns, frozen)]))
    assert same_bits(wanted, batch_features(schema, [Tape(tape.market, tape.recv_ns, fortran)]))
    assert same_bits(wanted, stream_features(schema, [Tape(tape.market, tape.recv_ns, frozen)]))

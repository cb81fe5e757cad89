"""Folds are walk-forward, cut by clock window, purged, embargoed, and the test fold's opening is counted."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_rl.datasets.splits import SplitSettings, cut_fold, open_test, split_markets, walk_forward
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import Market
from tests.samples.tapes import make_market


def many(n: int) -> list[Market]:
    btc = [make_market(i) for i in range(n)]
    return btc + [replace(m, market_id=m.market_id.replace("btc", "eth"), symbol="ETH") for m in btc]


@given(n=st.integers(16, 60), embargo=st.integers(0, 2), valid=st.floats(0.1, 0.3), test=st.floats(0.1, 0.3))
def test_folds_follow_one_another_and_never_share_a_clock_window(
    n: int, embargo: int, valid: float, test: float
) -> None:
    markets = many(n)
    split = split_markets(markets, SplitSettings(valid_frac=valid, test_frac=test, embargo_windows=embargo))
    opens = {m.market_id: m.open_ns for m in markets}
    closes = {m.market_id: m.close_ns for m in markets}

    assert max(closes[m] for m in split.train) <= min(opens[m] for m in split.valid)
    assert max(closes[m] for m in split.valid) <= min(opens[m] for m in split.test)
    assert len(split.dropped) == 2 * 2 * embargo  # two symbols, two borders
    assert sorted((*split.train, *split.valid, *split.test, *split.dropped)) == sorted(opens)


def test_a_training_window_that_closes_after_the_next_fold_opens_is_purged() -> None:
    markets = [make_market(i) for i in range(10)]
    late = replace(markets[5], market_id="late", close_ns=markets[8].close_ns)
    split = split_markets([*markets, late], SplitSettings(valid_frac=0.2, test_frac=0.2, embargo_windows=0))

    assert "late" in split.dropped
    assert markets[5].market_id in split.train


@pytest.mark.parametrize("embargo", [0, 1, 3])
def test_a_model_is_judged_from_its_first_test_window_on_however_far_apart_windows_are(embargo: int) -> None:
    markets = many(40)
    short = [replace(m, close_ns=m.open_ns + 60 * NS_PER_S) for m in markets]  # a minute of each quarter-hour
    settings = SplitSettings(valid_frac=0.1, test_frac=0.5, embargo_windows=embargo)
    split, folds = cut_fold(short, settings)
    opens = {m.market_id: m.open_ns for m in short}

    assert (folds.train_windows, folds.valid_windows) == (len(split.train), len(split.valid))
    assert folds.trained_until_ns == max(m.close_ns for m in short if m.market_id in split.valid)
    assert folds.unseen_from_ns == min(opens[name] for name in split.test)
    assert {name for name in opens if opens[name] >= folds.unseen_from_ns} == set(split.test)


def test_without_a_test_fold_the_embargo_is_as_many_windows_long() -> None:
    markets = many(20)
    _, folds = cut_fold(markets, SplitSettings(test_frac=0, embargo_windows=2))

    assert folds.trained_until_ns == max(m.close_ns for m in markets)
    assert folds.unseen_from_ns == folds.trained_until_ns + 2 * (markets[0].close_ns - markets[0].open_ns)


def test_each_fold_of_a_walk_forward_is_judged_where_its_own_test_windows_begin() -> None:
    markets = many(60)
    settings = SplitSettings(valid_frac=0.1, test_frac=0.4)
    splits = walk_forward(markets, 3, settings)
    opens = {m.market_id: m.open_ns for m in markets}
    made = [cut_fold(markets, settings, fold=k, n_folds=3) for k in (1, 2, 3)]

    assert [split for split, _ in made] == splits
    assert [folds.unseen_from_ns for _, folds in made] == [min(opens[m] for m in s.test) for s in splits]
    assert [(folds.fold, folds.n_folds) for _, folds in made] == [(1, 3), (2, 3), (3, 3)]


def test_walk_forward_test_folds_cover_the_end_without_overlap() -> None:
    markets = [make_market(i) for i in range(40)]
    folds = walk_forward(markets, 4, SplitSettings(valid_frac=0.1, test_frac=0.4, embargo_windows=1))

    assert [len(f.test) for f in folds] == [4, 4, 4, 4]
    assert [m for f in folds for m in f.test] == [m.market_id for m in markets[-16:]]
    assert all(len(a.train) < len(b.train) for a, b in pairwise(folds))


def test_too_few_windows_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="3 clock windows leave nothing to train on"):
        split_markets([make_market(i) for i in range(3)], SplitSettings(embargo_windows=2))
    with pytest.raises(UsageError, match="5 clock windows cannot give 9 test folds"):
        walk_forward([make_market(i) for i in range(5)], 9, SplitSettings())


def test_each_opening_of_the_test_fold_is_written_down(tmp_path: Path) -> None:
    assert open_test(tmp_path, "abc", "compare a b") == 1
    assert open_test(tmp_path, "other", "compare a b") == 1
    assert open_test(tmp_path, "abc", "evaluate a") == 2
    with (tmp_path / "test_openings.jsonl").open("a") as log:
        log.write('{"opened": "2026')  # a crash in the middle of a line
    assert open_test(tmp_path, "abc", "evaluate a") == 4
    assert open_test(tmp_path, "abc", "evaluate a") == 5
    assert "evaluate a" in (tmp_path / "test_openings.jsonl").read_text()

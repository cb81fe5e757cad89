"""A dataset holds the states, the oracle's labels and nothing of the test fold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlx_rl.datasets.build import build
from mlx_rl.datasets.dataset import Dataset
from mlx_rl.datasets.reference import require_reference
from mlx_rl.datasets.splits import SplitSettings
from mlx_rl.features.kernel import batch_features
from mlx_rl.features.padding import padded_window
from mlx_rl.market.binary import CLOSE_UP, OPEN_UP
from mlx_rl.market.fills import price_fills
from mlx_rl.market.law import LawSettings
from mlx_rl.market.oracle import solve
from mlx_rl.training.data import check_data
from observer.kit.errors import UsageError
from observer.store.reader import Recording
from tests.samples.recordings import make_recording, record
from tests.samples.tapes import make_tape

LAW = LawSettings(size_shares=10)
SPLITS = SplitSettings(valid_frac=0.2, test_frac=0.2, embargo_windows=1)


def make(root: Path, seq_len: int = 20, **changes: object) -> Dataset:
    options = {"schema_name": "state18", "seq_len": seq_len, "law": LAW, "splits": SPLITS} | changes
    return build(root, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(tmp_path_factory.mktemp("recording"))


def test_a_sample_is_its_tick_with_the_oracles_values(recording: Path) -> None:
    data = make(recording)
    source = Recording(recording)
    tapes = {t.market.market_id: t for t in source.tapes()}
    states = dict(zip(tapes, batch_features(data.schema, tapes.values()), strict=True))
    name = data.markets_train[2]
    first = sum(len(tapes[m]) for m in data.markets_train[:2])
    tick = 30

    row = data.row[first + tick]
    assert np.array_equal(data.features[row], data.scaler.apply(states[name][tick]))
    assert row - data.first_row[first + tick] == tick
    expected = solve(price_fills(tapes[name], LAW), 0.0).q[tick] / LAW.size_shares
    assert np.array_equal(data.q[first + tick], expected.astype(np.float32))
    assert np.array_equal(data.value[first + tick], data.q[first + tick].max(axis=1))


def test_a_window_is_a_view_and_equals_the_live_rule(recording: Path) -> None:
    data = make(recording)
    sample = int(data.valid[3])  # the fourth tick of a window: 16 padded slots
    window = data.window(sample, 20)
    history = data.features[data.first_row[sample] : data.row[sample] + 1]

    assert np.shares_memory(window, data.features)
    assert np.array_equal(window, padded_window(history, 20)[0])
    assert not window[:16].any()


def test_the_trainer_accepts_it(recording: Path) -> None:
    data = make(recording)

    check_data(data, data.train)


def test_no_test_window_is_read_and_folds_do_not_touch(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Recording.tapes

    def spy(self: Recording, series: str | None = None):
        for tape in original(self, series):
            read.append(tape.market.market_id)
            yield tape

    monkeypatch.setattr(Recording, "tapes", spy)
    data = make(recording)
    everything = [m.market_id for m in Recording(recording).markets()]

    # 12 windows: 6 train, 1 embargoed, 2 valid, 1 embargoed, 2 test. The walk stops at the first window past valid.
    assert data.markets_train == tuple(everything[:6])
    assert data.markets_valid == tuple(everything[7:9])
    assert read == everything[:10]
    assert not set(data.train) & set(data.valid)


def test_the_scaler_sees_the_training_fold_only(tmp_path: Path) -> None:
    calm = make(make_recording(tmp_path / "calm"))
    tapes = [(make_tape(7, 60, index=i), float(i % 2)) for i in range(12)]
    for tape, _ in tapes[7:]:
        tape.rows[:, 12:16] *= 50  # the flow of every later window
    wild = make(record(tmp_path / "wild", tapes))

    assert np.array_equal(calm.scaler.mean, wild.scaler.mean)
    assert np.array_equal(calm.scaler.scale, wild.scaler.scale)


def test_an_imagined_profit_is_that_of_a_real_entry(recording: Path) -> None:
    data = make(recording)
    sample = data.train[45:46]
    tape = Recording(recording).tape(data.markets_train[0])
    cash = price_fills(tape, LAW).cash / LAW.size_shares
    opened, closing = cash[:46, OPEN_UP], cash[:46, CLOSE_UP]
    last_close = closing[np.isfinite(closing)][-1]
    possible = {np.float32(np.float32(last_close) + np.float32(c)) for c in opened[np.isfinite(opened)]}
    drawn = {np.float32(data.pnl(sample, draw)[0, 0]) for draw in range(300)}

    assert drawn <= possible
    assert len(drawn) > len(possible) / 2
    assert np.array_equal(data.pnl(sample, 5), data.pnl(sample, 5))


def test_other_outcomes_make_another_dataset(tmp_path: Path) -> None:
    tapes = [make_tape(7, 60, index=i) for i in range(12)]
    one = make(record(tmp_path / "one", [(tape, 1.0) for tape in tapes]))
    other = make(record(tmp_path / "other", [(tape, float(i > 0)) for i, tape in enumerate(tapes)]))

    assert one.dataset_id == other.dataset_id  # the recording is the same
    assert one.outcomes_id != other.outcomes_id


def test_windows_without_an_outcome_are_left_out_with_the_reason(tmp_path: Path) -> None:
    tapes = [(make_tape(7, 60, index=i), None if i == 2 else 1.0) for i in range(10)]
    data = make(record(tmp_path, tapes))

    assert data.left_out == {tapes[2][0].market.market_id: "no outcome recorded"}
    assert tapes[2][0].market.market_id not in (*data.markets_train, *data.markets_valid)


def test_nothing_to_learn_from_is_refused(tmp_path: Path, recording: Path) -> None:
    silent = record(tmp_path, [(make_tape(7, 60, index=i), None) for i in range(5)])

    with pytest.raises(UsageError, match=r"none of the 5 windows .* no outcome recorded \(5\)"):
        make(silent)
    with pytest.raises(UsageError, match="no market of .* is called 'ETH'. Known: BTC, btc-updown-15m"):
        make(recording, market="BTC,ETH")


def test_an_empty_recording_is_refused_with_the_way_to_fill_it(tmp_path: Path) -> None:
    empty = record(tmp_path, [])

    with pytest.raises(
        UsageError, match="holds no market window yet. Record some with `python observer.py --local-dir"
    ):
        make(empty)


def test_a_mix_of_series_with_and_without_an_underlying_is_refused(tmp_path: Path) -> None:
    tapes = [(make_tape(7, 60, index=i), 1.0) for i in range(12)]
    blind = [make_tape(8, 60, index=i, reference=False) for i in range(12)]
    other = [
        (replace(t, market=replace(t.market, market_id=f"x{i}", series="x-15m", symbol="X")), 1.0)
        for i, t in enumerate(blind)
    ]
    mixed = record(tmp_path, [*tapes, *other])

    with pytest.raises(UsageError, match="some have none .*btc-updown-15m: underlying, x-15m: own_mid.*Pass --market"):
        make(mixed)
    assert make(mixed, market="X").schema.params["reference"] == "own_mid"


def test_a_feed_that_starts_late_still_counts(tmp_path: Path) -> None:
    tapes = [(make_tape(7, 60, index=i, reference=i > 0), 1.0) for i in range(12)]

    assert make(record(tmp_path, tapes)).schema.params["reference"] == "underlying"


def test_a_model_of_the_underlying_refuses_windows_without_one(tmp_path: Path, recording: Path) -> None:
    blind = Recording(record(tmp_path, [(make_tape(7, 60, index=i, reference=False), 1.0) for i in range(3)]))
    schema = make(recording).schema

    with pytest.raises(UsageError, match="tf reads returns of the underlying, and .* holds no price of it"):
        require_reference(blind, blind.markets(), schema, "tf")
    require_reference(Recording(recording), Recording(recording).markets(), schema, "tf")


def test_several_symbols_are_learnt_from_side_by_side(tmp_path: Path) -> None:
    symbols = ("BTC", "ETH", "SOL")
    tapes = [
        (replace(t, market=replace(t.market, market_id=f"{s}{i}", series=f"{s.lower()}-15m", symbol=s)), float(i % 2))
        for i in range(12) for s in symbols for t in [make_tape(7, 60, index=i)]
    ]  # fmt: skip
    data = make(record(tmp_path, tapes), market="btc, SOL-15m")

    # 12 clock windows as before, two of the three symbols in each: 6 to train, 2 to validate.
    assert data.markets_train == tuple(f"{s}{i}" for i in range(6) for s in ("BTC", "SOL"))
    assert (data.folds.train_windows, data.folds.valid_windows, data.folds.market) == (12, 4, "btc, SOL-15m")

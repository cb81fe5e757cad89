"""From a recording to a dataset: choose windows, cut folds, compute states, solve labels, fit the scaler.

One tape is in memory at a time, and no test window is read at all. Windows that a border dropped are still read,
because the underlying's history runs on through them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_rl.datasets.dataset import Dataset
from mlx_rl.datasets.labels import label_window
from mlx_rl.datasets.reference import reference_of
from mlx_rl.datasets.splits import Folds, Split, SplitSettings, cut_fold
from mlx_rl.features.kernel import FeatureKernel
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import FeatureSchema, schema_for
from mlx_rl.market.law import LawSettings
from mlx_rl.market.settlement import Payoffs, read_payoffs
from observer.kit.console import Progress
from observer.kit.errors import UsageError
from observer.records import Market
from observer.store.reader import Recording

FEWEST_TICKS = 10  # a window with fewer teaches nothing about its course


def build(
    data_dir: Path,
    *,
    schema_name: str,
    seq_len: int,
    law: LawSettings,
    splits: SplitSettings,
    market: str | None = None,
    fold: int = 1,
    n_folds: int = 1,
) -> Dataset:
    """Build the training and validation samples of a recording.

    Args:
        data_dir: the recording.
        schema_name: a name in `SCHEMAS`.
        seq_len: window length L the features are padded for.
        law: size, latency, fees and fill assumption the labels are solved under.
        splits: how windows are cut into folds.
        market: keep only these symbols ("BTC" or "BTC,ETH") or series ("btc-updown-15m"); None keeps all.
        fold, n_folds: which fold of a walk-forward; 1 of 1 is the plain split.

    Raises:
        UsageError: nothing matches, or too few windows with an outcome.
    """
    recording, payoffs = Recording(data_dir), read_payoffs(data_dir)
    markets = choose_markets(recording, market)
    left_out = {m.market_id: why for m in markets if (why := _why_not(recording, payoffs, m))}
    usable = [m for m in markets if m.market_id not in left_out]
    if not usable:
        raise UsageError(f"none of the {len(markets)} windows in {data_dir} can be learnt from: {_reasons(left_out)}.")
    split, folds = cut_fold(usable, splits, fold=fold, n_folds=n_folds, market=market)
    kept = {*split.train, *split.valid}
    reference = reference_of(recording, [m for m in usable if m.market_id in kept])
    schema = schema_for(schema_name, reference=reference)
    return _fill(recording, payoffs, markets, split, folds, left_out, schema, seq_len, law)


def choose_markets(recording: Recording, market: str | None) -> list[Market]:
    """The recording's windows of some symbols or series, named with commas between them, or all of them.

    Raises:
        UsageError: the recording is empty, or nothing is called that.
    """
    everything = recording.markets()
    if not everything:
        raise UsageError(
            f"{recording.root} holds no market window yet. Record some with `python observer.py --local-dir "
            f"{recording.root}`, or name another recording."
        )
    if market is None:
        return everything
    known = sorted({m.symbol for m in everything} | {m.series for m in everything})
    names = [name.strip() for name in market.split(",")]
    for name in names:
        if name.lower() not in (k.lower() for k in known):
            raise UsageError(f"no market of {recording.root} is called {name!r}. Known: {', '.join(known) or 'none'}.")
    wanted = {name.lower() for name in names}
    return [m for m in everything if wanted & {m.symbol.lower(), m.series.lower()}]


def _why_not(recording: Recording, payoffs: Payoffs, market: Market) -> str:
    if market.market_id not in payoffs:
        return "no outcome recorded"
    n = recording.n_ticks(market.market_id)
    return f"only {n} ticks" if n < FEWEST_TICKS else ""


def _reasons(left_out: dict[str, str]) -> str:
    counts: dict[str, int] = {}
    for why in left_out.values():
        counts[why] = counts.get(why, 0) + 1
    return ", ".join(f"{why} ({n})" for why, n in counts.items())


def _fill(
    recording: Recording,
    payoffs: Payoffs,
    markets: list[Market],
    split: Split,
    folds: Folds,
    left_out: dict[str, str],
    schema: FeatureSchema,
    seq_len: int,
    law: LawSettings,
) -> Dataset:
    wanted = {*split.train, *split.valid}
    size = {name: recording.n_ticks(name) for name in wanted}
    n_samples, margin, width = sum(size.values()), seq_len - 1, len(schema.columns)
    features = np.zeros((n_samples + margin * len(wanted), width), np.float32)
    row, first_row = np.empty(n_samples, np.int64), np.empty(n_samples, np.int64)
    q = np.empty((n_samples, 3, 3), np.float32)
    payoff, mid = np.empty(n_samples, np.float32), np.empty(n_samples, np.float32)
    entry, exit_ = np.empty((n_samples, 2), np.float32), np.empty((n_samples, 2), np.float32)
    span: dict[str, slice] = {}
    kernel = FeatureKernel(schema)
    chosen = {m.market_id for m in markets}
    last_open_ns = max(m.open_ns for m in markets if m.market_id in wanted)
    progress = Progress("reading windows", sum(m.open_ns <= last_open_ns for m in markets))
    at, base, done = 0, 0, 0
    for tape in recording.tapes():
        market = tape.market
        if market.open_ns > last_open_ns:
            break
        if market.market_id not in chosen:
            continue
        done += 1
        progress.update(done)
        kernel.start(market)
        states = kernel.run(tape.recv_ns, tape.rows)
        if market.market_id not in wanted:
            continue
        n = len(tape)
        base += margin
        here = slice(at, at + n)
        features[base : base + n] = states
        row[here], first_row[here] = np.arange(base, base + n), base
        labels = label_window(tape, law, payoffs[market.market_id])
        q[here], entry[here], exit_[here], mid[here] = labels.q, labels.entry, labels.exit, labels.mid
        payoff[here] = payoffs[market.market_id]
        span[market.market_id] = here
        at, base = at + n, base + n
    train, valid = _ids(span, split.train), _ids(span, split.valid)
    is_train_row = np.zeros(len(features), np.bool_)
    is_train_row[row[train]] = True
    scaler = Scaler.fit(features, is_train_row)
    for here in span.values():
        states = features[row[here.start] : row[here.stop - 1] + 1]
        scaler.apply(states, out=states)
    return Dataset(
        features, row, first_row, q, q.max(axis=2), payoff, mid, entry, exit_, train, valid,
        split.train, split.valid, left_out, schema, scaler, law, recording.dataset_id, payoffs.outcomes_id, folds,
    )  # fmt: skip


def _ids(span: dict[str, slice], names: tuple[str, ...]) -> NDArray[np.int64]:
    """Sample ids of some windows, in time order."""
    parts = [np.arange(span[n].start, span[n].stop, dtype=np.int64) for n in names]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)

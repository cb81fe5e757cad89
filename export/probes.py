"""The inputs a certificate is made on: recorded states, and the edges where implementations part.

The golden record's states come first and in order, so its outputs can be compared row by row.
Shapes: N probes, L window length, F features.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact.manifest import Manifest
from mlx_rl.features.padding import padded_window
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import POSITION_COLUMNS, schema_from_dict
from mlx_rl.market.binary import position_entries
from observer.records import DOWN, FLAT, UP

F32 = NDArray[np.float32]
Sample = tuple[F32, NDArray[np.bool_], F32]

RECORDED = 256  # states taken from a recording, evenly spaced over its first windows
RECORDED_MARKETS = 8

# Flat, and each side at its worst, at nothing and at its best: position and profit as a fraction of the payout.
POSITIONS = ((FLAT, 0.0), (UP, -1.0), (UP, 0.0), (UP, 1.0), (DOWN, -1.0), (DOWN, 0.0), (DOWN, 1.0))


@dataclass(frozen=True)
class Probes:
    """(N, L, F) windows, (N, L) which states are real, (N, F) current states, and how many came from where."""

    window: F32
    is_real: NDArray[np.bool_]
    state: F32
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.window)


def make_probes(manifest: Manifest, golden: dict[str, Any], data_dir: Path | None = None) -> Probes:
    """Gather the golden states, states of a recording where one is given, and edge cases in every position."""
    samples: dict[str, list[Sample]] = {
        "golden": list(zip(golden["window"], golden["is_real"], golden["state"], strict=True)),
        "recorded": [] if data_dir is None else _recorded(manifest, data_dir),
    }
    samples["edge"] = _edges(samples["golden"] + samples["recorded"])
    samples["position"] = [_placed(sample, *held) for sample in samples["golden"] for held in POSITIONS]
    every = [sample for part in samples.values() for sample in part]
    return Probes(
        window=np.stack([sample[0] for sample in every]),
        is_real=np.stack([sample[1] for sample in every]),
        state=np.stack([sample[2] for sample in every]),
        counts={name: len(part) for name, part in samples.items()},
    )


def _recorded(manifest: Manifest, data_dir: Path) -> list[Sample]:
    """States of the first windows of a recording, as the model would have seen them live, in turning positions."""
    from mlx_rl.features.kernel import batch_features
    from observer.store.reader import Recording

    schema = schema_from_dict(manifest.feature_schema.model_dump(mode="json"), source=manifest.name)
    scaler = Scaler.from_dict(manifest.scaler)
    histories = [scaler.apply(x) for x in batch_features(schema, islice(Recording(data_dir).tapes(), RECORDED_MARKETS))]
    length = manifest.architecture.seq_len
    per_market = -(-RECORDED // max(1, len(histories)))
    chosen: list[Sample] = []
    for history in histories:
        for n in np.unique(np.linspace(1, len(history), per_market).astype(int)) if len(history) else ():
            window, is_real = padded_window(history[:n], length)
            chosen.append(_placed((window, is_real, window[-1]), *POSITIONS[len(chosen) % len(POSITIONS)]))
    return chosen


def _edges(known: list[Sample]) -> list[Sample]:
    """Zeros, ±1, the recorded extremes of each feature, and every length of padding."""
    window, _is_real, _ = known[-1]
    length = len(window)
    all_real = np.ones(length, np.bool_)
    real_states = np.concatenate([w[real] for w, real, _ in known])
    levels: list[Any] = [0.0, 1.0, -1.0, real_states.max(axis=0), real_states.min(axis=0)]
    made = [np.broadcast_to(level, window.shape).astype(np.float32) for level in levels]
    made.append(np.where(np.indices(window.shape).sum(axis=0) % 2, 1.0, -1.0).astype(np.float32))
    edges: list[Sample] = []
    for filled in made:
        filled[:, POSITION_COLUMNS] = 0.0
        edges.append((filled, all_real, filled[-1]))
    longest = max(known, key=lambda sample: int(sample[1].sum()))
    for n in range(1, int(longest[1].sum()) + 1):
        shown = np.arange(length) >= length - n
        edges.append((np.where(shown[:, None], longest[0], np.float32(0)), shown, longest[2]))
    return edges


def _placed(sample: Sample, position: int, pnl: float) -> Sample:
    """The sample as seen while holding a position."""
    window, is_real, state = sample
    placed = state.copy()
    placed[list(POSITION_COLUMNS)] = position_entries(position, pnl, 1.0)
    return window, is_real, placed

"""Does a feature look ahead? Change the future and see whether the past moves.

At random moments everything recorded later, in every window, is replaced, blanked, made absurd or removed; the
states up to that moment must stay the same, bit for bit. The reverse question is asked too: windows that ended
longer ago than the features are said to remember are removed, and must not be missed.

The check works on any function from tapes to states, so a feature of your own is checked as ours are.
Shapes: T ticks, F features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.kernel import batch_features
from mlx_rl.features.schema import FeatureSchema
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.kit.rng import stream
from observer.records import Ladder, Tape

Features = Callable[[Sequence[Tape]], list[NDArray[np.float32]]]

ABSURD = np.array([0.0, 1.0, -1.0, 1e-300, 1e12, 1e308, np.inf, -np.inf, np.nan])
UNDERLYING_MEMORY_S = 7200.0  # one hour of moves, and generous room for holes


@dataclass(frozen=True)
class Leak:
    """One column that moved when it must not have."""

    column: str
    change: str  # what was done: "replaced", "blanked", "absurd", "removed", "forgotten"
    market_id: str
    tick: int  # the first tick whose state moved
    cases: int  # how often this column moved under this change


def check_schema(schema: FeatureSchema, tapes: Sequence[Tape], *, cuts: int = 20, seed: int = 0) -> list[Leak]:
    """Check a schema on recorded windows of any series, those of one series in time order; [] when it is clean."""
    memory_s = UNDERLYING_MEMORY_S if schema.params["reference"] == "underlying" else 0.0
    return look_ahead(
        lambda given: batch_features(schema, given), tapes, schema.columns, cuts=cuts, seed=seed, memory_s=memory_s
    )


def look_ahead(
    features: Features,
    tapes: Sequence[Tape],
    columns: Sequence[str],
    *,
    cuts: int = 20,
    seed: int = 0,
    memory_s: float | None = None,
) -> list[Leak]:
    """Check any function from tapes to states.

    Args:
        features: tapes -> one (T, F) array per tape, in the same order.
        tapes: the windows to check on.
        columns: (F,) names of what the function returns.
        cuts: how many moments to try each change at.
        seed: which moments, and which replacements.
        memory_s: seconds before a window's open that its states may still depend on; None does not ask.

    Returns:
        One `Leak` per column and change, worst first; [] when nothing moved.
    """
    tapes = [tape for tape in tapes if len(tape)]
    if not tapes:
        raise UsageError("the look-ahead check wants at least one recorded tick; the windows given are empty.")
    rng = stream(seed, "look-ahead")
    truth = _states(features, tapes, columns)
    found: dict[tuple[str, str], Leak] = {}
    for _ in range(cuts):
        window = int(rng.integers(len(tapes)))
        now_ns = int(tapes[window].recv_ns[rng.integers(len(tapes[window]))])
        for change in ("replaced", "blanked", "absurd", "removed"):
            changed = [_change_future(tape, now_ns, change, tapes, rng) for tape in tapes]
            _compare(found, features, tapes, changed, truth, columns, change, now_ns)
        if memory_s is not None:
            from_ns = tapes[window].market.open_ns - round(memory_s * NS_PER_S)
            changed = [None if tape.market.close_ns <= from_ns else tape for tape in tapes]
            asked = [tape if k == window else None for k, tape in enumerate(tapes)]
            _compare(found, features, asked, changed, truth, columns, "forgotten", None)
    return sorted(found.values(), key=lambda leak: -leak.cases)


def _states(features: Features, tapes: Sequence[Tape], columns: Sequence[str]) -> list[NDArray[np.float32]]:
    states = features(tapes)
    for tape, state in zip(tapes, states, strict=True):
        if state.shape != (len(tape), len(columns)):
            raise UsageError(
                f"{tape.market.market_id}: {len(tape)} ticks and {len(columns)} columns want states of shape "
                f"({len(tape)}, {len(columns)}); the function returned {state.shape}."
            )
    return states


def _change_future(
    tape: Tape, now_ns: int, change: str, tapes: Sequence[Tape], rng: np.random.Generator
) -> Tape | None:
    """The tape with everything after `now_ns` changed; None where nothing is left of it."""
    past = tape.until(now_ns)
    n, later = len(past), len(tape) - len(past)
    if change == "removed":
        return past if n else None
    if later == 0:
        return tape
    rows, ladder = tape.rows.copy(), tape.ladder
    if change == "replaced":
        other = tapes[int(rng.integers(len(tapes)))].rows
        rows[n:] = other[rng.integers(len(other), size=later)] * rng.uniform(0.5, 2.0, size=(later, rows.shape[1]))
    elif change == "blanked":
        rows[n:] = np.nan
    else:
        rows[n:] = rng.choice(ABSURD, size=rows[n:].shape)
    if ladder is not None:
        price, size = ladder.price.copy(), ladder.size.copy()
        price[n:] = size[n:] = np.nan
        ladder = Ladder(price, size)
    return replace(tape, rows=rows, ladder=ladder)


def _compare(
    found: dict[tuple[str, str], Leak],
    features: Features,
    asked: Sequence[Tape | None],
    changed: Sequence[Tape | None],
    truth: Sequence[NDArray[np.float32]],
    columns: Sequence[str],
    change: str,
    now_ns: int | None,
) -> None:
    """Note every column of an asked window that moved at or before `now_ns` (None: anywhere)."""
    at = [k for k, tape in enumerate(changed) if tape is not None]
    states = _states(features, [tape for tape in changed if tape is not None], columns)
    for k, state in zip(at, states, strict=True):
        tape = asked[k]
        if tape is None:
            continue
        n = len(tape) if now_ns is None else len(tape.until(now_ns))
        moved = ~_same_bits(truth[k][:n], state[:n])
        for column in np.flatnonzero(moved.any(axis=0)).tolist():
            key = (columns[column], change)
            cases = found[key].cases + 1 if key in found else 1
            first = Leak(columns[column], change, tape.market.market_id, int(moved[:, column].argmax()), 1)
            found[key] = replace(found.get(key, first), cases=cases)


def _same_bits(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Elementwise bitwise equality, so that NaN equals itself and 0 does not equal −0."""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    kind = {4: np.uint32, 8: np.uint64}[a.dtype.itemsize]
    return a.view(kind) == b.view(kind)

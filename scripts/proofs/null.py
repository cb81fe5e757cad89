"""A market without an edge is called BETTER or DEPLOY in at most 5 of 100 evaluations.

Two hundred evaluations, each on its own freshly drawn `null` market (a martingale): traders that act at random, often
or rarely; policies fitted to past noise by least squares; buyers of favourites at lopsided prices; and eight models,
`base` and `transformer` by `bc` and `wbc`, which the trainer made from a recording of the same market. Half of the
markets charge a hundredth of a cent, which is the hardest case: there, luck alone decides the sign.

The control plants a leak (the state holds the coming move): its profit is real, so the share of BETTER is near one
and the bar is broken. The canary of the evaluation must also call every one of those INVALID when it is on.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_rl.artifact.folder import load_policy
from mlx_rl.cli.train import TrainCommand, train_model
from mlx_rl.evaluation.assess import assess
from mlx_rl.evaluation.exam import Batch, Exam, exam_of_tapes
from mlx_rl.evaluation.leak import States
from mlx_rl.evaluation.runs import Candidate, run_all
from mlx_rl.features.kernel import batch_features
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import schema_for
from mlx_rl.market.law import LawSettings
from mlx_rl.policy import Policy
from observer.cli.synthetic import record
from observer.kit.rng import stream
from observer.records import Tape, mid_up
from observer.venues.synthetic.null import NULL, NullSettings
from scripts.proofs import Measurement

F32 = NDArray[np.float32]
BAR = 0.05
EVALUATIONS = 200
WINDOWS, TICKS = 150, 60
TRAINING_WINDOWS = 20
MODELS, EPOCHS = 8, 5  # two methods, two encoders, two costs
AHEAD = 10  # ticks over which past noise is fitted, and over which the planted leak sees
SCHEMA = schema_for("state18", reference="own_mid")
MID = len(SCHEMA)  # where the toy states carry the market's price, behind the schema's entries
N = MID + 1


@dataclass
class Toy:
    """A policy made of one function: (B, F) states with position entries -> (B, 3) logits."""

    name: str
    act: Callable[[F32], F32]
    forecast: float = 0.0
    seq_len: int = 1
    temporal_dim: int = 1

    def __post_init__(self) -> None:
        self.schema = SCHEMA
        self.scaler = Scaler(np.zeros(N, np.float32), np.ones(N, np.float32))

    def encode(self, window: F32, is_real: NDArray[np.bool_]) -> F32:
        """Nothing to encode."""
        return np.zeros((len(window), 1), np.float32)

    def heads(self, state: F32, encoded: F32) -> tuple[F32, F32, F32]:
        """Logits from the function; a forecast that leans on the state's first entry."""
        n = len(state)
        return self.act(state).astype(np.float32), np.zeros(n, np.float32), self.forecast * state[:, 0]


def measure() -> Measurement:
    """Evaluate policies that know nothing, and count how many are called good."""
    words: dict[str, list[str]] = {}
    traded: dict[str, int] = {}
    for i in range(EVALUATIONS):
        kind, make = MAKERS[i % len(MAKERS)]
        candidate, exam = make(i)
        found = assess(_run(exam, candidate, check_leak=True), candidate.name, seed=i)
        traded[kind] = traded.get(kind, 0) + (found["behaviour"]["windows_traded_share"] > 0)
        is_called_good = found["verdict"]["word"] == "BETTER" or found["deployment"]["word"] == "DEPLOY"
        words.setdefault(kind, []).append("called good" if is_called_good else found["verdict"]["word"])
    good = sum(w == "called good" for found in words.values() for w in found)
    share = good / EVALUATIONS
    counts = {kind: {w: found.count(w) for w in sorted(set(found))} for kind, found in words.items()}
    detail = {"evaluations": EVALUATIONS, "words": counts, "evaluations_with_trades": traded}
    return Measurement(share, BAR, "share of evaluations", share <= BAR, detail)


def control(evaluations: int = 20) -> Measurement:
    """Evaluate a policy that sees the coming move, without and with the canary."""
    better = caught = 0
    for i in range(evaluations):
        exam = _exam(1000 + i, 0.005, "free", step=0.01)
        leak = Candidate(Toy("leak", _follow(lambda s: s[:, 0], 3.0)), states=_leaking)
        better += assess(_run(exam, leak, check_leak=False), "leak", seed=i)["verdict"]["word"] == "BETTER"
        caught += assess(_run(exam, leak, check_leak=True), "leak", seed=i)["verdict"]["word"] == "INVALID"
    share = better / evaluations
    # A canary that sleeps would leave the promise standing on luck alone, so it must fail the proof as well.
    is_quiet = share <= BAR or caught < evaluations
    detail = {"called_invalid_by_canary": caught / evaluations}
    return Measurement(share, BAR, "share of evaluations", is_quiet, detail)


def _run(exam: Exam, candidate: Candidate, *, check_leak: bool):
    return run_all(exam, [candidate], rules=(), assumptions=(), random_traders=2, check_leak=check_leak, is_quiet=True)


def _market(
    i: int, half_spread: float, fees: str, windows: int, part: str, step: float = 0.005
) -> list[tuple[Tape, float]]:
    seed = int(stream(i, "proofs/null", part).integers(2**31))
    made = NullSettings(
        windows=windows, ticks_per_window=TICKS, seed=seed, half_spread=half_spread, fees=fees, step=step
    )
    return list(NULL.generate(made))


def _exam(i: int, half_spread: float, fees: str, *, step: float = 0.005) -> Exam:
    pairs = _market(i, half_spread, fees, WINDOWS, "exam", step)
    return exam_of_tapes([t for t, _ in pairs], [p for _, p in pairs], LawSettings())


def _states() -> States:
    def states(batch: Batch) -> list[F32]:
        return [
            np.concatenate([x, mid_up(tape.rows)[:, None].astype(np.float32)], 1)
            for x, tape in zip(batch_features(SCHEMA, batch.tapes), batch.tapes, strict=True)
        ]

    return states


def _leaking() -> States:
    def states(batch: Batch) -> list[F32]:
        out = _states()(batch)
        for x in out:
            x[:, 0] = 100 * (x[np.minimum(np.arange(len(x)) + 3 * AHEAD, len(x) - 1), MID] - x[:, MID])
        return out

    return states


def _follow(signal: Callable[[F32], F32], hurdle: float) -> Callable[[F32], F32]:
    """Open where the signal exceeds the hurdle, close once it changes sign."""

    def act(state: F32) -> F32:
        s, bar = signal(state), np.where(state[:, 12] > 0, 0.0, hurdle)
        return np.stack([np.zeros(len(state)), s - bar, -s - bar], 1)

    return act


def _seldom(i: int) -> tuple[Candidate, Exam]:
    """A trader by coin, with a trade in one to thirty of a hundred windows."""
    return _coin("seldom", i, 10 ** stream(i, "proofs/null", "pace").uniform(-3.8, -2.3))


def _often(i: int) -> tuple[Candidate, Exam]:
    """A trader by coin, with one to six trades in each window."""
    return _coin("often", i, 10 ** stream(i, "proofs/null", "pace").uniform(-1.8, -1.0))


def _coin(name: str, i: int, chance: float) -> tuple[Candidate, Exam]:
    rng = stream(i, "proofs/null", name)

    def act(state: F32) -> F32:
        wants, side = rng.random(len(state)) < chance, rng.random(len(state)) < 0.5
        return np.stack([~wants, 2 * (wants & side), 2 * (wants & ~side)], 1)

    return Candidate(Toy(name, act, forecast=0.05), states=_states), _exam(i, *_costs(i))


def _learnt(i: int) -> tuple[Candidate, Exam]:
    """A model that the trainer made, on a market it has not seen; each of the eight has several such markets."""
    costs = _costs(i)
    return Candidate(_model(i // len(MAKERS) % MODELS, *costs)), _exam(i, *costs)


@cache
def _model(which: int, half_spread: float, fees: str) -> Policy:
    """Train model number `which` on a recording of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = NullSettings(
            windows=TRAINING_WINDOWS, ticks_per_window=TICKS, seed=5_000 + which, half_spread=half_spread, fees=fees,
            step=0.005,
        )  # fmt: skip
        record(NULL, made, root / "data")
        command = TrainCommand(
            data_dir=root / "data", output=root / f"model_{which}", runs_dir=root / "runs", preset="small",
            method=("bc", "wbc")[which // 2 % 2], model=("base", "transformer")[which // 4],
            epochs=EPOCHS, batch_size=64, seed=which, valid_frac=0.0, test_frac=0.0,
        )  # fmt: skip
        train_model(command)
        return load_policy(root / f"model_{which}")


def _fitted(i: int) -> tuple[Candidate, Exam]:
    """A policy fitted by least squares to the moves of past windows of the same market."""
    rng = stream(i, "proofs/null", "fitted")
    costs = _costs(i)
    tapes = [t for t, _ in _market(i, *costs, TRAINING_WINDOWS, "training")]
    x = batch_features(SCHEMA, tapes)
    move = [np.concatenate([m[AHEAD:], np.full(AHEAD, m[-1])]) - m for m in (mid_up(t.rows) for t in tapes)]
    design = np.concatenate(x).astype(np.float64)
    weights = np.linalg.lstsq(design, 100 * np.concatenate(move), rcond=None)[0].astype(np.float32)
    fitted = np.abs(design @ weights)
    act = _follow(lambda s: s[:, :MID] @ weights, float(np.quantile(fitted, rng.uniform(0.5, 0.999))))
    return Candidate(Toy("fitted", act, forecast=0.05), states=_states), _exam(i, *costs)


def _favourites(i: int) -> tuple[Candidate, Exam]:
    """Buys whichever side the market calls nearly sure, and holds to settlement: many small wins, a rare large loss."""
    level = stream(i, "proofs/null", "favourites").uniform(0.75, 0.92)

    def act(state: F32) -> F32:
        free = state[:, 12] == 0
        return np.stack(
            [np.full(len(state), 0.5), free & (state[:, MID] > level), free & (state[:, MID] < 1 - level)], 1
        )

    return Candidate(Toy("favourites", act, forecast=0.05), states=_states), _exam(i, *_costs(i), step=0.01)


def _costs(i: int) -> tuple[float, str]:
    """Half spread in USD and fee schedule: next to nothing for one half of the evaluations."""
    return (0.0001, "free") if (i // len(MAKERS)) % 2 == 0 else (0.01, "polymarket-crypto-v2")


MAKERS: tuple[tuple[str, Callable[[int], tuple[Candidate, Exam]]], ...] = (
    ("seldom", _seldom),
    ("often", _often),
    ("fitted", _fitted),
    ("favourites", _favourites),
    ("learnt", _learnt),
)

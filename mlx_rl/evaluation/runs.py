"""Everybody trades the same windows: the models, the baselines, the oracle, the random traders.

This file does the running and keeps what happened; `assess` and `contrast` read it and judge.
Shapes: W windows, T ticks of a window, R random traders.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlx_rl.evaluation.attention import attention_by_lag
from mlx_rl.evaluation.exam import Batch, Exam
from mlx_rl.evaluation.leak import States, find_leak
from mlx_rl.evaluation.rollout import Play, encode_windows, join, play_policy
from mlx_rl.evaluation.run_strategy import play_oracle, play_strategy, play_targets, random_targets
from mlx_rl.market.law import FillAssumption
from mlx_rl.policy import Policy
from mlx_rl.strategies import STRATEGIES
from observer.kit.clock import NS_PER_S
from observer.kit.console import Progress
from observer.kit.rng import stream
from observer.records import mid_up

ASSUMPTIONS: tuple[FillAssumption, ...] = ("optimistic", "base", "pessimistic")
RANDOM_TRADERS = 20
RULES = tuple(name for name in STRATEGIES if name != "random")  # the random trader here matches the model's turnover


@dataclass(frozen=True)
class Candidate:
    """A policy to be judged.

    Attributes:
        policy: the policy.
        parameters: how many weights it has; of two equals the one with fewer is recommended.
        states: makes its feature function; None takes the kernel of the policy's schema.
    """

    policy: Policy
    parameters: int = 0
    states: Callable[[], States] | None = None

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name


@dataclass
class ModelRun:
    """One candidate's trading.

    Attributes:
        plays: fill assumption -> what it did under it.
        random_net: (R, W) net of random traders with its turnover.
        attention: mean weight by lag, newest first; None where the policy offers none.
        leak: what the canary found, or None.
    """

    candidate: Candidate
    plays: dict[str, Play]
    random_net: NDArray[np.float64]
    attention: list[float] | None
    leak: str | None


@dataclass
class Runs:
    """What happened.

    Attributes:
        exam: the windows.
        models: by name.
        rules: rule strategy -> what it did.
        wants: rule strategy -> reason -> ticks on which it could not judge.
        oracle: the best play in hindsight.
        best: per window (T, 3) int8, the best action in hindsight by tick and position.
        mids: per window (T,) float32, the market's probability of Up, NaN where a side is missing.
        left: per window (T,) float32, seconds to the close.
        invalid: why the figures may not be read, where whoever chose the windows knows a reason.
    """

    exam: Exam
    models: dict[str, ModelRun]
    rules: dict[str, Play] = field(default_factory=dict[str, Play])
    wants: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    oracle: Play | None = None
    best: list[NDArray[np.int8]] = field(default_factory=list[NDArray[np.int8]])
    mids: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    left: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    invalid: str | None = None

    @property
    def is_base(self) -> str:
        """The fill assumption the verdict is read under."""
        return self.exam.law.fills


def run_all(
    exam: Exam,
    candidates: Sequence[Candidate],
    *,
    rules: Sequence[str] = RULES,
    assumptions: Sequence[FillAssumption] = ASSUMPTIONS,
    random_traders: int = RANDOM_TRADERS,
    check_leak: bool = True,
    seed: int = 0,
    is_quiet: bool = False,
) -> Runs:
    """Let every candidate and every baseline trade the exam's windows.

    Args:
        exam: the windows.
        candidates: the models; names must differ.
        rules: rule strategies to run.
        assumptions: fill assumptions to show; the exam's own is always run.
        random_traders: how many random traders imitate each model's turnover.
        check_leak: cut a few windows and see whether any state knew its future.
        seed: of the random traders.
        is_quiet: say nothing on stderr.
    """
    rng = stream(seed, "evaluation/random-traders")
    states = {c.name: _states(exam, c) for c in candidates}
    plays: dict[str, dict[str, list[Play]]] = {c.name: {} for c in candidates}
    random_net: dict[str, list[NDArray[np.float64]]] = {c.name: [] for c in candidates}
    attention: dict[str, list[float] | None] = {}
    leak: dict[str, str | None] = {}
    rule_plays: dict[str, list[Play]] = {name: [] for name in rules}
    oracle_plays: list[Play] = []
    out = Runs(exam, {}, wants={name: Counter() for name in rules})
    progress = None if is_quiet else Progress("trading", len(exam))
    wanted: list[FillAssumption] = [name for name in ASSUMPTIONS if name in (exam.law.fills, *assumptions)]
    for batch in exam.batches():
        for c in candidates:
            features = states[c.name](batch)
            seen = encode_windows(c.policy, features)
            for name in wanted:
                play = play_policy(c.policy, seen, batch.fills(name), batch.payoffs)
                plays[c.name].setdefault(name, []).append(play)
            own = plays[c.name][exam.law.fills][-1]
            random_net[c.name].append(_imitate(own, batch, random_traders, rng))
            if batch.first == 0:
                attention[c.name] = attention_by_lag(c.policy, features)
                leak[c.name] = find_leak(_fresh(exam, c), batch) if check_leak else None
        for name in rules:
            play, wants = play_strategy(name, batch)
            rule_plays[name].append(play)
            out.wants[name] += wants
        play, best = play_oracle(batch)
        oracle_plays.append(play)
        out.best += best
        out.mids += [mid_up(tape.rows).astype(np.float32) for tape in batch.tapes]
        out.left += [((t.market.close_ns - t.recv_ns) / NS_PER_S).astype(np.float32) for t in batch.tapes]
        if progress is not None:
            progress.update(batch.first + len(batch.tapes))
    for c in candidates:
        kept = {name: join(parts) for name, parts in plays[c.name].items()}
        net = np.concatenate(random_net[c.name], axis=1)
        out.models[c.name] = ModelRun(c, kept, net, attention[c.name], leak[c.name])
    out.rules = {name: join(parts) for name, parts in rule_plays.items()}
    out.oracle = join(oracle_plays)
    return out


def _imitate(play: Play, batch: Batch, traders: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if not play.ledger["trades"].any():
        return np.zeros((traders, len(batch.tapes)))
    return np.stack([play_targets(random_targets(play.positions, rng), batch).net for _ in range(traders)])


def _states(exam: Exam, candidate: Candidate) -> States:
    if candidate.states is not None:
        return candidate.states()
    return exam.features(candidate.policy.schema)


def _fresh(exam: Exam, candidate: Candidate) -> Callable[[], States]:
    return lambda: _states(exam, candidate)

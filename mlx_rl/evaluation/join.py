"""The folds of a walk-forward, each traded by its own models, as one."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mlx_rl.evaluation.exam import Exam
from mlx_rl.evaluation.rollout import join
from mlx_rl.evaluation.runs import ModelRun, Runs


def join_runs(parts: Sequence[Runs]) -> Runs:
    """Put runs over different windows of one recording together; models go by their names.

    Of a model that differs from part to part, the last part's stands for its size; attention is averaged by windows.
    """
    if len(parts) == 1:
        return parts[0]
    first, last = parts[0], parts[-1]
    oracle = [p.oracle for p in parts if p.oracle is not None]
    return Runs(
        exam=_join_exams([p.exam for p in parts]),
        models={name: _join_models([p.models[name] for p in parts]) for name in last.models},
        rules={rule: join([p.rules[rule] for p in parts]) for rule in first.rules},
        wants={rule: sum((p.wants[rule] for p in parts), Counter[str]()) for rule in first.wants},
        oracle=join(oracle) if len(oracle) == len(parts) else None,
        best=[best for p in parts for best in p.best],
        mids=[mid for p in parts for mid in p.mids],
        left=[left for p in parts for left in p.left],
        invalid=next((p.invalid for p in parts if p.invalid is not None), None),
    )


def _join_exams(exams: Sequence[Exam]) -> Exam:
    kinds: Counter[str] = Counter()
    left_out: dict[str, list[str]] = {}
    for exam in exams:
        kinds.update(exam.kinds)
        for reason, names in exam.left_out.items():
            left_out.setdefault(reason, []).extend(names)
    markets = tuple(market for exam in exams for market in exam.markets)
    payoffs = np.concatenate([exam.payoffs for exam in exams])
    first = exams[0]
    return Exam(markets, payoffs, dict(kinds), left_out, first.law, first.tape, dataset_id=first.dataset_id)


def _join_models(runs: Sequence[ModelRun]) -> ModelRun:
    last = runs[-1]
    windows = [run.random_net.shape[1] for run in runs]
    attention = None
    if all(run.attention is not None for run in runs):
        attention = np.average([run.attention or [] for run in runs], axis=0, weights=windows).tolist()
    return ModelRun(
        candidate=last.candidate,
        plays={fills: join([run.plays[fills] for run in runs]) for fills in last.plays},
        random_net=np.concatenate([run.random_net for run in runs], axis=1),
        attention=attention,
        leak=next((run.leak for run in runs if run.leak is not None), None),
    )

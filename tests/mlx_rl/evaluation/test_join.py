"""Runs over parts of an exam, put together, are the run over the whole."""

import numpy as np

from mlx_rl.evaluation.assess import assess
from mlx_rl.evaluation.exam import Exam, exam_of_tapes
from mlx_rl.evaluation.join import join_runs
from mlx_rl.evaluation.runs import Candidate, Runs, run_all
from mlx_rl.market.law import LawSettings
from tests.mlx_rl.evaluation.policies import follower
from tests.samples.tapes import make_tape

POLICY = follower("m", threshold=0.05)


def exam_of(first: int, last: int) -> Exam:
    tapes = [make_tape(i, 80, index=i) for i in range(first, last)]
    return exam_of_tapes(tapes, [float(i % 2) for i in range(first, last)], LawSettings(size_shares=10))


def run(exam: Exam, *, leak: bool = False) -> Runs:
    runs = run_all(exam, [Candidate(POLICY, 7)], random_traders=3, check_leak=False, is_quiet=True)
    runs.models[POLICY.name].leak = "it looked" if leak else None
    return runs


def test_parts_joined_are_the_whole() -> None:
    whole, parts = run(exam_of(0, 14)), join_runs([run(exam_of(0, 5)), run(exam_of(5, 14))])
    ours, theirs = whole.models[POLICY.name], parts.models[POLICY.name]

    assert np.array_equal(ours.plays["base"].net, theirs.plays["base"].net)
    assert np.array_equal(whole.exam.open_ns, parts.exam.open_ns)
    assert {n: p.net.tolist() for n, p in whole.rules.items()} == {n: p.net.tolist() for n, p in parts.rules.items()}
    assert whole.wants == parts.wants
    assert theirs.random_net.shape == (3, 14)
    one, two = assess(whole, POLICY.name), assess(parts, POLICY.name)
    for part in ("verdict", "windows", "waterfall", "oracle", "calibration", "confusion", "behaviour"):
        assert one[part] == two[part]


def test_a_leak_in_one_part_is_a_leak() -> None:
    parts = join_runs([run(exam_of(0, 5)), run(exam_of(5, 9), leak=True), run(exam_of(9, 12))])

    assert assess(parts, POLICY.name)["verdict"]["word"] == "INVALID"


def test_attention_is_averaged_by_windows() -> None:
    one, two = run(exam_of(0, 5)), run(exam_of(5, 14))
    one.models[POLICY.name].attention, two.models[POLICY.name].attention = [1.0, 0.0], [0.0, 1.0]

    assert np.allclose(join_runs([one, two]).models[POLICY.name].attention, [5 / 14, 9 / 14])

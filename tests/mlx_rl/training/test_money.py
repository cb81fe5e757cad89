"""What a network earns on the validation markets is what the judgement would say of it."""

from pathlib import Path

import numpy as np
import pytest

from mlx_rl.artifact.manifest import preset
from mlx_rl.datasets.build import build
from mlx_rl.datasets.dataset import Dataset
from mlx_rl.datasets.splits import SplitSettings
from mlx_rl.evaluation.exam import make_exam
from mlx_rl.evaluation.runs import Candidate, run_all
from mlx_rl.market.law import LawSettings
from mlx_rl.market.settlement import read_payoffs
from mlx_rl.models.network import build as build_network
from mlx_rl.models.policy import MlxPolicy
from mlx_rl.training import money
from mlx_rl.training.money import ValidationMoney
from observer.store.reader import Recording
from tests.samples.recordings import make_recording

LAW = LawSettings(size_shares=20)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """A recording and its dataset, a third of the windows to validate on."""
    root = make_recording(tmp_path_factory.mktemp("recording"), windows=18)
    splits = SplitSettings(valid_frac=0.35, test_frac=0.1)
    return root, build(root, schema_name="state18", seq_len=5, law=LAW, splits=splits)


def judged(root: Path, data: Dataset, names: tuple[str, ...], policy: MlxPolicy) -> dict[str, float]:
    """The same windows by the way that evaluation goes: unscaled states from the tapes, the model's own scaler."""
    recording, payoffs = Recording(root), read_payoffs(root)
    exam = make_exam(
        [recording.market(name) for name in names], recording.tape, payoffs.payoff_up, payoffs.kind, LAW,
        everything=recording.markets(),
    )  # fmt: skip
    runs = run_all(exam, [Candidate(policy)], rules=(), assumptions=(), random_traders=1, is_quiet=True)
    play = runs.models[policy.name].plays["base"]
    assert runs.oracle is not None
    return {
        "net_usd": float(play.net.sum()),
        "oracle_share": float(play.net.sum() / runs.oracle.net.sum()),
        "trades": float(np.sum(play.ledger["trades"])),
        "windows": float(len(exam)),
    }


@pytest.mark.parametrize("most", [100, 3])
def test_it_is_the_net_of_the_judgement_on_the_same_windows(
    recorded: tuple[Path, Dataset], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data = recorded
    monkeypatch.setattr(money, "WINDOWS", most)
    network = build_network(preset("base", "small"), seed=3)
    earned = ValidationMoney(data, Recording(root).tape)(network)
    names = data.markets_valid if most == 100 else tuple(data.markets_valid[i] for i in (0, 2, 5))  # evenly spread
    expected = judged(root, data, names, MlxPolicy("m", network, data.schema, data.scaler))

    assert len(data.markets_valid) == 6
    assert expected["trades"] > 3
    assert earned == pytest.approx(expected, rel=1e-6)

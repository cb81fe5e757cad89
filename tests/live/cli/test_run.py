"""`run.py`: every strategy trades on paper, what cannot be meant is refused with the way out."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from live.cli.replay import main as replay
from live.cli.run import main
from mlx_rl.strategies import STRATEGIES
from tests.samples.recordings import make_recording

ROOT = Path(__file__).resolve().parents[3]

# Stands in front of every import and lets nothing through that a trading box does not have.
FORBID = """
import sys
FORBIDDEN = {"mlx", "torch", "pandas", "matplotlib", "plotly", "onnx", "onnxruntime", "scipy", "gymnasium"}
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Forbid())
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_rule_trades_on_paper(
    strategy: str, two_series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([strategy, "--data-dir", str(two_series), "--size", "5", "--journal", str(tmp_path / "j"), "--json"])
    made = json.loads(capsys.readouterr().out)

    assert code == 0
    assert (made["strategy"], made["windows"], made["ticks"]) == (strategy, 6, 900)
    assert replay([str(tmp_path / "j")]) == 0


def test_a_transformer_a_base_and_both_trade_without_mlx_torch_and_pandas(
    models: Path, two_series: Path, tmp_path: Path
) -> None:
    tf, base = str(models / "tf_torch"), str(models / "base_torch")
    shared = ["--venue", "replay", "--data-dir", str(two_series), "--size", "5"]
    journal = str(tmp_path / "j")
    code = FORBID + (
        "from live.cli.run import main\nfrom live.cli.replay import main as replay\n"
        f"assert main(['rl-transformer', '--load', {tf!r}, *{shared!r}]) == 0\n"
        f"assert main(['rl', '--load', {base!r}, *{shared!r}]) == 0\n"
        f"assert main(['hybrid', '--load', {base!r}, '--load-b', {tf!r}, '--journal', {journal!r}, *{shared!r}]) == 0\n"
        f"assert replay([{journal!r}, '--data-dir', {str(two_series)!r}]) == 0\n"
        "assert not FORBIDDEN & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "SAME; 1800 of 1800 decisions equal bit for bit" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rl"], "takes one exported model: --load models/x_torch; 0 given"),
        (["hybrid", "--load", "base_torch"], "takes two exported models"),
        (["mean_revert", "--load", "base_torch"], "takes no model; 1 given"),
        (["rl", "--load", "tf_torch"], "holds a transformer model; run it as `rl-transformer`"),
        (["rl-transformer", "--load", "base_torch"], "holds a base model; run it as `rl`"),
        (["rl-transformer", "--load", "tf"], "Carry it over first: python scripts/export_mlx_to_pytorch.py --input"),
        (["mean_revert", "--live"], "--live is not built yet. Real orders need arming"),
        (["mean_revert", "--train"], "--train is not built yet. Train with `python offline_trainer.py"),
        (["mean_revert", "--dashboard"], "--dashboard is not built yet"),
        (["mean_revert", "--size", "0.001"], "is not a whole number of"),
        (["mean_revert", "--fees", "moon"], "no fee schedule is called 'moon'"),
    ],
)
def test_what_cannot_be_meant_exits_2_with_the_way_out(
    args: list[str], said: str, models: Path, two_series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [str(models / arg) if arg in ("base_torch", "tf_torch", "tf") else arg for arg in args]

    assert main([*args, "--data-dir", str(two_series)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_journal_replayed_in_another_folder_asks_for_its_models_by_flag(
    models: Path, two_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = str(tmp_path / "j")
    monkeypatch.chdir(models)
    args = ["--load", "base_torch", "--load-b", "tf_torch", "--data-dir", str(two_series), "--size", "5"]
    assert main(["hybrid", *args, "--journal", journal]) == 0
    monkeypatch.chdir(tmp_path)

    assert replay([journal]) == 1
    assert "arm base_torch: the journal says that its model lay in base_torch" in capsys.readouterr().err
    assert replay([journal, "--load", str(models / "base_torch")]) == 1
    assert "no such folder. Pass --load DIR (--load-b DIR for the second model)" in capsys.readouterr().err
    assert replay([journal, "--load", str(models / "base_torch"), "--load-b", str(models / "tf_torch")]) == 0


def test_a_damaged_model_exits_1(
    models: Path, two_series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    folder = Path(shutil.copytree(models / "base_torch", tmp_path / "x_torch"))
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)

    assert main(["rl", "--load", str(folder), "--data-dir", str(two_series)]) == 1
    assert "a byte changed" in capsys.readouterr().err


def test_two_models_of_one_name_get_two_names(
    models: Path, two_series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tf = str(models / "tf_torch")

    assert main(["hybrid", "--load", tf, "--load-b", tf, "--data-dir", str(two_series), "--size", "5", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert list(made["arms"]) == ["tf_torch", "tf_torch-b"]
    assert made["agreement_frac"] == 1.0


def test_the_table_says_paper_and_shows_gross_to_net(two_series: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["momentum", "--data-dir", str(two_series), "--size", "5", "--max-orders", "2"]) == 0
    shown = capsys.readouterr().out

    assert shown.startswith("Paper: momentum, 5 shares, 6 windows, 900 ticks. No real order was sent.")
    assert "gross" in shown
    assert "refused: order limit of the window" in shown


def test_a_rule_that_lacks_something_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_recording(tmp_path, windows=1, n_ticks=50, reference=False, missing_frac=0.0)

    assert main(["fair_value", "--data-dir", str(root)]) == 0
    assert "held: fair_value: no reference price (50 ticks)" in capsys.readouterr().out

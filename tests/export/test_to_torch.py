"""Exporting: what is written has passed, what fails leaves nothing, and a receiver can check again."""

import json
from pathlib import Path

import numpy as np
import pytest

from export import to_torch
from export.certificate import read_certificate
from export.cli import main
from export.load import load
from export.probes import make_probes
from mlx_rl.artifact.checks import read_golden
from mlx_rl.artifact.manifest import PRESETS, read_manifest
from mlx_rl.features.schema import POSITION_COLUMNS
from observer.kit.errors import BadArtifact, UsageError
from observer.store.writer import RecordingWriter
from tests.export.conftest import stand_in
from tests.samples.model_folder import make_model_folder
from tests.samples.tapes import make_tape

pytestmark = pytest.mark.torch


@pytest.fixture
def without_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy plays MLX's part."""
    monkeypatch.setattr(to_torch, "trained", stand_in)


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    real = to_torch.find_spec
    monkeypatch.setattr(to_torch, "find_spec", lambda name: None if name in modules else real(name))


def test_the_certificate_says_what_was_compared(made: Path) -> None:
    certificate = read_certificate(made / "x_torch")

    assert certificate["passed"] is True
    assert certificate["max_abs"] <= 1e-5
    assert list(certificate["runtimes"]) == ["mlx", "torch", "numpy", "fast", "onnx"]
    assert certificate["runtimes"]["torch"] == "cpu"
    assert certificate["batches"] == [1, 2, 32, 300]
    assert certificate["decisions"]["flips_outside_margin"] == 0
    assert set(certificate["files"]) == {"manifest.json", "weights.safetensors", "golden.npz", "twin.py", "model.onnx"}
    assert certificate["environment"]["versions"]["numpy"] == np.__version__
    assert certificate["environment"]["MLX_ENABLE_TF32"] in ("0", "not set")  # as the process has it
    assert all(took["p99_us"] > 0 for took in certificate["latency"].values())
    torch_rows = [row for row in certificate["differences"] if (row["runtime"], row["against"]) == ("torch", "mlx")]
    assert [row["batch"] for row in torch_rows] == [1, 2, 32, 300]
    assert all(row["attention"] <= 1e-5 for row in torch_rows)


@pytest.mark.parametrize(
    ("good", "broken"),
    [
        ('"gelu": nn.GELU,', '"gelu": lambda: nn.GELU(approximate="tanh"),'),
        ("masked_fill(~is_real", "masked_fill(is_real"),
        ("eps=1e-5", "eps=1e-3"),
    ],
)
def test_a_broken_twin_fails_and_leaves_nothing(
    good: str, broken: str, without_mlx: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_model_folder(tmp_path / "x", "transformer", "small", activation="gelu")
    text = to_torch.twin_source("transformer")
    assert good in text
    monkeypatch.setattr(to_torch, "twin_source", lambda kind: text.replace(good, broken))

    with pytest.raises(BadArtifact, match=r"was not exported: .*differ.*Nothing was written"):
        to_torch.export(source, tmp_path / "x_torch")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_an_export_never_overwrites(made: Path) -> None:
    with pytest.raises(UsageError, match="exists; an export never overwrites"):
        to_torch.export(made / "x", made / "x_torch")


@pytest.mark.parametrize(("module", "extra"), [("mlx", "train"), ("torch", "export")])
def test_an_export_wants_both_sides(
    module: str, extra: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, module)

    with pytest.raises(UsageError, match=rf"compares with {module}.*mlx-rl\[{extra}\]"):
        to_torch.export(made / "x", tmp_path / "y")


def test_a_recording_adds_its_states(made: Path, tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "data") as writer:
        for index in range(2):
            writer.write_tape(make_tape(index=index))
    manifest, golden = read_manifest(made / "x"), read_golden(made / "x")

    probes = make_probes(manifest, golden, tmp_path / "data")

    assert probes.counts["recorded"] >= 200
    recorded = slice(probes.counts["golden"], probes.counts["golden"] + probes.counts["recorded"])
    assert probes.is_real[recorded].sum(axis=1).min() == 1  # a window's first tick is among them
    market = [i for i in range(18) if i not in POSITION_COLUMNS]
    assert np.array_equal(probes.window[recorded][:, -1, market], probes.state[recorded][:, market])


def test_a_receiver_without_mlx_and_torch_checks_against_the_golden_record(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "mlx", "torch", "onnxruntime")

    again = to_torch.verify(exported)

    assert list(again["runtimes"]) == ["numpy", "fast"]
    assert set(again["not_compared"]) == {"mlx", "torch", "onnx"}
    assert list(again["certified"]["runtimes"]) == ["mlx", "torch", "numpy", "fast", "onnx"]
    assert again["max_abs"] <= 1e-5


def test_a_received_twin_of_another_version_is_not_run(
    exported: Path, without_mlx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_torch, "twin_source", lambda kind: "another version's")

    again = to_torch.verify(exported)

    assert "torch" not in again["runtimes"]
    assert "was not run" in again["not_compared"]["torch"]


def test_a_machine_that_computes_otherwise_is_told(
    exported: Path, without_mlx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.parity.BAR", 0.0)

    with pytest.raises(BadArtifact, match=r"does not hold here: .*Do not trade with it here"):
        to_torch.verify(exported)


def test_the_door_exports_verifies_and_prints_a_table(
    made: Path, tmp_path: Path, without_mlx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "y_torch"

    assert main(["--input", str(made / "x"), "--output", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "PASSED" in shown
    assert "not compared: onnx (not exported (--onnx))" in shown
    assert load(out)[1].name == "transformer_small"

    assert main(["--verify", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["passed"]
    assert again["certified"]["max_abs"] <= 1e-5

    assert main(["--verify", str(out)]) == 0
    assert "certified 20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "give --input and --output"),
        (["--input", "a"], "give --input and --output"),
        (["--input", "a", "--output", "b", "--verify", "c"], "give --input and --output"),
        (["--verify", "c", "--onnx"], "--onnx writes a file and --verify writes nothing"),
    ],
)
def test_misuse_exits_2(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    assert says in capsys.readouterr().err


def test_misuse_is_a_usage_error() -> None:
    from export.cli import ExportSettings, work

    with pytest.raises(UsageError, match="give --input and --output"):
        work(ExportSettings())


@pytest.mark.parametrize("kind", PRESETS)
def test_mlx_itself_agrees(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("mlx.core")
    source = make_model_folder(tmp_path / "x", kind, "default")

    certificate = to_torch.export(source, tmp_path / "x_torch")

    assert certificate["runtimes"]["mlx"].startswith(("cpu", "gpu"))
    assert certificate["max_abs"] <= 1e-5

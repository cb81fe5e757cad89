"""`twin.py` is what a receiver gets: one file, importable without this package, and the certified one."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export import to_torch
from export.certificate import CERTIFICATE
from export.load import load as load_exported
from export.twins import TWINS
from export.twins.source import twin_source
from mlx_rl.artifact.checks import GOLDEN_INPUTS, read_golden
from mlx_rl.artifact.manifest import GOLDEN, MANIFEST, PRESETS, WEIGHTS, preset, weight_shapes
from observer.kit.errors import BadArtifact
from tests.export.conftest import stand_in
from tests.export.test_load import reseal, reseal_certificate
from tests.samples.model_folder import make_model_folder

pytestmark = pytest.mark.torch

ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("export", "mlx_rl", "observer", "live", "numba", "pydantic", "mlx"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
import twin
model = twin.load(sys.argv[1])
with np.load(sys.argv[1] + "/golden.npz") as golden:
    inputs = [torch.from_numpy(golden[name]) for name in ("window", "is_real", "state")]
    with torch.inference_mode():
        made = model(*inputs)
    names = ("encoded", "logits", "value", "forecast")
    print(max(float(abs(golden[n] - m.numpy()).max()) for n, m in zip(names, made)))
"""


def test_the_twin_runs_where_only_numpy_torch_and_safetensors_are(exported: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, str(exported)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-5


@pytest.mark.parametrize("kind", PRESETS)
def test_the_twins_weights_have_our_names_and_shapes(kind: str) -> None:
    architecture = preset(kind)
    twin = TWINS[kind](architecture.model_dump())

    assert {key: tuple(value.shape) for key, value in twin.state_dict().items()} == weight_shapes(architecture)


@pytest.mark.parametrize("kind", PRESETS)
def test_the_source_is_the_same_each_time_and_names_nothing_of_ours(kind: str) -> None:
    text = twin_source(kind)

    assert text == twin_source(kind)
    assert not re.search(r"\b(from|import) (export|mlx_rl|observer|live)\b", text)
    compile(text, "twin.py", "exec")


def test_a_certified_folder_holds_this_versions_twin(made: Path) -> None:
    assert (made / "x_torch" / "twin.py").read_text() == twin_source("transformer")
    assert np.isfinite(read_golden(made / "x_torch")["logits"]).all()


def twin_load(kind: str) -> Callable[[Path], Any]:
    """`load` of `twin.py` as it is shipped."""
    module = ModuleType("twin")
    exec(twin_source(kind), module.__dict__)
    return module.__dict__["load"]


def load_twin(folder: Path) -> Any:
    return twin_load("transformer")(folder)


def change_weights(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change weights and make every checksum right again, so that later checks are reached."""
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)
    reseal(folder)


def test_a_good_folder_opens_and_computes_its_golden_record(exported: Path) -> None:
    import torch

    golden = read_golden(exported)

    made = load_twin(exported)(*(torch.from_numpy(golden[name]) for name in GOLDEN_INPUTS))

    np.testing.assert_allclose(made[1].detach().numpy(), golden["logits"], atol=1e-5)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN, "twin.py", "model.onnx", CERTIFICATE])
@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_the_twin_refuses_a_changed_byte_in_any_file(exported: Path, name: str, bit: int) -> None:
    whole = (exported / name).read_bytes()

    for at in np.linspace(0, len(whole) - 1, 48).astype(int):
        changed = bytearray(whole)
        changed[at] ^= bit
        (exported / name).write_bytes(changed)
        with pytest.raises(ValueError, match=rf"{name}: .*(Copy the exported folder|Export the model) again"):
            load_twin(exported)


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_the_twin_holds_the_manifest_against_the_files_too(exported: Path, name: str) -> None:
    if name == WEIGHTS:
        weights = load_file(exported / WEIGHTS)
        weights["policy.out.bias"] += np.float32(1e-6)  # too little for the golden record to show
        save_file(weights, exported / WEIGHTS)
    else:
        np.savez(exported / GOLDEN, **read_golden(exported), more=np.zeros(1))  # type: ignore[arg-type]
    reseal_certificate(exported)

    with pytest.raises(ValueError, match=rf"{name}: sha256 .* was recorded"):
        load_twin(exported)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN, CERTIFICATE, "model.onnx"])
def test_the_twin_names_a_missing_file(exported: Path, name: str) -> None:
    (exported / name).unlink()

    with pytest.raises(ValueError, match=f"{name} is missing. Copy the exported folder again"):
        load_twin(exported)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_twin_refuses_weights_that_are_no_numbers(exported: Path, bad: float) -> None:
    change_weights(exported, lambda w: w["value.fc1.weight"].__setitem__((0, 0), bad))

    with pytest.raises(ValueError, match="weight value.fc1.weight holds NaN or infinity"):
        load_twin(exported)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda w: w.update({"value.out.bias": w["value.out.bias"].astype(np.float16)}),
            "float16; the format is float32",
        ),
        (lambda w: w.pop("policy.out.bias"), r"not the weights of its architecture .*policy\.out\.bias"),
        (lambda w: w.update({"more.weight": np.zeros(3, np.float32)}), r"not the weights of its .*more\.weight"),
        (lambda w: w.update({"value.out.bias": np.zeros(2, np.float32)}), r"not the weights of its .*value\.out\.bias"),
        (lambda w: w["encoder.output.bias"].__iadd__(np.float32(1e-3)), "differs from the golden record .* do not use"),
    ],
)
def test_the_twin_refuses_other_weights(exported: Path, change: Callable[[dict[str, Any]], Any], says: str) -> None:
    change_weights(exported, change)

    with pytest.raises(ValueError, match=f"(?s){says}"):
        load_twin(exported)


@pytest.mark.parametrize("what", ["encoded", "logits", "value", "forecast"])
def test_the_twin_replays_every_golden_output(exported: Path, what: str) -> None:
    golden = read_golden(exported)
    golden[what] = golden[what] + np.float32(1e-3)
    np.savez(exported / GOLDEN, **golden)  # type: ignore[arg-type]
    reseal(exported)

    with pytest.raises(ValueError, match=f"{what} differs from the golden record by 0.001"):
        load_twin(exported)


def test_the_twin_refuses_a_golden_record_of_another_shape(exported: Path) -> None:
    golden = read_golden(exported)
    golden["value"] = golden["value"][:1]
    np.savez(exported / GOLDEN, **golden)  # type: ignore[arg-type]
    reseal(exported)

    with pytest.raises(ValueError, match="value differs from the golden record by inf"):
        load_twin(exported)


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        ({"passed": False}, "says it did not pass"),
        ({"weights_sha256": "0" * 64}, "was made for other weights"),
        ({"format": "mlx-rl-certificate/9"}, "format 'mlx-rl-certificate/9'; this file reads"),
    ],
)
def test_the_twin_refuses_another_certificate(exported: Path, certificate: dict[str, Any], says: str) -> None:
    reseal(exported, **certificate)

    with pytest.raises(ValueError, match=f"certificate.json.* {says}"):
        load_twin(exported)


@pytest.mark.parametrize("name", ["m.pkl", "notes.txt"])
def test_the_twin_refuses_a_stray_but_not_what_importing_it_leaves(exported: Path, name: str) -> None:
    (exported / "__pycache__").mkdir(exist_ok=True)
    (exported / ".DS_Store").write_bytes(b"a Mac was here")
    load_twin(exported)
    load_exported(exported)
    (exported / name).write_bytes(b"")

    with pytest.raises(ValueError, match=rf"{name}: not in certificate.json. Remove it"):
        load_twin(exported)


def test_a_base_twin_replays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_torch, "trained", stand_in)
    to_torch.export(make_model_folder(tmp_path / "x", "base"), tmp_path / "y")
    load = twin_load("base")
    load(tmp_path / "y")

    change_weights(tmp_path / "y", lambda w: w["encoder.ln2.bias"].__iadd__(np.float32(1e-2)))
    with pytest.raises(ValueError, match="differs from the golden record"):
        load(tmp_path / "y")


def test_an_export_that_its_receiver_could_not_open_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = twin_source("base").replace('"mlx-rl-certificate/1"', '"mlx-rl-certificate/0"')
    monkeypatch.setattr(to_torch, "trained", stand_in)
    monkeypatch.setattr(to_torch, "twin_source", lambda kind: text)
    source = make_model_folder(tmp_path / "x", "base")

    with pytest.raises(BadArtifact, match="x was not exported: .*certificate.json: format .* Nothing was written"):
        to_torch.export(source, tmp_path / "y")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]

"""`twin.py` is what a receiver gets: one file, importable without this package, and the certified one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.twins import TWINS
from export.twins.source import twin_source
from mlx_rl.artifact.checks import read_golden
from mlx_rl.artifact.manifest import PRESETS, preset, weight_shapes

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


def test_the_twin_runs_where_only_torch_and_safetensors_are(exported: Path) -> None:
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
    assert "export" not in text.replace("exported", "")
    compile(text, "twin.py", "exec")


def test_a_certified_folder_holds_this_versions_twin(made: Path) -> None:
    assert (made / "x_torch" / "twin.py").read_text() == twin_source("transformer")
    assert np.isfinite(read_golden(made / "x_torch")["logits"]).all()

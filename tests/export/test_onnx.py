"""The ONNX graph computes what the reference computes, at any batch size."""

import sys
from pathlib import Path

import numpy as np
import pytest

from export.onnx import write_onnx
from export.runtimes import onnx_runtime, policy_runtime
from observer.kit.errors import UsageError
from tests.samples.model_folder import make_policy
from tests.samples.weights import make_inputs


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize(("kind", "size"), [("transformer", "small"), ("transformer", "default"), ("base", "default")])
def test_onnx_agrees_with_numpy(kind: str, size: str, activation: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    policy = make_policy(kind, size, activation=activation)
    write_onnx(tmp_path / "model.onnx", policy.architecture, policy.weights)
    runtime, ours = onnx_runtime(tmp_path / "model.onnx"), policy_runtime("numpy", policy)

    for n in (1, 2, 33):
        inputs = tuple(make_inputs(policy.architecture, n).values())
        expected = ours.run(*inputs)
        for key, value in runtime.run(*inputs).items():
            assert value.shape == expected[key].shape
            np.testing.assert_allclose(value, expected[key], atol=1e-5, rtol=0)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_policy("base", "small")
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(UsageError, match=r"pip install 'mlx-rl\[onnx\]'"):
        write_onnx(tmp_path / "model.onnx", policy.architecture, policy.weights)

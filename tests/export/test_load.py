"""What an exported folder is refused for, each with its own message; and that a good one loads."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export import fast_kernel, to_torch
from export.certificate import CERTIFICATE, read_certificate, write_certificate
from export.load import load
from live.arms import policy_arm
from mlx_rl.artifact.checks import read_golden, sha256
from mlx_rl.artifact.manifest import GOLDEN, MANIFEST, SEAL, WEIGHTS, seal
from mlx_rl.features.schema import schema_for
from observer.kit.errors import BadArtifact, SchemaMismatch


def reseal(folder: Path, **certificate: Any) -> None:
    """Make every checksum right again, as a forger or a careless script would, so that later checks are reached."""
    weights = sha256(folder / WEIGHTS)
    change_manifest(folder, weights_sha256=weights, golden_sha256=sha256(folder / GOLDEN))
    reseal_certificate(folder, **{"weights_sha256": weights, **certificate})


def reseal_certificate(folder: Path, **certificate: Any) -> None:
    made = read_certificate(folder)
    made["files"] = {name: sha256(folder / name) for name in made["files"]}
    write_certificate(folder, {**made, **certificate})


def change_manifest(folder: Path, **changes: Any) -> None:
    """Change fields and seal the manifest anew."""
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest[SEAL]
    (folder / MANIFEST).write_bytes(seal({**manifest, **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)
    reseal(folder)


def change_golden(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    golden = read_golden(folder)
    change(golden)
    np.savez(folder / GOLDEN, **golden)
    reseal(folder)


def test_a_good_folder_loads_and_decides(exported: Path) -> None:
    policy, manifest = load(exported, schema_for("state18"))
    golden = read_golden(exported)

    logits, value, forecast = policy.heads(golden["state"], policy.encode(golden["window"], golden["is_real"]))
    made = policy.decide(golden["window"][0], golden["is_real"][0], golden["state"][0], np.ones(3, np.bool_))

    np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)
    np.testing.assert_allclose(made.logits, golden["logits"][0], atol=1e-5)
    assert (made.value, made.forecast) == pytest.approx((value[0], forecast[0]), abs=1e-5)
    assert manifest.exported_from == manifest.weights_sha256
    assert policy.name == manifest.name
    assert policy.seq_len == 10
    assert len(policy.schema) == 18


def test_what_importing_the_twin_leaves_behind_is_no_matter(exported: Path) -> None:
    (exported / "__pycache__").mkdir(exist_ok=True)
    (exported / "__pycache__" / "twin.cpython-311.pyc").write_bytes(b"")

    load(exported)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN, "twin.py", "model.onnx", CERTIFICATE])
@pytest.mark.parametrize("where", [0.1, 0.5, 0.95])
def test_a_changed_byte_in_any_file_is_refused(exported: Path, name: str, where: float) -> None:
    path = exported / name
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 0x01
    path.write_bytes(data)

    with pytest.raises(BadArtifact, match=r"byte changed|not JSON|format|manifest was edited|Export the model again"):
        load(exported)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN, "twin.py"])
def test_a_missing_file_is_refused(exported: Path, name: str) -> None:
    (exported / name).unlink()

    with pytest.raises(BadArtifact, match=f"{name} is missing|no {name}"):
        load(exported)


def test_a_missing_weight_is_refused(exported: Path) -> None:
    change_weights(exported, lambda w: w.pop("policy.out.bias"))

    with pytest.raises(BadArtifact, match=r"weight policy\.out\.bias is missing"):
        load(exported)


def test_an_extra_weight_is_refused(exported: Path) -> None:
    change_weights(exported, lambda w: w.update({"critic.weight": np.zeros((2, 2), np.float32)}))

    with pytest.raises(BadArtifact, match=r"weight critic\.weight is not part of a transformer"):
        load(exported)


def test_a_misshaped_weight_is_refused(exported: Path) -> None:
    change_weights(exported, lambda w: w.update({"value.out.weight": w["value.out.weight"].T.copy()}))

    with pytest.raises(BadArtifact, match=r"weight value\.out\.weight has shape \(96, 1\); .* wants \(1, 96\)"):
        load(exported)


def test_a_weight_of_another_type_is_refused(exported: Path) -> None:
    change_weights(exported, lambda w: w.update({"value.out.bias": w["value.out.bias"].astype(np.float16)}))

    with pytest.raises(BadArtifact, match=r"weight value\.out\.bias is float16; the format is float32"):
        load(exported)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_a_number_is_refused(exported: Path, bad: float) -> None:
    def change(weights: dict[str, Any]) -> None:
        weights["encoder.input.bias"][3] = bad

    change_weights(exported, change)

    with pytest.raises(BadArtifact, match=r"weight encoder\.input\.bias holds NaN or infinity"):
        load(exported)


def test_a_file_that_is_not_safetensors_is_refused(exported: Path) -> None:
    (exported / WEIGHTS).write_bytes(b"\x80\x04 a pickle by another name")
    reseal(exported)

    with pytest.raises(BadArtifact, match="not float32 safetensors"):
        load(exported)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".npz"])
def test_a_pickle_or_archive_offered_as_the_model_is_refused(exported: Path, suffix: str) -> None:
    path = exported.parent / f"model{suffix}"
    path.write_bytes(b"\x80\x04N.")

    with pytest.raises(BadArtifact, match="refused as weights"):
        load(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl"])
def test_a_pickle_beside_the_weights_is_refused(exported: Path, suffix: str) -> None:
    (exported / f"weights{suffix}").write_bytes(b"\x80\x04N.")

    with pytest.raises(BadArtifact, match="refused in a model folder; a pickle runs code"):
        load(exported)


def test_a_file_nobody_certified_is_refused(exported: Path) -> None:
    made = read_certificate(exported)
    del made["files"]["model.onnx"]
    write_certificate(exported, made)

    with pytest.raises(BadArtifact, match=r"model\.onnx: not in certificate\.json"):
        load(exported)


def test_a_file_that_no_export_writes_is_refused(exported: Path) -> None:
    (exported / "notes.txt").write_text("hello")

    with pytest.raises(BadArtifact, match=r"notes\.txt: not part of a model folder. Remove it"):
        load(exported)


@pytest.mark.parametrize("law", ["cost_law", "mask_law"])
@pytest.mark.parametrize("opened_by", [load, policy_arm, lambda f: to_torch.export(f, f.with_name("again"))])
def test_a_model_of_another_law_is_not_traded_on_and_not_certified(
    exported: Path, law: str, opened_by: Callable[..., Any]
) -> None:
    change_manifest(exported, **{law: "other/9"})
    reseal(exported)

    with pytest.raises(BadArtifact, match="law 'other/9'; this version has .* Train again"):
        opened_by(exported)


@pytest.mark.parametrize("what", ["logits", "value", "forecast"])
def test_a_live_kernel_that_computes_otherwise_is_noticed_although_numpy_agrees(
    exported: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fast_kernel._pack
    last = {"logits": "policy.out.bias", "value": "value.out.bias", "forecast": "forecast.out.bias"}[what]

    def pack(architecture: Any, weights: Any) -> Any:
        return real(architecture, {**weights, last: weights[last] + np.float32(1e-3)})

    monkeypatch.setattr(fast_kernel, "_pack", pack)

    with pytest.raises(BadArtifact, match=rf"{what} differs from the golden record by 0\.00[01]"):
        load(exported)


def test_a_golden_record_with_objects_in_it_is_refused(exported: Path) -> None:
    change_golden(exported, lambda g: g.update({"window": np.array([{"code": 1}], dtype=object)}))

    with pytest.raises(BadArtifact, match="holds pickled objects"):
        load(exported)


def test_a_golden_record_without_an_input_is_refused(exported: Path) -> None:
    change_golden(exported, lambda g: g.pop("is_real"))

    with pytest.raises(BadArtifact, match="is_real is missing"):
        load(exported)


def test_a_golden_record_of_another_shape_is_refused(exported: Path) -> None:
    change_golden(exported, lambda g: g.update({"state": g["state"][:, :-1]}))

    with pytest.raises(BadArtifact, match=r"state is float32 \(24, 17\); wanted float32 \(N, \*\(18,\)\)"):
        load(exported)


def test_a_model_that_no_longer_computes_its_golden_record_is_refused(exported: Path) -> None:
    def change(weights: dict[str, Any]) -> None:
        weights["encoder.layers.0.ff1.bias"][0] += 0.1

    change_weights(exported, change)

    with pytest.raises(BadArtifact, match="differs from the golden record"):
        load(exported)


def test_an_encoding_that_differs_is_refused_although_the_kernel_keeps_it_to_itself(exported: Path) -> None:
    change_golden(exported, lambda g: g.update({"encoded": g["encoded"] + np.float32(1e-3)}))

    with pytest.raises(BadArtifact, match="encoded differs from the golden record by 0.001"):
        load(exported)


def test_a_folder_without_a_certificate_is_refused_and_told_how_to_get_one(made: Path) -> None:
    with pytest.raises(BadArtifact, match=r"no certificate\.json.*export_mlx_to_pytorch\.py --input"):
        load(made / "x")


def test_a_certificate_that_did_not_pass_is_refused(exported: Path) -> None:
    reseal(exported, passed=False, max_abs=0.5)

    with pytest.raises(BadArtifact, match=r"says the runtimes differ by 0\.5; it did not pass"):
        load(exported)


def test_a_certificate_for_other_weights_is_refused(exported: Path) -> None:
    reseal(exported, weights_sha256="0" * 64)

    with pytest.raises(BadArtifact, match="was made for other weights"):
        load(exported)


def test_a_certificate_of_an_unknown_format_is_refused(exported: Path) -> None:
    reseal(exported, format="mlx-rl-certificate/9")

    with pytest.raises(BadArtifact, match="format 'mlx-rl-certificate/9'; this version reads"):
        load(exported)


def test_a_manifest_of_an_unknown_format_is_refused(exported: Path) -> None:
    change_manifest(exported, format="mlx-rl-artifact/9")

    with pytest.raises(BadArtifact, match="format 'mlx-rl-artifact/9'; this version reads"):
        load(exported)


@pytest.mark.parametrize("opened_by", [load, policy_arm, lambda f: to_torch.export(f, f.with_name("again"))])
def test_an_edited_manifest_is_not_traded_on_and_not_certified(exported: Path, opened_by: Callable[..., Any]) -> None:
    text = (exported / MANIFEST).read_text()
    (exported / MANIFEST).write_text(text.replace('"seed": 0', '"seed": 7'))
    reseal_certificate(exported)

    with pytest.raises(BadArtifact, match=r"manifest\.json: a byte changed since it was written.*Copy"):
        opened_by(exported)
    assert [path.name for path in exported.parent.iterdir()] == ["x_torch"]


def test_a_manifest_sealed_anew_is_refused(exported: Path) -> None:
    change_manifest(exported, seed=7)

    with pytest.raises(BadArtifact, match=r"manifest\.json: a byte changed since it was certified"):
        load(exported)


def test_a_caller_with_other_features_is_refused(exported: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"was trained on features state18 .* this run has edge"):
        load(exported, schema_for("edge"))


def test_a_schema_this_version_computes_otherwise_is_refused(exported: Path) -> None:
    schema = json.loads((exported / MANIFEST).read_text())["feature_schema"]
    change_manifest(exported, feature_schema={**schema, "hash": "0" * 64})
    reseal(exported)

    with pytest.raises(SchemaMismatch, match="they differ in the kernel's version"):
        load(exported)


def test_a_scaler_for_other_features_is_refused(exported: Path) -> None:
    change_manifest(exported, scaler={"mean": [0.0] * 17, "scale": [1.0] * 17})
    reseal(exported)

    with pytest.raises(BadArtifact, match="reads 18 features, its schema state18 has 18 and its scaler 17"):
        load(exported)


def test_a_certified_file_that_went_away_is_refused(exported: Path) -> None:
    shutil.move(exported / "model.onnx", exported.parent / "elsewhere.onnx")

    with pytest.raises(BadArtifact, match=r"model\.onnx is missing, certificate\.json lists it"):
        load(exported)

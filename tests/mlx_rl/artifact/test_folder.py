"""A model folder opens only where it is whole, unchanged, and computes what was recorded."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlx_rl.artifact.checks import check_golden, check_weights, read_golden, sha256
from mlx_rl.artifact.folder import load, save
from mlx_rl.artifact.golden import golden_inputs
from mlx_rl.artifact.manifest import GOLDEN, MANIFEST, SEAL, WEIGHTS, preset, read_manifest, seal, write_manifest
from mlx_rl.cli.opened import open_models
from mlx_rl.datasets.splits import Folds, SplitSettings
from mlx_rl.features.scaler import Scaler
from mlx_rl.features.schema import schema_for
from mlx_rl.market.law import COST_LAW, MASK_LAW, LawSettings
from mlx_rl.models.network import build
from mlx_rl.models.policy import MlxPolicy
from observer.kit.errors import BadArtifact, SchemaMismatch
from tests.mlx_rl.training.toy import ToyData

KNOWN: dict[str, Any] = {
    "cost_law": COST_LAW,
    "law": {},
    "dataset_id": "d",
    "folds": None,
    "code_version": "c",
    "seed": 3,
    "method": "wbc",
    "created": "2026-01-01T00:00:00.000Z",
    "metrics": {"best_loss": 0.5},
}


def make(kind: str = "transformer") -> tuple[MlxPolicy, dict[str, Any]]:
    a = preset(kind, "small")
    policy = MlxPolicy("m", build(a, seed=3), schema_for("state18"), Scaler.identity(18))
    return policy, golden_inputs(ToyData.random(4, 30, 18, a.seq_len, seed=0), a.seq_len, seed=3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    policy, golden = make()
    save(tmp_path / "m", policy, golden, **KNOWN)
    return tmp_path / "m"


def reseal(model: Path) -> None:
    """Write the manifest's checksums anew, as somebody would who changed a file on purpose."""
    change_manifest(model, weights_sha256=sha256(model / WEIGHTS), golden_sha256=sha256(model / GOLDEN))


def change_manifest(model: Path, **changes: Any) -> None:
    """Change fields and seal the manifest anew."""
    raw = json.loads((model / MANIFEST).read_text())
    del raw[SEAL]
    (model / MANIFEST).write_bytes(seal({**raw, **changes}))


def change_weights(model: Path, change: Any) -> None:
    weights = load_file(model / WEIGHTS)
    change(weights)
    save_file(weights, model / WEIGHTS)
    reseal(model)


@pytest.mark.parametrize("kind", ["base", "transformer"])
def test_what_was_saved_is_what_opens(tmp_path: Path, kind: str) -> None:
    policy, golden = make(kind)
    written = save(tmp_path / "m", policy, golden, **KNOWN)
    opened, manifest = load(tmp_path / "m")

    assert manifest == written
    assert manifest.architecture == policy.architecture
    assert opened.schema.hash == policy.schema.hash
    assert all(np.array_equal(value, policy.network.numpy()[name]) for name, value in opened.network.numpy().items())
    assert np.array_equal(
        opened.encode(golden["window"], golden["is_real"]), policy.encode(golden["window"], golden["is_real"])
    )


def test_the_golden_record_holds_padding_and_extremes(model: Path) -> None:
    golden = read_golden(model)

    assert golden["is_real"].sum(axis=1).min() == 1
    assert golden["is_real"][:, -1].all()
    assert np.abs(golden["window"]).max() == 8
    assert set(golden["state"][:, 13].tolist()) == {-1.0, 0.0, 1.0}
    assert len(golden["logits"]) == len(golden["window"]) == 48


def test_a_folder_that_is_no_model_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("two years of work")

    with pytest.raises(BadArtifact, match="exists and holds no model; nothing there is overwritten"):
        save(tmp_path, *make(), **KNOWN)
    assert (tmp_path / "thesis.txt").exists()


def test_weights_that_hold_nan_are_not_saved(tmp_path: Path) -> None:
    policy, golden = make()
    weights = policy.network.flat()
    weights["encoder.output.bias"] = weights["encoder.output.bias"] * float("nan")
    policy.network.set_flat(weights)

    with pytest.raises(BadArtifact, match=r"weight encoder.output.bias holds NaN or infinity"):
        save(tmp_path / "m", policy, golden, **KNOWN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()

    with pytest.raises(BadArtifact, match=f"{name}"):
        load(model)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match=r"nowhere: no such model folder"):
        load(tmp_path / "nowhere")


REGIONS = 32


@pytest.mark.parametrize("bit", [0x01, 0x80])
@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN])
def test_one_changed_byte_is_noticed_wherever_it_lies(model: Path, name: str, bit: int) -> None:
    whole = (model / name).read_bytes()
    every = range(len(whole)) if name == MANIFEST else np.linspace(0, len(whole) - 1, REGIONS).astype(int)

    for at in every:
        changed = bytearray(whole)
        changed[at] ^= bit
        (model / name).write_bytes(changed)
        with pytest.raises(BadArtifact, match=rf"{name}: .*([Cc]opy|[Tt]rain) .*"):
            load(model)
    (model / name).write_bytes(whole)
    load(model)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a JSON text that holds no other, and where it lies; an empty list or object is one."""
    if value and isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*path, key))
    else:
        yield path, value


def other(value: Any) -> Any:
    """A value of the same type where there is one, so that no check but the checksum sees it."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}_" if isinstance(value, str) else [0] if isinstance(value, list) else {"more": 0}


def test_every_value_of_the_manifest_is_guarded(tmp_path: Path) -> None:
    folds = Folds(
        market=None, settings=SplitSettings(), fold=1, n_folds=1, train_windows=9, valid_windows=1,
        trained_from_ns=1, trained_until_ns=2, unseen_from_ns=3,
    )  # fmt: skip
    model = tmp_path / "m"
    save(model, *make(), **{**KNOWN, "folds": folds, "law": LawSettings().model_dump(mode="json")})
    whole = (model / MANIFEST).read_text()
    places = [path for path, _ in leaves(json.loads(whole))]
    assert {("scaler", "mean", 0), ("folds", "unseen_from_ns"), ("law", "size_shares"), (SEAL,)} <= set(places)

    for path in places:
        raw = json.loads(whole)
        part = raw
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = other(part[path[-1]])
        (model / MANIFEST).write_text(json.dumps(raw, indent=2) + "\n")
        with pytest.raises(BadArtifact, match=rf"{MANIFEST}: (a byte changed|format ).*[Tt]rain again"):
            read_manifest(model)
        with pytest.raises(BadArtifact, match=rf"{MANIFEST}: (a byte changed|format ).*[Tt]rain again"):
            load(model)


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: json.dumps(json.loads(t)), str.strip])
def test_a_manifest_written_otherwise_is_refused(model: Path, change: Any) -> None:
    text = (model / MANIFEST).read_text()
    (model / MANIFEST).write_bytes(change(text).encode())

    with pytest.raises(BadArtifact, match=rf"{MANIFEST}: a byte changed since it was written"):
        load(model)


def test_a_manifest_without_a_checksum_is_refused(model: Path) -> None:
    raw = json.loads((model / MANIFEST).read_text())
    del raw[SEAL]
    (model / MANIFEST).write_text(json.dumps(raw, indent=2) + "\n")

    with pytest.raises(BadArtifact, match=rf"{MANIFEST}: no {SEAL}, .* Train or export the model again"):
        load(model)


def test_a_manifest_reads_as_it_was_written(model: Path, tmp_path: Path) -> None:
    odd = {"ratio": 0.1 + 0.2, "tiny": 5e-324, "name": "Zürich – 東京", "none": None, "nested": {"b": 1, "a": [True]}}
    manifest = read_manifest(model).model_copy(update={"metrics": odd})

    write_manifest(tmp_path, manifest)

    assert read_manifest(tmp_path) == manifest


def test_an_edited_model_is_not_judged(model: Path) -> None:
    (model / MANIFEST).write_text((model / MANIFEST).read_text().replace('"seed": 3', '"seed": 4'))

    with pytest.raises(BadArtifact, match="a byte changed since it was written"):
        open_models([model])


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".npz", ".pth"])
def test_a_pickle_or_an_archive_is_refused_as_weights(model: Path, suffix: str) -> None:
    stray = model / f"weights{suffix}"
    stray.write_bytes(pickle.dumps({"a": 1}))

    with pytest.raises(BadArtifact, match=f"{suffix} is refused as weights"):
        load(stray)
    (model / WEIGHTS).unlink()
    with pytest.raises(BadArtifact, match=f"weights{suffix} is refused as weights; only {WEIGHTS} is read"):
        load(model)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".npz"])
def test_a_pickle_or_an_archive_beside_the_weights_is_refused(model: Path, suffix: str) -> None:
    (model / f"m{suffix}").write_bytes(pickle.dumps({"a": 1}))

    with pytest.raises(BadArtifact, match=rf"m{suffix}: {suffix} is refused in a model folder.* Remove it"):
        load(model)


@pytest.mark.parametrize("name", ["twin.py", "certificate.json", "notes.txt", "weights.safetensors.old"])
def test_anything_else_in_a_trained_folder_is_refused(model: Path, name: str) -> None:
    (model / name).write_text("")

    with pytest.raises(BadArtifact, match=rf"{name}: not part of a model folder. Remove it"):
        load(model)


def test_a_folder_in_a_model_folder_is_refused(model: Path) -> None:
    (model / "older").mkdir()

    with pytest.raises(BadArtifact, match=r"older: not part of a model folder. Remove it"):
        load(model)


@pytest.mark.parametrize(("law", "ours"), [("cost", COST_LAW), ("mask", MASK_LAW)])
def test_a_model_of_another_law_is_refused(model: Path, law: str, ours: str) -> None:
    change_manifest(model, **{f"{law}_law": "other/9"})

    with pytest.raises(
        BadArtifact,
        match=rf"{MANIFEST}: trained under {law} law 'other/9'; this version has '{ours}'. Train again, or use",
    ):
        load(model)


def test_a_pickle_renamed_to_safetensors_is_not_read(model: Path) -> None:
    (model / WEIGHTS).write_bytes(pickle.dumps({"encoder.input.weight": [1.0]}))
    reseal(model)

    with pytest.raises(BadArtifact, match="not float32 safetensors"):
        load(model)


def test_a_golden_record_with_pickled_objects_is_not_read(model: Path) -> None:
    np.savez(model / GOLDEN, window=np.array([{"a": 1}], dtype=object))
    reseal(model)

    with pytest.raises(BadArtifact, match="holds pickled objects"):
        load(model)


def test_a_missing_weight_is_named(model: Path) -> None:
    change_weights(model, lambda w: w.pop("policy.out.bias"))

    with pytest.raises(BadArtifact, match=r"weight policy.out.bias is missing \(1 in all\)"):
        load(model)


def test_an_extra_weight_is_named(model: Path) -> None:
    change_weights(model, lambda w: w.update({"backdoor.weight": np.zeros(3, np.float32)}))

    with pytest.raises(BadArtifact, match=r"weight backdoor.weight is not part of a transformer"):
        load(model)


def test_a_misshapen_weight_is_named(model: Path) -> None:
    change_weights(model, lambda w: w.update({"policy.out.bias": np.zeros(4, np.float32)}))

    with pytest.raises(BadArtifact, match=r"weight policy.out.bias has shape \(4,\); the architecture wants \(3,\)"):
        load(model)


def test_another_number_type_is_refused(model: Path) -> None:
    change_weights(model, lambda w: w.update({"policy.out.bias": np.zeros(3, np.float64)}))

    with pytest.raises(BadArtifact, match=r"weight policy.out.bias is float64; the format is float32"):
        load(model)


def test_a_weight_that_is_nan_is_named(model: Path) -> None:
    change_weights(model, lambda w: w["value.fc1.weight"].__setitem__((0, 0), np.nan))

    with pytest.raises(BadArtifact, match=r"weight value.fc1.weight holds NaN or infinity"):
        load(model)


def test_other_weights_than_those_recorded_do_not_open(model: Path) -> None:
    change_weights(model, lambda w: w["encoder.output.bias"].__iadd__(np.float32(1e-3)))

    with pytest.raises(BadArtifact, match=r"differs from the golden record by .* at most 1e-05 is allowed"):
        load(model)


@pytest.mark.parametrize("name", ["window", "logits"])
def test_an_incomplete_golden_record_is_refused(model: Path, name: str) -> None:
    golden = read_golden(model)
    golden.pop(name)
    np.savez(model / GOLDEN, **golden)
    reseal(model)

    with pytest.raises(BadArtifact, match=f"{name} is missing"):
        load(model)


def test_golden_outputs_of_another_shape_are_refused() -> None:
    made = {name: np.zeros((3, 1), np.float32) for name in ("encoded", "logits", "value", "forecast")}

    with pytest.raises(BadArtifact, match=r"golden encoded has shape \(3, 1\), computed \(2, 1\)"):
        check_golden(made, {name: value[:2] for name, value in made.items()}, 1e-5, Path("m"))


def test_an_unknown_format_is_refused(model: Path) -> None:
    change_manifest(model, format="mlx-rl-artifact/9")

    with pytest.raises(BadArtifact, match=r"format 'mlx-rl-artifact/9'; this version reads 'mlx-rl-artifact/1'"):
        load(model)


def test_a_manifest_that_is_not_json_is_refused(model: Path) -> None:
    (model / MANIFEST).write_text("{")

    with pytest.raises(BadArtifact, match="not JSON"):
        read_manifest(model)


def test_an_unknown_field_in_the_manifest_is_refused(model: Path) -> None:
    change_manifest(model, colour="red")

    with pytest.raises(BadArtifact, match="colour: Extra inputs are not permitted"):
        read_manifest(model)


def test_a_model_for_other_features_is_refused(model: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"m was trained on features state18 .* this run has edge"):
        load(model, schema_for("edge"))


def test_weights_are_checked_for_every_preset() -> None:
    a = preset("base", "large")
    weights = build(a).numpy()

    check_weights(weights, a, Path("m"))  # raises nothing
    with pytest.raises(BadArtifact, match=r"has shape \(64, 90\); the architecture wants \(128, 90\)"):
        check_weights({**weights, "encoder.fc1.weight": np.zeros((64, 90), np.float32)}, a, Path("m"))

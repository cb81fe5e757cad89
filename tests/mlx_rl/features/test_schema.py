"""Schemas: named, ordered, hashed, and refused where two sides disagree."""

import json
import subprocess
import sys

import pytest

from mlx_rl.features import schema as module
from mlx_rl.features.kernel import FeatureKernel
from mlx_rl.features.schema import POSITION_COLUMNS, SCHEMAS, schema_for, schema_from_dict
from observer.kit.errors import SchemaMismatch, UsageError


def test_both_schemas_begin_with_the_eighteen_and_keep_the_position_in_its_place() -> None:
    state18, edge = SCHEMAS["state18"], SCHEMAS["edge"]

    assert (len(state18), len(edge)) == (18, 28)
    assert edge.columns[:18] == state18.columns
    assert [state18.columns[i] for i in POSITION_COLUMNS] == ["has_position", "position_side", "position_pnl"]
    assert len(set(edge.columns)) == 28


def test_the_hash_is_the_same_in_another_process() -> None:
    code = "from mlx_rl.features.schema import SCHEMAS; print(SCHEMAS['edge'].hash)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert other.stdout.strip() == SCHEMAS["edge"].hash


def test_any_parameter_and_the_kernels_version_change_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = schema_for("edge")
    hashes = {plain.hash, schema_for("state18").hash}
    for name, value in plain.params.items():
        changed = "own_mid" if name == "reference" else value * 0.5
        hashes.add(plain.with_params(**{name: changed}).hash)
    monkeypatch.setattr(module, "KERNEL_VERSION", module.KERNEL_VERSION + 1)
    hashes.add(schema_for("edge", age_s=1.0).hash)

    assert len(hashes) == len(plain.params) + 3


def test_a_manifest_record_survives_json() -> None:
    schema = schema_for("edge", reference="own_mid", flow_window_s=30)

    assert schema_from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_unknown_names_parameters_and_values_are_refused() -> None:
    with pytest.raises(UsageError, match="no feature schema is called 'state19'. Known: state18, edge"):
        schema_for("state19")
    with pytest.raises(UsageError, match="window: .* Known parameters: reference, "):
        schema_for("state18", window=3)
    with pytest.raises(UsageError, match="flow_window_s: Input should be less than or equal to 60"):
        schema_for("state18", flow_window_s=3600)


def test_a_mismatch_names_both_sides_and_what_differs() -> None:
    ours, theirs = schema_for("state18"), schema_for("state18", reference="own_mid")

    with pytest.raises(SchemaMismatch, match="the model has .* the recording has .*params.reference: 'underlying'"):
        ours.require_same(theirs, ours="the model", theirs="the recording")
    with pytest.raises(SchemaMismatch, match="name: 'state18' against 'edge'"):
        ours.require_same(schema_for("edge"))
    ours.require_same(schema_for("state18"))


def test_a_record_that_this_version_would_compute_otherwise_is_refused() -> None:
    record = schema_for("state18").to_dict()

    with pytest.raises(SchemaMismatch, match="the kernel's version"):
        schema_from_dict({**record, "hash": "0" * 64})
    with pytest.raises(SchemaMismatch, match="columns"):
        schema_from_dict({**record, "columns": record["columns"][::-1], "hash": "0" * 64})
    with pytest.raises(SchemaMismatch, match="m.json: its feature schema cannot be rebuilt here"):
        schema_from_dict({**record, "name": "state99"}, source="m.json")


def test_a_kernel_refuses_another_reference_than_the_schemas() -> None:
    with pytest.raises(SchemaMismatch, match="reference 'own_mid', schema state18 says 'underlying'"):
        FeatureKernel(schema_for("state18"), "own_mid")

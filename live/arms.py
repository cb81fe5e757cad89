"""Which arms a run has: rule strategies by name, exported models by folder, and both again from a journal.

An arm's record goes into the journal's header. It says enough to build the same arm once more and to refuse
another one: the weights' hash, the feature schema's hash, a rule's settings.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live.decide import ArmMaker, PolicyArm, RuleArm
from mlx_rl.artifact.manifest import Manifest, read_manifest
from mlx_rl.strategies import STRATEGIES
from mlx_rl.strategies.contract import build
from observer.kit.errors import BadArtifact, UsageError


@dataclass(frozen=True)
class ArmSpec:
    """One arm of a run: its name, how to make it, and what the journal's header says of it."""

    name: str
    make: ArmMaker
    record: dict[str, Any]


def rule_arm(strategy: str, **settings: Any) -> ArmSpec:
    """The rule strategy called `strategy`, with settings in place of its defaults."""
    made = build(strategy, **settings)
    chosen = made.Settings(**settings).model_dump(mode="json")
    return ArmSpec(
        strategy,
        lambda: RuleArm(build(strategy, **settings)),
        {"name": strategy, "kind": "rule", "strategy": strategy, "settings": chosen},
    )


def policy_arm(folder: Path, *, name: str | None = None) -> ArmSpec:
    """The exported model in `folder`, after all its refusals; named after the folder.

    Raises:
        UsageError: a model as the trainer saved it; it has to be exported first.
        BadArtifact, SchemaMismatch: the folder is not what it says.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.exported_from is None:
        raise UsageError(
            f"{folder} is a model as the trainer saved it. Carry it over first: "
            f"python scripts/export_mlx_to_pytorch.py --input {folder} --output {folder}_torch"
        )
    from export.load import load

    policy, manifest = load(folder)
    name = name or folder.resolve().name
    return ArmSpec(name, lambda: PolicyArm(policy), _policy_record(name, folder, manifest))


def arm_from_record(record: dict[str, Any], folder: Path | None = None) -> ArmSpec:
    """Build the arm that a journal's header describes.

    Args:
        record: as in the header.
        folder: where the model lies now, if not where it lay then.

    Raises:
        BadArtifact: no model is there, or another one.
    """
    if record["kind"] == "rule":
        return rule_arm(record["strategy"], **record["settings"])
    then = Path(record["path"])
    if folder is None and not then.is_dir():
        raise BadArtifact(
            f"arm {record['name']}: the journal says that its model lay in {then}, and from {Path.cwd()} there is no "
            "such folder. Pass --load DIR (--load-b DIR for the second model), where the model lies now, or start in "
            "the folder the session was started in."
        )
    spec = policy_arm(folder or then, name=record["name"])
    for key in ("weights_sha256", "schema_hash"):
        if spec.record[key] != record[key]:
            raise BadArtifact(
                f"arm {record['name']}: {spec.record['path']} has {key} {spec.record[key][:12]}…, the journal was "
                f"made with {record[key][:12]}…. Point --load (or --load-b) at the model of that session."
            )
    return spec


def arms_of(strategy: str, load: Path | None, load_b: Path | None, seed: int) -> list[ArmSpec]:
    """The arms that `run.py STRATEGY --load … --load-b …` asks for, the established one first.

    Raises:
        UsageError: a model that is missing, not wanted, or of the other kind.
    """
    wants = {"rl": 1, "rl-transformer": 1, "hybrid": 2}.get(strategy, 0)
    given = [path for path in (load, load_b) if path is not None]
    if len(given) != wants or (wants and load is None):
        flags = {0: "no model", 1: "one exported model: --load models/x_torch"}
        wanted = flags.get(wants, "two exported models: --load models/x_torch --load-b models/y_torch")
        raise UsageError(f"{strategy} takes {wanted}; {len(given)} given.")
    if strategy in STRATEGIES:
        return [rule_arm(strategy, **({"seed": seed} if strategy == "random" else {}))]
    specs = [policy_arm(path) for path in given]
    kind = {"rl": "base", "rl-transformer": "transformer"}.get(strategy)
    if kind is not None and specs[0].record["architecture"] != kind:
        other = {"base": "rl", "transformer": "rl-transformer"}[specs[0].record["architecture"]]
        raise UsageError(f"{given[0]} holds a {specs[0].record['architecture']} model; run it as `{other}`.")
    if len(specs) == 2 and specs[0].name == specs[1].name:
        specs[1] = policy_arm(given[1], name=f"{specs[1].name}-b")
    return specs


def _policy_record(name: str, folder: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "policy",
        "path": str(folder),
        "architecture": manifest.architecture.kind,
        "weights_sha256": manifest.weights_sha256,
        "schema": manifest.feature_schema.name,
        "schema_hash": manifest.feature_schema.hash,
        "trained_on": manifest.dataset_id,
        "trained_law": manifest.law,
    }

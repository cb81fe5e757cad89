"""A feature schema: which numbers a state holds, in which order, computed with which parameters.

The hash covers name, columns, parameters and the kernel's version. It is stored with every model, and two
sides that disagree refuse to work together: a state with the right length and the wrong meaning is worse than
no state. No Numba here, so anybody may import it.

Letters: F features.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from observer.kit.errors import SchemaMismatch, UsageError
from observer.kit.registry import Registry

# Raise it whenever the same input gives another number. It is part of every schema's hash.
KERNEL_VERSION = 1

# has_position, position_side, position_pnl: the account's, not the market's. The kernel leaves them zero.
POSITION_COLUMNS = (12, 13, 14)


@dataclass(frozen=True)
class Column:
    """One entry of the state, as it is explained to a person."""

    name: str
    formula: str
    unit: str  # of the quantity before the squash
    missing: str  # what the kernel writes where the quantity is unknown


@dataclass(frozen=True)
class FeatureSchema:
    """A named, ordered list of features with their parameters.

    Attributes:
        name: the schema's name in `SCHEMAS`.
        table: (F,) one `Column` per entry, in vector order.
        settings: the declared parameters; units are in its field descriptions.
    """

    name: str
    table: tuple[Column, ...]
    settings: BaseModel

    @property
    def columns(self) -> tuple[str, ...]:
        """(F,) names in vector order."""
        return tuple(column.name for column in self.table)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as plain data."""
        return self.settings.model_dump(mode="json")

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over name, columns, parameters and kernel version."""
        body = {"kernel": KERNEL_VERSION, "name": self.name, "columns": self.columns, "params": self.params}
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.table)

    def with_params(self, **changes: Any) -> "FeatureSchema":
        """Return the schema with some parameters changed; its hash changes with them.

        Raises:
            UsageError: a parameter the schema does not declare, or a value it does not allow.
        """
        try:
            settings = type(self.settings).model_validate({**self.settings.model_dump(), **changes})
        except ValidationError as error:
            what = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
            raise UsageError(f"schema {self.name}: {what}. Known parameters: {', '.join(self.params)}.") from None
        return FeatureSchema(self.name, self.table, settings)

    def to_dict(self) -> dict[str, Any]:
        """What a manifest records: name, params, columns, hash."""
        return {"name": self.name, "params": self.params, "columns": list(self.columns), "hash": self.hash}

    def require_same(self, other: "FeatureSchema", *, ours: str = "this side", theirs: str = "the other") -> None:
        """Refuse to go on where two sides do not share one schema.

        Raises:
            SchemaMismatch: names both sides, the first difference, and both hashes.
        """
        if self.hash != other.hash:
            raise SchemaMismatch(_difference(ours, self.to_dict(), theirs, other.to_dict()))


# name -> the schema with its default parameters.
SCHEMAS: Registry = Registry(
    "feature schema",
    {
        "state18": "mlx_rl.features.state18:STATE18",
        "edge": "mlx_rl.features.edge:EDGE",
    },
)


def schema_for(name: str, **params: Any) -> FeatureSchema:
    """The schema called `name`, with `params` in place of its defaults (e.g. `reference="own_mid"`)."""
    schema: FeatureSchema = SCHEMAS[name]
    return schema.with_params(**params) if params else schema


def schema_from_dict(record: Mapping[str, Any], *, source: str = "the manifest") -> FeatureSchema:
    """Rebuild the schema a manifest recorded, and check that this version computes the same one.

    Raises:
        SchemaMismatch: unknown name or parameter, other columns, or another hash.
    """
    try:
        schema = schema_for(str(record["name"]), **dict(record["params"]))
    except (KeyError, UsageError) as error:
        raise SchemaMismatch(f"{source}: its feature schema cannot be rebuilt here: {error}") from None
    if record.get("hash") != schema.hash:
        raise SchemaMismatch(_difference(source, dict(record), "this version", schema.to_dict()))
    return schema


def _difference(ours: str, a: dict[str, Any], theirs: str, b: dict[str, Any]) -> str:
    """Say where two recorded schemas part, in one sentence."""
    what = f"the kernel's version (this one is {KERNEL_VERSION})"
    for key in ("name", "columns", "params"):
        if a.get(key) == b.get(key):
            continue
        left, right = a.get(key), b.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            left, right = cast(dict[str, Any], left), cast(dict[str, Any], right)
            field = next(k for k in sorted({*left, *right}) if left.get(k) != right.get(k))
            key, left, right = f"params.{field}", left.get(field), right.get(field)
        what = f"{key}: {left!r} against {right!r}"
        break
    return (
        f"{ours} has feature schema {a.get('name')} ({str(a.get('hash'))[:12]}), {theirs} has {b.get('name')} "
        f"({str(b.get('hash'))[:12]}); they differ in {what}. Rebuild one side with the other's schema."
    )

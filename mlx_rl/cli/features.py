"""`mlx-rl features list` and `mlx-rl features check SCHEMA --data-dir DIR`."""

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.features.schema import SCHEMAS, FeatureSchema, schema_for
from observer.kit.cli import run_command
from observer.kit.console import say, table
from observer.kit.errors import BadRecording, ToolkitError

USAGE = """usage: mlx-rl features list [--json]
       mlx-rl features check SCHEMA --data-dir DIR [FLAGS]

List feature schemas with formulas and units, or check on recorded markets that none looks ahead. Nothing is written.

`mlx-rl features check --help` tells the flags.
"""


class LookAhead(ToolkitError):
    """A feature moved when only the future had changed."""


class ListSettings(BaseModel):
    """Which schemas to list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_name: str | None = Field(default=None, description="one schema only, by name")


class CheckSettings(BaseModel):
    """What to check, and on which recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_name: str = Field(description="the feature schema's name (also as the first word after `check`)")
    data_dir: Path = Field(description="folder of the recording")
    reference: Literal["underlying", "own_mid", "both"] = Field(
        default="both",
        description="whose returns the schema computes: the underlying's, the market's own mid's, or check both",
    )
    series: str | None = Field(default=None, description="only markets of this series, e.g. btc-updown-15m")
    windows: int = Field(default=40, ge=1, description="market windows to read, the earliest ones")
    cuts: int = Field(default=20, ge=1, description="moments at which the future is changed")
    seed: int = Field(default=0, ge=0, description="which moments and which changes")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `list` or `check`; anything else prints the usage and returns 2."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["list"]:
        return run_command(
            ListSettings, list_schemas, args[1:], prog="mlx-rl features list",
            about="Print every feature schema: names, formulas, units. Reads no data.", show=show_schemas,
        )  # fmt: skip
    if args[:1] == ["check"]:
        rest = args[1:]
        if rest and not rest[0].startswith("-"):
            rest = ["--schema-name", *rest]
        return run_command(
            CheckSettings, check, rest, prog="mlx-rl features check SCHEMA",
            about="Change the recorded future and see that no feature of the past moves. Nothing is written.",
            show=show_check,
        )  # fmt: skip
    is_help = args[:1] in (["-h"], ["--help"])
    print(USAGE, end="", file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2


def list_schemas(settings: ListSettings) -> dict[str, Any]:
    """Every schema as plain data."""
    names = list(SCHEMAS) if settings.schema_name is None else [settings.schema_name]
    return {"schemas": [_describe(SCHEMAS[name]) for name in names]}


def _describe(schema: FeatureSchema) -> dict[str, Any]:
    columns = [
        {"index": i, "name": c.name, "formula": c.formula, "unit": c.unit, "missing": c.missing}
        for i, c in enumerate(schema.table)
    ]
    fields = type(schema.settings).model_fields
    params = [
        {"name": name, "value": value, "meaning": fields[name].description} for name, value in schema.params.items()
    ]
    return {"name": schema.name, "hash": schema.hash, "params": params, "columns": columns}


def show_schemas(result: dict[str, Any]) -> str:
    """Two tables per schema: its columns, then its parameters."""
    parts = []
    for schema in result["schemas"]:
        rows = [[c["index"], c["name"], c["formula"], c["unit"], c["missing"]] for c in schema["columns"]]
        settings = [[p["name"], str(p["value"]), p["meaning"]] for p in schema["params"]]
        params = table(settings, ["parameter", "default", "meaning"])
        parts.append(
            f"{schema['name']}  ({len(rows)} features, hash {schema['hash'][:12]})\n"
            f"{table(rows, ['#', 'name', 'formula', 'unit', 'where missing'])}\n\n{params}"
        )
    return "\n\n".join(parts)


def check(settings: CheckSettings) -> dict[str, Any]:
    """Check the schema on the recording's first windows.

    Raises:
        LookAhead: names the columns that looked ahead.
        BadRecording: no market to check on.
    """
    from mlx_rl.features.lookahead import check_schema
    from observer.store.reader import Recording

    schema_for(settings.schema_name)  # an unknown name is refused before any data is read
    recording = Recording(settings.data_dir)
    tapes = list(islice(recording.tapes(settings.series), settings.windows))
    ticks = sum(len(tape) for tape in tapes)
    if ticks == 0:
        raise BadRecording(
            f"{settings.data_dir} holds no tick" + (f" of series {settings.series}" if settings.series else "") + "."
        )
    checked, leaks = [], []
    references = ("underlying", "own_mid") if settings.reference == "both" else (settings.reference,)
    for reference in references:
        schema = schema_for(settings.schema_name, reference=reference)
        say(f"checking {schema.name} ({reference}) on {len(tapes)} windows, {ticks} ticks, {settings.cuts} moments")
        leaks += [(reference, leak) for leak in check_schema(schema, tapes, cuts=settings.cuts, seed=settings.seed)]
        checked.append({"name": schema.name, "reference": reference, "hash": schema.hash, "columns": len(schema)})
    if leaks:
        told = "; ".join(
            f"{leak.column} ({reference}) moved when the future was {leak.change}, first at tick {leak.tick} of "
            f"{leak.market_id}"
            for reference, leak in leaks
        )
        raise LookAhead(f"{settings.schema_name} looks ahead: {told}. Do not train or trade with it.")
    return {
        "schema": settings.schema_name,
        "clean": True,
        "checked": checked,
        "windows": len(tapes),
        "ticks": ticks,
        "cuts": settings.cuts,
        "dataset_id": recording.dataset_id,
    }


def show_check(result: dict[str, Any]) -> str:
    """One line per checked variant."""
    rows = [[c["name"], c["reference"], c["columns"], "clean", c["hash"][:12]] for c in result["checked"]]
    return (
        table(rows, ["schema", "reference", "features", "look-ahead", "hash"])
        + f"\n{result['windows']} windows, {result['ticks']} ticks, {result['cuts']} moments each"
    )

"""`mlx-rl import FORMAT --from DIR --data-dir DIR`: bring a recording made by others into a store."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import BaseModel, ConfigDict, Field

from observer.importers import IMPORTERS
from observer.kit.cli import run_command
from observer.kit.console import table

ABOUT = (
    "Bring a recording made by others into the store, refusing and counting what is wrong. Nothing is repaired, and "
    "the source is not changed. Nothing is added unless all of it was read; importing the same again changes nothing."
    f"\n\nFormats: {', '.join(IMPORTERS)}. Example: mlx-rl import {next(iter(IMPORTERS))} --from DIR --data-dir data"
)


class ImportSettings(BaseModel):
    """What to import, from where, into which recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(description="how the source was recorded; may be given first, without the flag")
    from_dir: Annotated[Path, tyro.conf.arg(name="from", aliases=("--from-dir",))] = Field(
        description="folder that holds the source's files; only read"
    )
    data_dir: Path = Field(
        default=Path("data"), description="folder of the recording to add to; made if it does not exist"
    )


def work(settings: ImportSettings) -> dict[str, Any]:
    """Do the import."""
    from observer.importers.job import bring_in

    return bring_in(settings.format, settings.from_dir, settings.data_dir)


def show(result: dict[str, Any]) -> str:
    """The short table for a person."""
    report = result["report"]
    kinds = sorted(report["seen"])
    refused = {kind: sum(r["count"] for r in report["refused"] if r["kind"] == kind) for kind in kinds}
    rows = [[kind, report["seen"][kind], report["kept"].get(kind, 0), refused[kind]] for kind in kinds]
    parts = [table(rows, ["record", "seen", "kept", "refused"])]
    if report["refused"]:
        why = [[r["kind"], r["reason"], r["count"], len(r["where"])] for r in report["refused"]]
        parts.append(table(why, ["record", "refused because", "count", "places"]))
    if report["gaps"]:
        parts.append(table(list(map(list, report["gaps"].items())), ["gap because", "spans"]))
    parts.append(f"missing quotes (NaN) in kept ticks: {report['missing_quotes']}")
    if result["changed"]:
        parts.append(
            f"added {result['new_tapes']} windows with {result['new_ticks']} ticks to {result['data_dir']}"
            + (f"; {result['unchanged_tapes']} were already there" if result["unchanged_tapes"] else "")
        )
    else:
        parts.append(f"nothing new: all of it is already in {result['data_dir']}, unchanged")
    parts.append(f"dataset {result['dataset_id']}")
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door; the format may stand first, as in `mlx-rl import FORMAT`."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args and not args[0].startswith("-"):
        args = ["--format", *args]
    return run_command(ImportSettings, work, args, prog="mlx-rl import", about=ABOUT, show=show)


if __name__ == "__main__":
    sys.exit(main())

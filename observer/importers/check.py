"""What every importer must pass: it adds up, repeats itself, leaves its source alone and leaks nothing."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from observer.importers.job import ImportDir, run_import
from observer.kit.errors import ToolkitError, UsageError
from observer.store.files import sha256_of
from observer.store.reader import Recording
from observer.store.verify import verify


class ContractBroken(ToolkitError):
    """An importer does not do what every importer owes."""


def check_importer(import_dir: ImportDir, source: Path, scratch: Path) -> None:
    """Run an importer over a folder of its format.

    Args:
        import_dir: the importer.
        source: a recording in its format, with at least one lawful record.
        scratch: an empty folder for what the check writes.

    Raises:
        ContractBroken: naming the rule it breaks.
    """
    before = dict(_hashes(source))
    first = run_import(import_dir, "check", source, scratch / "first")
    written = dict(_hashes(scratch / "first"))
    again = run_import(import_dir, "check", source, scratch / "first")
    elsewhere = run_import(import_dir, "check", source, scratch / "second")
    recording = Recording(scratch / "first")
    report = first["report"]
    for kind, seen in report["seen"].items():
        refused = sum(row["count"] for row in report["refused"] if row["kind"] == kind)
        kept = report["kept"].get(kind, 0)
        _require(seen == kept + refused, f"saw {seen} {kind} records, but kept {kept} and refused {refused}")
    stored = sum(len(tape) for tape in recording.tapes())
    _require(report["kept"].get("tick", 0) == stored, f"says it kept other than the {stored} ticks that are stored")
    _require(dict(_hashes(source)) == before, "changes its source")
    _require(not again["changed"] and dict(_hashes(scratch / "first")) == written, "changes something the second time")
    _require(elsewhere["dataset_id"] == first["dataset_id"], "gives another dataset elsewhere")
    _require(first["new_items"] > 0, "imports nothing")
    _require(not verify(scratch / "first").problems, "leaves a recording that does not verify")
    _check_as_of(recording)
    (scratch / "empty").mkdir()
    with suppress(UsageError):
        run_import(import_dir, "check", scratch / "empty", scratch / "third")
        raise ContractBroken("the importer takes an empty folder for a recording")


def _check_as_of(recording: Recording) -> None:
    """At its first, middle and last tick, a market shows what had arrived and nothing else."""
    for market in recording.markets()[:20]:
        tape = recording.tape(market.market_id)
        for now_ns in tape.recv_ns[[0, len(tape) // 2, -1]].tolist():
            seen = recording.as_of(market.market_id, now_ns)
            _require(int(seen.recv_ns[-1]) == now_ns, f"market {market.market_id} shows other than what had arrived")
            _require(
                np.array_equal(seen.rows, tape.rows[: len(seen)], equal_nan=True), "changes the past with the future"
            )


def _hashes(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path, sha256_of(path)


def _require(holds: bool, broken: str) -> None:
    if not holds:
        raise ContractBroken(f"the importer {broken}")

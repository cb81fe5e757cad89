"""Run the project's proofs: `python scripts/prove.py --list`, `python scripts/prove.py NAME [--json]`.

A proof prints its figure and the bar, and exits 0 only if the promise holds and its control fails. One that this
machine cannot run says what is missing and claims nothing: `holds` is null, and `--all` goes on without it.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from observer.kit.console import finite, say, table
from scripts.proofs import Measurement, NotRunHere
from scripts.proofs.table import ALONE, PROOFS, promise


def prove(name: str) -> dict[str, Any]:
    """Measure one proof and its control; `holds` needs both to come out as they must."""
    proof = PROOFS[name]
    started = time.monotonic()
    is_run = True
    try:
        found, control = proof.measure(), proof.control()
    except NotRunHere as error:
        is_run = False
        found = control = Measurement(math.nan, math.nan, "", holds=False, detail={"not_run": str(error)})
    except Exception as error:  # noqa: BLE001 - whatever stops a proof, the promise is not proven; the others go on
        found = control = Measurement(math.nan, math.nan, "", holds=False, detail={"error": repr(error)})
    detail = {**found.detail, "control": {"value": control.value, "holds": control.holds, **control.detail}}
    return {
        "name": name,
        "value": found.value,
        "bar": found.bar,
        "unit": found.unit,
        "holds": found.holds and not control.holds if is_run else None,
        "detail": detail,
        "seconds": round(time.monotonic() - started, 2),
    }


def main() -> int:
    """Parse the flags, run what was asked for, and return the exit code."""
    flags = argparse.ArgumentParser(prog="prove.py", description="Run a proof. Nothing is sent, nothing is kept.")
    flags.add_argument("name", nargs="?", help="which proof")
    flags.add_argument("--list", action="store_true", help="name every proof and what it promises")
    flags.add_argument("--all", action="store_true", help="run every proof, one after the other")
    flags.add_argument("--json", action="store_true", help="print one JSON object (a list with --all)")
    asked = flags.parse_args()
    if asked.list:
        print(table([(name, promise(name)) for name in PROOFS], ("proof", "promise")))
        return 0
    if asked.all == (asked.name is not None):
        flags.error("name one proof, or pass --all or --list")
    if asked.name is not None and asked.name not in PROOFS:
        flags.error(f"no proof is called {asked.name!r}; --list shows them")
    results: list[dict[str, Any]] = []
    if asked.all:
        say(f"left out, because they take too long beside the others; run them by name: {', '.join(ALONE)}")
    for name in (n for n in PROOFS if n not in ALONE) if asked.all else [asked.name]:
        say(f"proving {name}: {promise(name)}")
        results.append(finite(prove(name)))
        if not asked.json:
            print(_line(results[-1]), flush=True)
    if asked.json:
        print(json.dumps(results if asked.all else results[0], indent=2))
    held = [result["holds"] is not False if asked.all else result["holds"] is True for result in results]
    return 0 if all(held) else 1


def _line(result: dict[str, Any]) -> str:
    word = "holds" if result["holds"] else "FAILS"
    name, value, bar, unit = result["name"], result["value"], result["bar"], result["unit"]
    if "not_run" in result["detail"]:
        return f"NOT RUN  {name}: {result['detail']['not_run']}"
    if "error" in result["detail"]:
        return f"{word}  {name}: stopped by {result['detail']['error']}"
    return f"{word}  {name}: {value:.6g} {unit} (bar {bar:.6g}), {result['seconds']:.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())

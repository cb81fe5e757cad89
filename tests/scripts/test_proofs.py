"""The proofs' table, files and page agree, and a proof holds only if its control does not."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import prove
from scripts.proofs import Measurement, NotRunHere
from scripts.proofs.table import ALONE, PROOFS, promise

ROOT = Path(__file__).resolve().parents[2]
FILES = {p.stem for p in (ROOT / "scripts" / "proofs").glob("*.py")} - {"__init__", "table"}


def test_folder_and_table_agree() -> None:
    assert set(PROOFS) == FILES
    assert set(ALONE) <= FILES


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_proof_has_a_promise_a_measure_and_a_control(name: str) -> None:
    module = importlib.import_module(f"scripts.proofs.{name}")

    assert promise(name)
    assert module.measure.__doc__
    assert module.control.__doc__


def test_the_page_is_what_the_proofs_say() -> None:
    done = subprocess.run([sys.executable, "scripts/docs_proofs.py", "--check"], cwd=ROOT, check=False)

    assert done.returncode == 0


@pytest.mark.parametrize(
    ("measured", "controlled", "holds"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_proof_whose_control_holds_does_not_hold(
    measured: bool, controlled: bool, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = SimpleNamespace(
        measure=lambda: Measurement(1.0, 1.0, "x", measured), control=lambda: Measurement(0.0, 1.0, "x", controlled)
    )
    monkeypatch.setattr(prove, "PROOFS", {"fake": fake})

    result = prove.prove("fake")

    assert result["holds"] is holds
    assert list(result) == ["name", "value", "bar", "unit", "holds", "detail", "seconds"]
    json.dumps(result)


def test_a_proof_that_cannot_run_here_claims_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure() -> Measurement:
        raise NotRunHere("needs root")

    fake = SimpleNamespace(measure=measure, control=measure)
    monkeypatch.setattr(prove, "PROOFS", {"fake": fake})
    monkeypatch.setattr(prove, "promise", lambda name: name)
    exits = []
    for asked in ("fake", "--all"):
        monkeypatch.setattr(sys, "argv", ["prove.py", asked])
        exits.append(prove.main())

    assert prove.prove("fake")["holds"] is None
    assert exits == [1, 0]
    assert capsys.readouterr().out.splitlines() == ["NOT RUN  fake: needs root"] * 2


def test_an_unknown_proof_is_misuse() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/prove.py", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "no proof is called 'nonsense'" in done.stderr

"""Every refusal of bad recordings, bad training input and bad model folders is reached by a test of its message.

Measured, not listed: the tests of the refusing packages run under a line tracer, and every `raise` of one of our
own errors there must have been executed; and every `pytest.raises` of such an error must match on the message.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.proofs import Measurement

ROOT = Path(__file__).resolve().parents[2]
REFUSING = (
    "observer/store", "observer/compact", "observer/s3", "observer/importers", "mlx_rl/datasets", "mlx_rl/models",
    "mlx_rl/artifact", "mlx_rl/training", "export",
)  # fmt: skip
TESTS = (
    "tests/observer/store", "tests/observer/importers", "tests/observer/compact", "tests/observer/s3",
    "tests/observer/cli", "tests/mlx_rl/datasets", "tests/mlx_rl/models", "tests/mlx_rl/artifact",
    "tests/mlx_rl/training", "tests/export",
)  # fmt: skip
ERRORS = {"BadRecording", "BadArtifact", "SchemaMismatch", "UsageError", "NotFinite", "ToolkitError"}


def measure() -> Measurement:
    """Trace the refusing packages' tests and count the refusals they reach."""
    return _reached(TESTS)


def control() -> Measurement:
    """The same without the exporter's tests: its refusals go unread, so the promise must not hold."""
    return _reached(tuple(t for t in TESTS if t != "tests/export"))


def _reached(tests: tuple[str, ...]) -> Measurement:
    refusals = _refusals()
    executed = _trace(tests)
    unread = sorted(f"{file}:{line}" for file, line in refusals if line not in executed.get(file, set()))
    silent = _without_message(tests)
    share = 1 - len(unread) / len(refusals)
    return Measurement(
        value=share,
        bar=1.0,
        unit="share of refusals tested",
        holds=not unread and not silent,
        detail={"refusals": len(refusals), "never_reached": unread, "tests_that_ignore_the_message": silent},
    )


def _refusals() -> set[tuple[str, int]]:
    """(file, line) of every `raise OurError(...)` in the refusing packages."""
    found: set[tuple[str, int]] = set()
    for folder in REFUSING:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) in ERRORS:
                    found.add((str(path.relative_to(ROOT)), node.lineno))
    return found


def _without_message(tests: tuple[str, ...]) -> list[str]:
    """Places where a test expects one of our errors without reading what it says."""
    found: list[str] = []
    for folder in tests:
        for path in (ROOT / folder).rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and _name(node.func) == "raises" and node.args):
                    continue
                expected = node.args[0].elts if isinstance(node.args[0], ast.Tuple) else [node.args[0]]
                is_ours = any(_name(error) in ERRORS for error in expected)
                if is_ours and not any(k.arg == "match" for k in node.keywords):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _trace(tests: tuple[str, ...]) -> dict[str, set[int]]:
    """Run the tests under coverage and return the executed lines of each file."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "lines.json"
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "data")}
        cover = [sys.executable, "-m", "coverage"]
        source = f"--source={','.join(REFUSING)}"
        run = [*cover, "run", source, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]
        done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the refusals' own tests fail:\n{done.stdout[-2000:]}")
        subprocess.run([*cover, "json", "-q", "-o", str(report)], cwd=ROOT, env=environment, check=True)
        files = json.loads(report.read_text())["files"]
    return {name: set(lines["executed_lines"]) for name, lines in files.items()}

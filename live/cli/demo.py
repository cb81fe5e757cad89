"""`mlx-rl demo`: markets recorded, two models trained, judged, exported, certified and traded on paper."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.console import finite
from observer.kit.errors import UsageError

ABOUT = "Do the whole job on bundled data and write a report. No orders are sent."
MARK = ".mlx-rl-demo"  # only a folder that a demo made is ever cleared


class DemoSettings(BaseModel):
    """Where the demo goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Path = Field(default=Path("demo"), description="folder to write; an earlier demo in it is replaced")


def demo(settings: DemoSettings) -> dict[str, Any]:
    """Run every step and write `summary.json` and `report.html`.

    Raises:
        UsageError: the folder holds something that no demo made.
        ToolkitError: a step failed.
    """
    from live.demo import steps
    from live.demo.report import write_report
    from live.demo.summary import summarise

    started = time.monotonic()
    root = settings.output
    _clear(root)
    run = steps.Demo(root)
    steps.record(run)
    steps.learn(run)
    steps.carry(run)
    steps.trade(run)
    shares = steps.shares(run)
    summary = finite(summarise(run, shares, time.monotonic() - started) | {"report": str(root / "report.html")})
    (root / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    pages = {"spike: there is something to find": root / "spike.html", "Six real windows": root / "real.html"}
    write_report(root / "report.html", summary, pages)
    return summary


def _clear(root: Path) -> None:
    if root.exists() and any(root.iterdir()) and not (root / MARK).exists():
        raise UsageError(f"{root} holds files that no demo made. Pass --output with another folder.")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / MARK).touch()


def show(result: dict[str, Any]) -> str:
    """The ten lines."""
    from live.demo.summary import ten_lines

    return ten_lines(result)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    return run_command(DemoSettings, demo, argv, prog="mlx-rl demo", about=ABOUT, show=show)

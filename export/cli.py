"""The door that carries a model: `mlx-rl export`, `python scripts/export_mlx_to_pytorch.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.console import table
from observer.kit.errors import UsageError

ABOUT = (
    "Carry a trained model from MLX to PyTorch and NumPy and certify that all of them decide the same. "
    "Nothing is written unless they do, and an existing folder is never overwritten."
)
FAR = ("encoded", "logits", "value", "forecast", "attention")


class ExportSettings(BaseModel):
    """What to export, or which export to check again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Path | None = Field(default=None, description="model folder that training saved")
    output: Path | None = Field(default=None, description="folder to make, e.g. ./models/x_torch")
    onnx: bool = Field(default=False, description="write model.onnx too, and certify it")
    data_dir: Path | None = Field(
        default=None, description="a recording whose states are compared besides the golden ones"
    )
    verify: Path | None = Field(
        default=None, description="exported folder whose certificate is made again and compared"
    )


def work(settings: ExportSettings) -> dict[str, Any]:
    """Export or verify, as the settings say.

    Raises:
        UsageError: neither an export nor a verification was asked for, or both.
    """
    s = settings
    if (s.verify is None) == (s.input is None) or (s.input is None) != (s.output is None):
        raise UsageError("give --input and --output to export a model, or --verify FOLDER to check an exported one.")
    if s.verify is not None and s.onnx:
        raise UsageError("--onnx writes a file and --verify writes nothing. Export again with --onnx.")
    from export.to_torch import export, verify

    if s.input is not None and s.output is not None:
        return {**export(s.input, s.output, onnx=s.onnx, data_dir=s.data_dir), "folder": str(s.output)}
    folder = Path(str(s.verify))
    return {**verify(folder, s.data_dir), "folder": str(folder)}


def show(result: dict[str, Any]) -> str:
    """The largest differences of each runtime, its speed, and the verdict."""
    rows: list[list[Any]] = []
    for name in result["runtimes"]:
        speed = result["latency"][name]
        theirs = [row for row in result["differences"] if row["runtime"] == name]
        gaps = [[row[key] for row in theirs if row[key] is not None] for key in FAR]
        shown = [f"{max(gap):.1e}" if gap else "-" for gap in gaps]
        rows.append([name, *shown, speed["p50_us"], speed["p99_us"]])
    counts, decisions = result["probes"], result["decisions"]
    lines = [
        table(rows, ["runtime", *FAR, "p50 us", "p99 us"]),
        "",
        f"largest difference {result['max_abs']:.1e} (bar {result['bar']['max_abs']:g}) on "
        f"{', '.join(f'{n} {name}' for name, n in counts.items())} states",
        f"decisions {decisions['compared']:,}: {decisions['flips_outside_margin']} flips, "
        f"{decisions['within_margin']} close calls of which {decisions['flips_within_margin']} flipped",
        *(f"not compared: {name} ({why})" for name, why in result["not_compared"].items()),
    ]
    if "certified" in result:
        then = result["certified"]
        lines.append(f"certified {then['created']} at {then['max_abs']:.1e} with {', '.join(then['runtimes'])}")
    lines.append(f"PASSED {result['folder']}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    return run_command(ExportSettings, work, argv, prog="mlx-rl export", about=ABOUT, show=show)

"""The door of comparison: two models, the same windows, one verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mlx_rl.cli.unseen import JudgeFlags, trade_unseen
from observer.kit.cli import run_command

ABOUT = (
    "Compare two models on the same recorded windows, which neither has seen. No orders are sent, and nothing but the "
    "report and the log of test openings is written."
)


class CompareSettings(JudgeFlags):
    """Which two models, on which windows."""

    base_model: Path = Field(description="model folder to be compared with")
    transformer_model: Path = Field(description="model folder whose advantage is asked for; any architecture")
    data_dir: Path = Field(default=Path("data"), description="the recording: a folder, or s3://BUCKET/PREFIX")
    test_days: float = Field(
        default=7.0, gt=0, description="days at the recording's end to judge, as far as they are unseen"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(CompareSettings, compare, argv, prog="compare_models.py", about=ABOUT, show=show)


def compare(settings: CompareSettings) -> dict[str, Any]:
    """Trade the windows with both, compare them, judge each, write the page if asked.

    Raises:
        UsageError: no window to judge, or one model named twice.
        BadArtifact: a model folder is damaged.
    """
    from mlx_rl.cli.opened import open_models, trained_on
    from mlx_rl.evaluation.assess import assess
    from mlx_rl.evaluation.contrast import contrast

    models = open_models([settings.transformer_model, settings.base_model])
    who = f"compare {settings.transformer_model} {settings.base_model}"
    runs, opening, notes = trade_unseen(settings, settings.data_dir, models, who=who, last_days=settings.test_days)
    ours, theirs = (m.name for m in models)
    judged = {
        name: assess(runs, name, margin_usd_per_share=settings.margin, seed=settings.seed) for name in (ours, theirs)
    }
    warnings = list(dict.fromkeys(notes + judged[ours]["warnings"] + judged[theirs]["warnings"]))
    result = {
        "comparison": contrast(runs, ours, theirs, margin_usd_per_share=settings.margin, seed=settings.seed),
        "windows": {**judged[ours]["windows"], "test_opening": opening},
        "law": judged[ours]["law"],
        "warnings": warnings,
        "trained_on": trained_on(models),
        "models": judged,
        "html": None if settings.html is None else str(settings.html),
    }
    if settings.html is not None:
        from mlx_rl.evaluation.report.html import write_comparison

        write_comparison(settings.html, result, runs)
    return result


def show(result: dict[str, Any]) -> str:
    """The short table."""
    from mlx_rl.evaluation.report.text import show_comparison

    page = "" if result["html"] is None else f"\n\nPictures: {result['html']}"
    return show_comparison(result) + page

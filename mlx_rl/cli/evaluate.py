"""The door of judgement: one model, windows it has not seen, every baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mlx_rl.cli.unseen import JudgeFlags, trade_unseen
from observer.kit.cli import run_command

ABOUT = (
    "Judge a model on recorded windows it has not seen, against every baseline. No orders are sent, and nothing but "
    "the report and the log of test openings is written."
)


class EvaluateSettings(JudgeFlags):
    """Which model, on which windows."""

    model: Path = Field(description="model folder")
    test_data: Path = Field(default=Path("data"), description="the recording: a folder, or s3://BUCKET/PREFIX")
    compare_with: Path | None = Field(
        default=None, description="a second model folder to compare it with, paired by window"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(EvaluateSettings, evaluate, argv, prog="evaluate_model.py", about=ABOUT, show=show)


def evaluate(settings: EvaluateSettings) -> dict[str, Any]:
    """Trade the windows, judge, write the page if asked.

    Raises:
        UsageError: no window to judge.
        BadArtifact: a model folder is damaged.
    """
    from mlx_rl.cli.opened import open_models, trained_on
    from mlx_rl.evaluation.assess import assess
    from mlx_rl.evaluation.contrast import contrast

    paths = [settings.model, *([] if settings.compare_with is None else [settings.compare_with])]
    models = open_models(paths)
    who = f"evaluate {settings.model}"
    runs, opening, notes = trade_unseen(settings, settings.test_data, models, who=who)
    names = [m.name for m in models]
    result = assess(runs, names[0], margin_usd_per_share=settings.margin, seed=settings.seed)
    result["warnings"] = notes + result["warnings"]
    result["windows"]["test_opening"] = opening
    result["trained_on"] = trained_on(models)
    result["comparison"] = None
    if settings.compare_with is not None:
        result["comparison"] = contrast(runs, *names, margin_usd_per_share=settings.margin, seed=settings.seed)
    result["html"] = None if settings.html is None else str(settings.html)
    if settings.html is not None:
        from mlx_rl.evaluation.report.html import write_evaluation

        write_evaluation(settings.html, result, runs)
    return result


def show(result: dict[str, Any]) -> str:
    """The short table."""
    from mlx_rl.evaluation.report.text import show_evaluation

    page = "" if result["html"] is None else f"\n\nPictures: {result['html']}"
    return show_evaluation(result) + page

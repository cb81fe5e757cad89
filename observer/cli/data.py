"""`mlx-rl data report|verify|du|rebuild`: what a recording holds and takes, and whether it is what was written."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.console import say, table
from observer.kit.errors import BadRecording

USAGE = """usage: mlx-rl data report [--data-dir DIR] [--html FILE] [--json]
       mlx-rl data verify [--data-dir DIR] [--json]
       mlx-rl data du [--data-dir DIR] [--usd-per-gb-month USD] [--json]
       mlx-rl data rebuild --data-dir DIR --into DIR [--json]

report   print what a recording covers, what it lacks and what was refused
verify   hash every file again and name the damaged ones; exit 1 if there are any
du       print how many bytes it takes, by table and market-day, and what a month costs on S3
rebuild  read its raw frames again, by today's decoders, into another folder

The recording is not changed. `mlx-rl data report --help` tells the flags.
"""
_WORST = 20


class ReportSettings(BaseModel):
    """Which recording to report on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("data"), description="folder of the recording; only read")
    html: Path | None = Field(default=None, description="also write a page with pictures to this file")


class VerifySettings(BaseModel):
    """Which recording to verify."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("data"), description="folder of the recording; only read")


def report(settings: ReportSettings) -> dict[str, Any]:
    """Read the recording once and describe it."""
    from observer.compact.report import recorder_report
    from observer.store import coverage
    from observer.store.manifest import INDEX
    from observer.store.reader import Recording

    recorder = recorder_report(settings.data_dir)
    if recorder is not None and not (settings.data_dir / INDEX).exists():
        result = coverage.nothing(settings.data_dir)
    else:
        result = coverage.report(Recording(settings.data_dir))
    result["recorder"] = recorder
    if settings.html is not None:
        from observer.cli.coverage_page import page

        settings.html.parent.mkdir(parents=True, exist_ok=True)
        settings.html.write_text(page(result))
        say(f"wrote {settings.html}")
    return result


def verify(settings: VerifySettings) -> dict[str, Any]:
    """Check every byte; raises `BadRecording`, naming the damaged files, where any is not as it was written."""
    from observer.store.verify import verify as check

    verdict = check(settings.data_dir)
    if verdict.problems:
        lines = "\n".join(f"  {problem.path}: {problem.what}" for problem in verdict.problems)
        raise BadRecording(
            f"{settings.data_dir}: {len(verdict.problems)} of {verdict.files} files are not as written.\n{lines}\n"
            "Restore them from a copy, or import the source again into a new data folder."
        )
    return {"data_dir": str(settings.data_dir), **asdict(verdict)}


def show_report(result: dict[str, Any]) -> str:
    """Tables by series, by reason of refusal, and by market."""
    parts = [
        f"{result['markets_total']} markets, {result['ticks_total']} ticks in {result['data_dir']}\n"
        f"dataset {result['dataset_id']}",
        table([_series_row(row) for row in result["series"]], _SERIES_HEADER),
    ]
    if result["references"]:
        parts.append("reference feeds: " + ", ".join(f"{r['symbol']} {r['source']}" for r in result["references"]))
    refused = [
        [log["importer"], row["kind"], row["reason"], row["count"], len(row["where"])]
        for log in result["imports"]
        for row in log["refused"]
    ]
    parts.append(table(refused, ["import", "record", "refused because", "count", "places"]) if refused else "")
    if result["gaps_by_reason"]:
        parts.append(table(list(map(list, result["gaps_by_reason"].items())), ["gap because", "spans"]))
    worst = sorted(result["markets"], key=lambda market: (market["covered_frac"], market["market_id"]))[:_WORST]
    few = len(worst) < result["markets_total"]
    parts.append(
        (f"the {_WORST} markets with the least coverage (all of them: --json)\n" if few else "")
        + table([_market_row(market) for market in worst], _MARKET_HEADER)
    )
    if result["recorder"] is not None:
        parts += _recorder_parts(result["recorder"])
    return "\n\n".join(part for part in parts if part)


def _recorder_parts(found: dict[str, Any]) -> list[str]:
    """What the live recorder adds: one table a question, none where there is nothing to tell."""
    from observer.cli.coverage_page import RECORDED

    late = f"p50 {found['late_ms_p50']:.3g} ms, p99 {found['late_ms_p99']:.3g} ms, max {found['late_ms_max']:.3g} ms"
    parts = [
        f"recorded live from {found['first']} to {found['last']}: {found['ticks']} ticks of the grid, late by {late}; "
        f"{found['clock_steps']} steps of the wall clock",
        table([[_shown(name, row[name]) for name in RECORDED] for row in found["venues"]], list(RECORDED.values())),
    ]
    for rows, header in (
        (found["refused"], ["venue", "frame refused because", "frames"]),
        (found["closed"], ["venue", "connection closed because", "times"]),
        (found["gaps"], ["venue", "book unknown because", "spans", "seconds"]),
        (found["dropped"], ["not written", "because", "rows"]),
    ):
        parts.append(table([list(row.values()) for row in rows], header) if rows else "")
    return parts


def _shown(name: str, value: Any) -> Any:
    return _percent(value) if name.endswith("_frac") else value


def show_verdict(result: dict[str, Any]) -> str:
    """One line: all is well; a second one where files are kept elsewhere."""
    text = f"{result['data_dir']}: {result['files']} files, {result['bytes']} bytes, every one as it was written"
    if result["in_s3_files"]:
        text += (
            f"\n{result['in_s3_files']} files, {result['in_s3_bytes']} bytes, of raw frames and events are kept in S3 "
            f"only and were not looked at: mlx-rl sync {' or '.join(result['in_s3'])} OTHER_DIR"
        )
    return text


_SERIES_HEADER = (
    "series", "markets", "ticks", "first open", "last open", "spacing s", "covered", "missing quotes", "referenced",
    "gaps", "official", "inferred", "synthetic", "no outcome",
)  # fmt: skip
_MARKET_HEADER = ("market", "open", "ticks", "spacing s", "covered", "missing quotes", "mid range", "gaps", "outcome")


def _series_row(row: dict[str, Any]) -> list[Any]:
    return [
        row["series"], row["markets"], row["ticks"], row["first"][:16], row["last"][:16], row["spacing_s"],
        _percent(row["covered_frac"]), _percent(row["missing_frac"]), _percent(row["referenced_frac"]), row["gaps"],
        row["official"], row["inferred"], row["synthetic"], row["none"],
    ]  # fmt: skip


def _market_row(row: dict[str, Any]) -> list[Any]:
    return [
        row["market_id"], row["open"][:16], row["ticks"], row["spacing_s"], _percent(row["covered_frac"]),
        _percent(row["missing_frac"]), f"{row['mid_low']:.3f}-{row['mid_high']:.3f}", row["gaps"], row["outcome"],
    ]  # fmt: skip


def _percent(share: float) -> str:
    return f"{share:.1%}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that is named first."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["report"]:
        about = "Print what a recording covers, what it lacks and what was refused. Nothing is changed."
        return run_command(ReportSettings, report, args[1:], prog="mlx-rl data report", about=about, show=show_report)
    if args[:1] == ["verify"]:
        about = "Hash every file of a recording again; exit 1 and name those that differ. Nothing is changed."
        return run_command(VerifySettings, verify, args[1:], prog="mlx-rl data verify", about=about, show=show_verdict)
    if args[:1] == ["du"]:
        from observer.cli import du

        return run_command(du.UsageSettings, du.work, args[1:], prog="mlx-rl data du", about=du.ABOUT, show=du.show)
    if args[:1] == ["rebuild"]:
        from observer.cli import rebuild as again

        return run_command(
            again.RebuildSettings,
            again.rebuild,
            args[1:],
            prog="mlx-rl data rebuild",
            about=again.ABOUT,
            show=again.show,
        )
    asked = args[:1] in (["-h"], ["--help"])
    print(USAGE, end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())

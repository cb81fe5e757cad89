"""What `evaluate` and `compare` share: the windows that the models have not seen, the law, the opening on record.

A window that opened before a model's training ended, or right after it, is no evidence. It is left out and counted,
or judged on request, and then the verdict is INVALID. In another recording of real markets the clock decides too:
the same quarter-hour is the same market, whoever recorded it. Synthetic markets differ from recording to recording.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.market.law import LONGEST_S, MOST_SHARES, FillAssumption, LawSettings
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import Market

if TYPE_CHECKING:
    from mlx_rl.cli.opened import Opened
    from mlx_rl.evaluation.runs import Runs

SEEN = "opened before the model's training ended or right after it"
DAY_NS = 86_400 * NS_PER_S


class JudgeFlags(BaseModel):
    """Flags of both judging doors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    market: str | None = Field(default=None, description="only these symbols (BTC,ETH) or series; None: all")
    size: float | None = Field(default=None, gt=0, le=MOST_SHARES, description="shares per position [as in training]")
    latency_s: float | None = Field(
        default=None, gt=0, le=LONGEST_S, description="seconds from decision to fill [as in training]"
    )
    fees: str | None = Field(
        default=None, description="'dated' for each market's own schedule, or a schedule's name [as in training]"
    )
    fills: FillAssumption | None = Field(
        default=None, description="the fill assumption of the verdict [as in training]"
    )
    margin: float = Field(
        default=0.01, gt=0, description="USD per share and window that do not matter; a loss below it is NOT WORSE"
    )
    random_traders: int = Field(default=20, ge=1, description="how many random traders imitate each model's turnover")
    include_seen: bool = Field(default=False, description="judge training windows too; the verdict is then INVALID")
    seed: int = Field(default=0, ge=0, description="of resampling and random traders")
    html: Path | None = Field(default=None, description="write the report with pictures to this file")


def trade_unseen(
    flags: JudgeFlags, data_dir: Path, models: "Sequence[Opened]", *, who: str, last_days: float | None = None
) -> tuple["Runs", int, list[str]]:
    """Let the models trade the windows of a recording that none of them has seen.

    Args:
        flags: what to judge, and under which law.
        data_dir: the recording, a folder or an address in a bucket.
        models: the first one's law is used where the flags do not say.
        who: for the log of test openings.
        last_days: keep only the last days of the recording.

    Returns:
        What happened, which opening of this recording's test windows this was (0 where it could not be logged),
        and sentences for the report.

    Raises:
        UsageError: no window is left to judge.
    """
    from mlx_rl.datasets.build import choose_markets
    from mlx_rl.datasets.reference import require_reference
    from mlx_rl.datasets.splits import open_test
    from mlx_rl.evaluation.exam import make_exam
    from mlx_rl.evaluation.join import join_runs
    from mlx_rl.evaluation.runs import run_all
    from mlx_rl.market.settlement import read_payoffs
    from observer.s3.cache import local_folder
    from observer.store.reader import Recording

    data_dir = local_folder(data_dir)
    recording = Recording(data_dir)
    everything = choose_markets(recording, flags.market)
    asked = _last_days(everything, last_days)
    by_part, n_seen = _sort_out(flags, models, asked, recording.dataset_id)
    if not by_part:
        raise UsageError(
            f"all {len(asked)} windows asked for {SEEN}. Record more, train on less, or pass --include-seen to look at "
            "them without a verdict."
        )
    law, notes = _law(flags, models)
    for parts, windows in by_part.items():
        for model, part in zip(models, parts, strict=True):
            require_reference(recording, windows, model.parts[part].candidate.policy.schema, model.name)
    payoffs = read_payoffs(data_dir)
    exams = {
        parts: make_exam(
            windows, recording.tape, payoffs.payoff_up, payoffs.kind, law, n_ticks=recording.n_ticks,
            everything=recording.markets(), dataset_id=recording.dataset_id,
        ) for parts, windows in by_part.items()
    }  # fmt: skip
    try:
        opening = open_test(data_dir, recording.dataset_id, who)
    except OSError as error:
        opening = 0
        notes.append(f"this opening of the test windows could not be logged beside the recording: {error}.")
    if opening > 1:
        notes.append(f"this is opening {opening} of this recording's test windows; every look is another trial.")
    if n_seen and not flags.include_seen:
        notes.append(f"{n_seen} of {len(asked)} windows are not judged: they {SEEN}.")
    notes += [
        f"{m.name} does not say which windows it was trained on; those it has seen cannot be told apart."
        for m in models if any(part.manifest.folds is None for part in m.parts)
    ]  # fmt: skip
    runs = join_runs([
        run_all(
            exam, [m.parts[part].candidate for m, part in zip(models, parts, strict=True)],
            random_traders=flags.random_traders, seed=flags.seed,
        ) for parts, exam in exams.items()
    ])  # fmt: skip
    if flags.include_seen and n_seen:
        runs.invalid = f"overlap: {n_seen} of {len(asked)} windows {SEEN}"
    return runs, opening, notes


def _sort_out(
    flags: JudgeFlags, models: "Sequence[Opened]", asked: list[Market], dataset_id: str
) -> tuple[dict[tuple[int, ...], list[Market]], int]:
    """The windows to judge by which part of each model trades them, and how many some model has seen."""
    by_part: dict[tuple[int, ...], list[Market]] = {}
    n_seen = 0
    for market in asked:
        chosen = [model.latest_unseen(market, dataset_id) for model in models]
        is_seen = None in chosen
        n_seen += is_seen
        if flags.include_seen or not is_seen:
            last = (len(m.parts) - 1 if part is None else part for m, part in zip(models, chosen, strict=True))
            by_part.setdefault(tuple(last), []).append(market)
    return by_part, n_seen


def _last_days(markets: list[Market], days: float | None) -> list[Market]:
    if days is None:
        return markets
    start_ns = max(m.close_ns for m in markets) - round(days * DAY_NS)
    return [m for m in markets if m.open_ns >= start_ns]


def _law(flags: JudgeFlags, models: "Sequence[Opened]") -> tuple[LawSettings, list[str]]:
    made_under = [LawSettings(**m.parts[-1].manifest.law) for m in models]
    asked: dict[str, Any] = {
        "size_shares": flags.size, "latency_s": flags.latency_s, "fees": flags.fees, "fills": flags.fills,
    }  # fmt: skip
    law = LawSettings(**{**made_under[0].model_dump(), **{k: v for k, v in asked.items() if v is not None}})
    return law, [
        f"{m.name} was trained under another money law: {_differences(theirs, law)}."
        for m, theirs in zip(models, made_under, strict=True) if theirs != law
    ]  # fmt: skip


def _differences(theirs: LawSettings, ours: LawSettings) -> str:
    a, b = theirs.model_dump(), ours.model_dump()
    return ", ".join(f"{key} {a[key]} (here {b[key]})" for key in a if a[key] != b[key])

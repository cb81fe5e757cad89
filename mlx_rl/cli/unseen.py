"""What `evaluate` and `compare` share: models opened, windows they have not seen, the law, the opening on record.

A window that opened before a model's training ended, or right after it, is no evidence. It is left out and counted,
or judged on request, and then the verdict is INVALID. In another recording of real markets the clock decides too:
the same quarter-hour is the same market, whoever recorded it. Synthetic markets differ from recording to recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mlx_rl.market.law import FillAssumption, LawSettings
from observer.kit.clock import NS_PER_S, iso
from observer.kit.errors import UsageError
from observer.records import Market

if TYPE_CHECKING:
    from mlx_rl.artifact.manifest import Manifest
    from mlx_rl.evaluation.runs import Candidate, Runs

SEEN = "opened before the model's training ended or right after it"
DAY_NS = 86_400 * NS_PER_S


class JudgeFlags(BaseModel):
    """Flags of both judging doors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: str | None = Field(default=None, description="only this symbol (BTC) or series; None: all")
    size: float | None = Field(default=None, gt=0, description="shares per position [as in training]")
    latency_s: float | None = Field(default=None, gt=0, description="seconds from decision to fill [as in training]")
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
    seed: int = Field(default=0, description="of resampling and random traders")
    html: Path | None = Field(default=None, description="write the report with pictures to this file")


@dataclass(frozen=True)
class Opened:
    """A model folder, opened."""

    candidate: "Candidate"
    manifest: "Manifest"

    @property
    def trained_until_ns(self) -> int | None:
        """Close of the last window it learnt from or was chosen by; None where the model does not say."""
        stated = self.manifest.metrics.get("trained_until_ns")
        return None if stated is None else int(stated)


def open_models(paths: Sequence[Path]) -> list[Opened]:
    """Open model folders, golden record and all; a second one of the same name is called by its path.

    Raises:
        BadArtifact: a folder is damaged or is no model.
        UsageError: a folder is named twice.
    """
    import math

    from mlx_rl.artifact.folder import load
    from mlx_rl.artifact.manifest import weight_shapes
    from mlx_rl.evaluation.runs import Candidate

    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"{paths[0]} is named twice. Compare two different model folders.")
    out: list[Opened] = []
    for path in paths:
        policy, manifest = load(path)
        if any(o.candidate.name == policy.name for o in out):
            policy.name = str(path)
        weights = sum(math.prod(shape) for shape in weight_shapes(manifest.architecture).values())
        out.append(Opened(Candidate(policy, weights), manifest))
    return out


def trade_unseen(
    flags: JudgeFlags, data_dir: Path, models: Sequence[Opened], *, who: str, last_days: float | None = None
) -> tuple["Runs", int, list[str]]:
    """Let the models trade the windows of a recording that none of them has seen.

    Args:
        flags: what to judge, and under which law.
        data_dir: the recording.
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
    from mlx_rl.evaluation.runs import run_all
    from mlx_rl.market.settlement import read_payoffs
    from observer.store.reader import Recording

    recording = Recording(data_dir)
    everything = choose_markets(recording, flags.market)
    asked = _last_days(everything, last_days)
    is_seen = {m.market_id for m in asked for model in models if _has_seen(model, m, recording.dataset_id)}
    wanted = asked if flags.include_seen else [m for m in asked if m.market_id not in is_seen]
    if not wanted:
        raise UsageError(
            f"all {len(asked)} windows asked for {SEEN}. Record more, train on less, or pass --include-seen to look at "
            "them without a verdict."
        )
    for model in models:
        require_reference(recording, wanted, model.candidate.policy.schema, model.candidate.name)
    payoffs = read_payoffs(data_dir)
    law, notes = _law(flags, models)
    exam = make_exam(
        wanted, recording.tape, payoffs.payoff_up, payoffs.kind, law, n_ticks=recording.n_ticks,
        everything=recording.markets(), dataset_id=recording.dataset_id,
    )  # fmt: skip
    try:
        opening = open_test(data_dir, recording.dataset_id, who)
    except OSError as error:
        opening = 0
        notes.append(f"this opening of the test windows could not be logged beside the recording: {error}.")
    if opening > 1:
        notes.append(f"this is opening {opening} of this recording's test windows; every look is another trial.")
    if is_seen and not flags.include_seen:
        notes.append(f"{len(is_seen)} of {len(asked)} windows are not judged: they {SEEN}.")
    notes += [
        f"{m.candidate.name} does not say until when it was trained; windows it has seen cannot be told apart."
        for m in models if m.trained_until_ns is None
    ]  # fmt: skip
    runs = run_all(exam, [m.candidate for m in models], random_traders=flags.random_traders, seed=flags.seed)
    if flags.include_seen and is_seen:
        runs.invalid = f"overlap: {len(is_seen)} of {len(asked)} windows {SEEN}"
    return runs, opening, notes


def _last_days(markets: list[Market], days: float | None) -> list[Market]:
    if days is None:
        return markets
    start_ns = max(m.close_ns for m in markets) - round(days * DAY_NS)
    return [m for m in markets if m.open_ns >= start_ns]


def _has_seen(model: Opened, market: Market, dataset_id: str) -> bool:
    until_ns = model.trained_until_ns
    is_same_market = model.manifest.dataset_id == dataset_id or market.venue != "synthetic"
    embargo_ns = market.close_ns - market.open_ns  # the window right after training leans on it
    return until_ns is not None and is_same_market and market.open_ns < until_ns + embargo_ns


def _law(flags: JudgeFlags, models: Sequence[Opened]) -> tuple[LawSettings, list[str]]:
    made_under = [LawSettings(**m.manifest.law) for m in models]
    asked: dict[str, Any] = {
        "size_shares": flags.size, "latency_s": flags.latency_s, "fees": flags.fees, "fills": flags.fills,
    }  # fmt: skip
    law = LawSettings(**{**made_under[0].model_dump(), **{k: v for k, v in asked.items() if v is not None}})
    return law, [
        f"{m.candidate.name} was trained under another money law: {_differences(theirs, law)}."
        for m, theirs in zip(models, made_under, strict=True) if theirs != law
    ]  # fmt: skip


def _differences(theirs: LawSettings, ours: LawSettings) -> str:
    a, b = theirs.model_dump(), ours.model_dump()
    return ", ".join(f"{key} {a[key]} (here {b[key]})" for key in a if a[key] != b[key])


def trained_until(models: Sequence[Opened]) -> dict[str, str | None]:
    """When each model's training data ended, ISO 8601 UTC, by name."""
    return {m.candidate.name: None if m.trained_until_ns is None else iso(m.trained_until_ns) for m in models}

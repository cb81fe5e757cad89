"""`run.py STRATEGY`, `mlx-rl run`: trade a recording on paper through the router, and say what came of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field

from live.cli.not_built import not_built
from mlx_rl.market.law import LONGEST_S, MOST_SHARES
from observer.kit.cli import run_command
from observer.kit.console import table

StrategyName = Literal[
    "rl-transformer", "rl", "hybrid", "random", "mean_revert", "momentum", "fade_spike", "gating", "fair_value"
]


class RunSettings(BaseModel):
    """What trades, on which recording, and within which limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    strategy: Annotated[StrategyName, tyro.conf.Positional] = Field(
        description="rl-transformer and rl trade an exported model, hybrid two by turns, the others a fixed rule"
    )
    load: Path | None = Field(
        default=None, description="exported model folder, e.g. ./models/tf_v1_torch; hybrid: first arm"
    )
    load_b: Path | None = Field(default=None, description="second arm's exported model folder (hybrid)")
    venue: Literal["replay"] = Field(default="replay", description="where ticks come from; replay: a recording")
    data_dir: Path = Field(default=Path("./data"), description="recording to replay")
    series: str | None = Field(default=None, description="only this rolling market family, e.g. btc-updown-15m")
    size: float = Field(
        default=50.0, gt=0, le=MOST_SHARES, description="shares per position; 50 shares win or lose 50 USD at most"
    )
    latency_s: float | None = Field(
        default=None, gt=0, le=LONGEST_S, description="seconds from decision to fill; none: the next tick"
    )
    fees: str = Field(default="dated", description="'dated' for each market's own fee schedule, or a schedule's name")
    fills: Literal["optimistic", "base", "pessimistic"] = Field(
        default="base", description="where unrecorded depth is assumed"
    )
    speed: float = Field(default=0.0, ge=0, description="times real time; 1 is as recorded, 0 as fast as it goes")
    ramp: float = Field(default=0.5, ge=0, le=1, description="second arm's share of windows (hybrid)")
    salt: str = Field(default="", description="changes which windows fall to which arm; the same salt repeats the draw")
    seed: int = Field(default=0, ge=0, description="seed of the random strategy")
    journal: Path | None = Field(default=None, description="file to write the journal to; it must not exist yet")
    fsync: Literal["orders", "always", "never"] = Field(
        default="orders", description="journal lines forced to disk at once"
    )
    max_position_shares: float | None = Field(default=None, gt=0, description="refuse positions above this, shares")
    max_exposure_usd: float | None = Field(
        default=None, gt=0, description="refuse opens above this cost of all positions, USD"
    )
    max_orders: int | None = Field(default=None, ge=1, description="refuse opens after this many orders in one window")
    max_loss_usd: float | None = Field(
        default=None, gt=0, description="only close positions from this session loss on, USD"
    )
    live: bool = Field(default=False, description="send real orders (not built yet)")
    train: bool = Field(default=False, description="learn while trading (not built yet)")
    dashboard: bool = Field(default=False, description="show a dashboard in the browser (not built yet)")


def run(settings: RunSettings) -> dict[str, Any]:
    """Trade every window of the recording on paper.

    Raises:
        NotBuilt: --live, --train or --dashboard.
    """
    if settings.live:
        raise not_built("--live", "Real orders need arming, which comes later. Leave the flag out to trade on paper.")
    if settings.train:
        raise not_built("--train", f"Train with `python offline_trainer.py --data-dir {settings.data_dir}` for now.")
    if settings.dashboard:
        raise not_built("--dashboard", "The terminal shows a table meanwhile; --journal keeps everything.")
    from live.arms import arms_of
    from live.risk import Limits
    from live.runner import PaperSettings, run_paper
    from mlx_rl.market.law import LawSettings

    law = LawSettings(size_shares=settings.size, latency_s=settings.latency_s, fees=settings.fees, fills=settings.fills)
    limits = Limits(**{name: getattr(settings, name) for name in Limits.model_fields})
    shared = {name: getattr(settings, name) for name in PaperSettings.model_fields if name in RunSettings.model_fields}
    arms = arms_of(settings.strategy, settings.load, settings.load_b, settings.seed)
    return {"strategy": settings.strategy} | run_paper(arms, PaperSettings(**shared, law=law, limits=limits))


def show(result: dict[str, Any]) -> str:
    """The short table of a finished session."""
    header = ("arm", "windows", "trades", "gross", "spread", "fees", "slippage", "net USD")
    keys = ("windows", "trades", "gross_usd", "spread_usd", "fees_usd", "slippage_usd", "net_usd")
    rows = [(name, *(arm[key] for key in keys)) for name, arm in result["arms"].items()]
    lines = [
        f"Paper: {result['strategy']}, {result['size_shares']:g} shares, {result['windows']} windows, "
        f"{result['ticks']} ticks. No real order was sent.",
        table([[_usd(value) for value in row] for row in rows], header),
        f"decisions {result['decisions']}, orders {result['orders']}, fills {result['fills']}, "
        f"one decision {result['decision_us']['p50']:.0f} µs (p99 {result['decision_us']['p99']:.0f}).",
    ]
    if result["without_outcome"]:
        lines.append(f"{result['without_outcome']} windows held a position and have no outcome; they are not counted.")
    if result["held_for_want"]:
        lines.append("held: " + ", ".join(f"{want} ({n} ticks)" for want, n in result["held_for_want"].items()))
    if result["refused"]:
        lines.append("refused: " + ", ".join(f"{why} {n}" for why, n in result["refused"].items()))
    if result["risk_state"] != "ACTIVE":
        lines.append(f"risk state {result['risk_state']}: {result['risk_reason']}")
    if result["journal"]:
        lines.append(f"journal {result['journal']['path']}, last hash {result['journal']['last_hash']}")
        lines.append(f"replay it: mlx-rl replay {result['journal']['path']}")
    return "\n".join(lines)


def _usd(value: Any) -> Any:
    return f"{value:.2f}" if isinstance(value, float) else value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    return run_command(
        RunSettings,
        run,
        argv,
        prog="run.py",
        about="Trade a strategy on a replayed recording, on paper. No real order is sent.",
        show=show,
    )

"""The runner: feed, session, journal and screen in one loop, and the summary at its end.

Settlement asks for a window's payoff only after the window is over; nothing that decides can reach it.
"""

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from live.arms import ArmSpec
from live.brokers import BROKERS
from live.decide import PolicyArm
from live.feed import End, replayed
from live.journal import Fsync, Journal
from live.risk import Gate, Limits
from live.router import Router
from live.screen import Screen
from live.session import ALL_CLOSED, Closed, Session
from mlx_rl.datasets.reference import require_reference
from mlx_rl.datasets.splits import open_test
from mlx_rl.market import COST_LAW, MASK_LAW
from mlx_rl.market.law import LawSettings
from mlx_rl.market.settlement import read_payoffs
from observer.kit.clock import iso
from observer.kit.code_version import code_version
from observer.kit.console import say
from observer.kit.errors import UsageError
from observer.store.reader import Recording


class PaperSettings(BaseModel):
    """A paper session on a replayed recording."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data_dir: Path = Field(default=Path("./data"), description="recording to replay")
    series: str | None = Field(default=None, description="only this rolling market family, e.g. btc-updown-15m")
    speed: float = Field(default=0.0, ge=0, description="times real time; 1 is as recorded, 0 as fast as it goes")
    ramp: float = Field(default=0.5, ge=0, le=1, description="second arm's share of windows, for two arms")
    salt: str = Field(default="", description="changes which windows fall to which arm; the same salt repeats the draw")
    law: LawSettings = Field(default=LawSettings(), description="size, latency, fees, fills")
    limits: Limits = Field(default=Limits(), description="what the gate refuses")
    journal: Path | None = Field(default=None, description="file to write the journal to; it must not exist")
    fsync: Fsync = Field(default="orders", description="which journal lines are forced to disk before going on")
    broker: Literal["paper"] = Field(default="paper", description="where orders go")


def run_paper(arms: list[ArmSpec], settings: PaperSettings) -> dict[str, Any]:
    """Trade every window of the recording on paper and return the summary.

    Raises:
        UsageError: no such windows, a journal that exists, or a model that needs prices the recording lacks.
        BadRecording: the recording is damaged.
        KeyboardInterrupt: passed on, after the journal got its footer.
    """
    recording = Recording(settings.data_dir)
    everything = recording.markets()
    if not everything:
        raise UsageError(
            f"{settings.data_dir} holds no market window yet. Record some with `python observer.py --local-dir "
            f"{settings.data_dir}`, or name another --data-dir."
        )
    windows = [m for m in everything if settings.series in (None, m.series)]
    if not windows:
        known = ", ".join(sorted({m.series for m in everything}))
        raise UsageError(f"{settings.data_dir} holds no window of series {settings.series!r}. It holds: {known}.")
    made_by_learning = [(spec.name, arm) for spec in arms if isinstance(arm := spec.make(), PolicyArm)]
    for name, arm in made_by_learning:
        require_reference(recording, windows, arm.policy.schema, name)
    if made_by_learning:
        _log_opening(settings.data_dir, recording.dataset_id, [name for name, _ in made_by_learning])
    router = Router([spec.name for spec in arms], ramp=settings.ramp, salt=settings.salt)
    journal = None
    if settings.journal is not None:
        journal = Journal(settings.journal, _header(arms, settings, router, recording), fsync=settings.fsync)
    session = Session(
        {spec.name: spec.make for spec in arms},
        router,
        BROKERS[settings.broker](settings.law),
        Gate(settings.limits),
        lambda kind, body, must_last: None if journal is None else journal.append(kind, body, must_last=must_last),
    )
    started = time.monotonic()
    ended: str | None = None
    try:
        with Screen(session, windows=len(windows)) as screen:
            _loop(session, recording, settings, screen)
        ended = ALL_CLOSED
    except KeyboardInterrupt:
        ended = "interrupted"
        raise
    finally:
        if journal is not None:
            journal.close(None if ended is None else {"ended": ended, **_totals(session)})
    made = _summary(session, arms, settings, recording, time.monotonic() - started)
    made["journal"] = None if journal is None else {"path": str(journal.path), "last_hash": journal.last_hash}
    return made


def _log_opening(data_dir: Path, dataset_id: str, names: list[str]) -> None:
    """A model that trades recorded windows has looked at how they end, as one that is judged on them has."""
    try:
        open_test(data_dir, dataset_id, f"run.py {' '.join(names)}")
    except OSError as error:
        say(f"this look at the recorded windows could not be logged beside the recording: {error}")


def _loop(session: Session, recording: Recording, settings: PaperSettings, screen: Screen) -> None:
    """Feed the session to the end of the recording, at the asked pace."""
    payoffs = None
    for event in replayed(recording, settings.series, settings.speed):
        market_id = event.market.market_id
        if isinstance(event, End):
            payoffs = read_payoffs(settings.data_dir) if payoffs is None else payoffs
            known = market_id in payoffs
            payoff, kind = (payoffs[market_id], payoffs.kind[market_id]) if known else (None, None)
            screen.closed(session.close(market_id, payoff, kind))
            continue
        if market_id not in session.desks:
            session.open(event.market)
        session.tick(market_id, event.recv_ns, event.row, event.ladder_price, event.ladder_size)
        screen.ticked(event.recv_ns)


def _header(arms: list[ArmSpec], settings: PaperSettings, router: Router, recording: Recording) -> dict[str, Any]:
    """What the journal says about the session before anything happens."""
    return {
        "started": iso(time.time_ns()),
        "arms": [spec.record for spec in arms],
        "router": {"mode": router.mode, "arms": list(router.arms), "ramp": router.ramp, "salt": router.salt},
        "law": settings.law.model_dump(mode="json"),
        "cost_law": COST_LAW,
        "mask_law": MASK_LAW,
        "limits": settings.limits.model_dump(mode="json"),
        "broker": settings.broker,
        "dataset_id": recording.dataset_id,
        "data_dir": str(settings.data_dir),
        "series": settings.series,
        "code_version": code_version(),
        "machine": machine(),
    }


def machine() -> dict[str, str]:
    """What the bits of a decision may depend on."""
    return {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba"),
    }


def _totals(session: Session) -> dict[str, Any]:
    counts = session.counts
    return {
        "ticks": counts.ticks,
        "decisions": counts.decisions,
        "orders": counts.orders,
        "fills": counts.fills,
        "net_usd": sum(done.net_usd or 0.0 for done in session.closed),
    }


def _summary(
    session: Session, arms: list[ArmSpec], settings: PaperSettings, recording: Recording, seconds: float
) -> dict[str, Any]:
    counts = session.counts
    settled = [done for done in session.closed if done.net_usd is not None]
    latency_us = np.asarray(counts.latency_ns) / 1000 if len(counts.latency_ns) else np.array([np.nan])
    return {
        "paper": True,
        "mode": session.router.mode,
        "dataset_id": recording.dataset_id,
        "windows": len(session.closed),
        "without_outcome": len(session.closed) - len(settled),
        **_totals(session),
        "refused": counts.refused,
        "held_for_want": counts.wants,
        "agreement_frac": counts.agreements / counts.ticks if counts.ticks else None,
        "arms": {
            spec.name: _arm_summary(spec, [done for done in settled if done.arm == spec.name], session) for spec in arms
        },
        "risk_state": session.gate.state,
        "risk_reason": session.gate.reason,
        "size_shares": settings.law.size_shares,
        "decision_us": {"p50": float(np.percentile(latency_us, 50)), "p99": float(np.percentile(latency_us, 99))},
        "seconds": seconds,
    }


def _arm_summary(spec: ArmSpec, mine: list[Closed], session: Session) -> dict[str, Any]:
    """One arm's windows, from gross to net."""
    router = session.router
    expected = 1.0 if router.mode == "single" else (router.ramp if spec.name == router.arms[1] else 1 - router.ramp)
    water = [done.waterfall for done in mine]
    return {
        "windows": len(mine),
        "expected_share": expected,
        "trades": sum(w.trades for w in water),
        "held_to_settlement": sum(w.held_to_settlement for w in water),
        "gross_usd": sum(w.gross for w in water),
        "spread_usd": sum(w.spread for w in water),
        "fees_usd": sum(w.fees for w in water),
        "slippage_usd": sum(w.slippage for w in water),
        "net_usd": sum(done.net_usd or 0.0 for done in mine),
    }

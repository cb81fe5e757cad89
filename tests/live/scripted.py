"""Sessions whose arms follow a script, for tests."""

from collections.abc import Callable
from typing import Any

import numpy as np

from live.brokers.paper import PaperBroker
from live.decide import Decided
from live.risk import Gate, Limits
from live.router import Router
from live.session import Session
from mlx_rl.market.law import LawSettings
from observer.kit.errors import ToolkitError
from observer.records import BUY, HOLD, SELL, Tape


class Scripted:
    """An arm that answers what a function of the tick number says."""

    def __init__(self, script: Callable[[int], int]) -> None:
        self.script, self.started = script, 0

    def start(self, market: Any) -> None:
        self.t = -1
        self.started += 1

    def decide(self, recv_ns: int, row: np.ndarray, position: int, entries: np.ndarray, mask: np.ndarray) -> Decided:
        self.t += 1
        wanted = self.script(self.t)
        return Decided(wanted if mask[wanted] else HOLD)


def buy_then_sell(t: int) -> int:
    return BUY if t % 10 == 0 else SELL if t % 10 == 5 else HOLD


def fails(t: int) -> int:
    if t == 7:
        raise ToolkitError("the state holds NaN")
    return buy_then_sell(t)


def session(*scripts: Callable[[int], int], limits: Limits | None = None, ramp: float = 0.0, size: float = 5.0) -> Any:
    """A session with one arm per script, and the list its records go to."""
    records: list[tuple[str, dict]] = []
    names = [chr(ord("a") + i) for i in range(len(scripts))]
    made = Session(
        {name: lambda script=script: Scripted(script) for name, script in zip(names, scripts, strict=True)},
        Router(names, ramp=ramp),
        PaperBroker(LawSettings(size_shares=size)),
        Gate(limits or Limits()),
        lambda kind, body, must_last: records.append((kind, body)),
    )
    return made, records


def run(made: Session, tape: Tape, *, at: dict[int, Callable[[], None]] | None = None) -> None:
    """Feed a whole tape; `at` holds what happens before some tick."""
    made.open(tape.market)
    for t in range(len(tape)):
        (at or {}).get(t, lambda: None)()
        made.tick(tape.market.market_id, int(tape.recv_ns[t]), tape.rows[t])

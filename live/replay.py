"""Replay: decide a journal again from what it recorded, and say whether every bit is the same.

The account follows the journalled actions, so each decision is checked in the very state it was made in. Where
all are equal, the profit must be too; where not, the difference is split into

    fills       the same decisions, other fills than the money law gives on the recorded ticks;
    settlement  the same fills, another payoff than the recording's outcome;
    decisions   what the arms do now, on their own, against what they did then.

journalled = replayed + fills + settlement + decisions.
"""

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from live.brokers.paper import PaperBroker
from live.decide import ArmMaker
from live.journal import array, read
from live.risk import Gate, Limits
from live.router import Router
from live.session import ALL_CLOSED, Session, Steer
from mlx_rl.market.law import LawSettings
from mlx_rl.market.settlement import Payoffs
from observer.kit.errors import UsageError
from observer.records import BOOK_LEVELS, HOLD, SIDES, FeeSchedule, Market, Tape

CHAIN_KEYS = ("n", "prev", "hash", "kind")


@dataclass
class Found:
    """What a replay has found so far."""

    ticks: int = 0
    decisions: int = 0
    equal: int = 0
    records: int = 0
    records_equal: bool = True
    first_difference: dict[str, Any] | None = None
    inputs_checked: int = 0
    inputs_equal: int = 0
    journalled_usd: float = 0.0
    refilled_usd: float = 0.0  # journalled decisions under the law, journalled payoffs
    resettled_usd: float = 0.0  # the same, payoffs of the recording

    def differs(self, line: int, what: str, journalled: Any, replayed: Any) -> None:
        """Remember the first difference."""
        if self.first_difference is None:
            self.first_difference = {"line": line, "what": what, "journalled": journalled, "replayed": replayed}


class Tapes:
    """The recording's own windows, to check a journal's inputs against; one in memory per open window."""

    def __init__(self, recording: Any) -> None:
        self.recording = recording
        self._open: dict[str, Tape] = {}

    def has(self, market_id: str, recv_ns: int, row: np.ndarray) -> bool:
        """True where the recording holds exactly this tick."""
        if market_id not in self._open:
            self._open[market_id] = self.recording.tape(market_id)
        tape = self._open[market_id]
        at = int(np.searchsorted(tape.recv_ns, recv_ns))
        if at >= len(tape) or tape.recv_ns[at] != recv_ns:
            return False
        return np.array_equal(tape.rows[at], row, equal_nan=True)

    def forget(self, market_id: str) -> None:
        """Drop a window that is over."""
        self._open.pop(market_id, None)


def replay(
    path: Path,
    arms: Mapping[str, ArmMaker],
    *,
    tapes: Tapes | None = None,
    payoffs: Payoffs | None = None,
    unfinished: bool = False,
) -> dict[str, Any]:
    """Replay the journal at `path` with the arms that its header names.

    Args:
        path: the journal.
        arms: name -> makes a fresh arm.
        tapes: the recording to check the inputs against.
        payoffs: the recording's outcomes to check the settlement against.
        unfinished: accept a journal without a footer.

    Returns:
        decisions, equal, first_difference, records_equal, inputs, profit with its parts, ticks, windows.
    """
    found = Found()
    _follow(path, arms, found, tapes, payoffs, unfinished)
    free_usd = found.resettled_usd
    if found.equal != found.decisions:
        free_usd = _own_way(path, arms, payoffs, unfinished)
    return {
        "journal": str(path),
        "ticks": found.ticks,
        "decisions": found.decisions,
        "equal": found.equal,
        "first_difference": found.first_difference,
        "records": found.records,
        "records_equal": found.records_equal,
        "inputs": {"checked": found.inputs_checked, "equal": found.inputs_equal} if tapes is not None else None,
        "profit": {
            "journalled_usd": found.journalled_usd,
            "replayed_usd": free_usd,
            "fills_usd": found.journalled_usd - found.refilled_usd,
            "settlement_usd": found.refilled_usd - found.resettled_usd,
            "decisions_usd": found.resettled_usd - free_usd,
        },
    }


def market_from(record: dict[str, Any]) -> Market:
    """The market that an "open" line describes."""
    fields: dict[str, Any] = {**record, "fees": FeeSchedule(**record["fees"])}
    return Market(**fields)


def _follow(
    path: Path,
    arms: Mapping[str, ArmMaker],
    found: Found,
    tapes: Tapes | None,
    payoffs: Payoffs | None,
    unfinished: bool,
) -> None:
    """Drive a session by the journalled actions and compare every line that it would have written."""
    then: deque[dict[str, Any]] = deque()
    now: deque[dict[str, Any]] = deque()
    steer = {"action": HOLD}
    session: Session | None = None
    is_whole = False

    def as_journalled(*asked: object) -> int:
        return steer["action"]

    for record in read(path, unfinished=unfinished):
        kind = record["kind"]
        if kind == "header":
            session = _session(record, arms, now, as_journalled)
            continue
        if kind == "footer" or session is None:
            is_whole = record.get("ended") == ALL_CLOSED
            continue
        then.append(record)
        try:
            if kind == "open":
                session.open(market_from(record["window"]))
            elif kind == "tick":
                row = array(record["row"])
                mine = session.desks[record["market"]].assignment.arm
                steer["action"] = record["arms"].get(mine, {}).get("action", HOLD)
                session.tick(record["market"], record["recv_ns"], row, *_ladder(record))
                found.ticks += 1
                if tapes is not None:
                    found.inputs_checked += 1
                    found.inputs_equal += tapes.has(record["market"], record["recv_ns"], row)
                _compare_decisions(record, next(r for r in reversed(now) if r["kind"] == "tick"), found)
            elif kind == "settle":
                _settle(session, record, payoffs, found)
                if tapes is not None:
                    tapes.forget(record["market"])
        except UsageError as error:
            found.records_equal = False
            found.differs(
                record["n"], "the journalled action is not possible any more", record.get("market"), str(error)
            )
            return
        _compare_records(then, now, found)
    if not is_whole:  # the session stopped between the lines of one tick: a fill without its tick, or no order yet
        now.clear()
        if len(then) == 1 and then[0]["kind"] == "fill":
            then.clear()
    if then or now:
        found.records_equal = False
        found.differs(-1, "lines at the end", len(then), len(now))


def _own_way(path: Path, arms: Mapping[str, ArmMaker], payoffs: Payoffs | None, unfinished: bool) -> float:
    """What the arms earn now when their own decisions are followed, USD."""
    session: Session | None = None
    for record in read(path, unfinished=unfinished):
        if record["kind"] == "header":
            session = _session(record, arms, None, None)
        elif session is not None and record["kind"] == "open":
            session.open(market_from(record["window"]))
        elif session is not None and record["kind"] == "tick":
            session.tick(record["market"], record["recv_ns"], array(record["row"]), *_ladder(record))
        elif session is not None and record["kind"] == "settle":
            payoff = _payoff(record, payoffs)
            session.close(record["market"], payoff, record["outcome"])
    return 0.0 if session is None else sum(done.net_usd or 0.0 for done in session.closed)


def _session(
    header: dict[str, Any], arms: Mapping[str, ArmMaker], out: deque[dict[str, Any]] | None, steer: Steer | None
) -> Session:
    """A session as the header describes it, whose lines go to `out`."""
    made = [record["name"] for record in header["arms"]]
    router = Router(made, ramp=header["router"]["ramp"], salt=header["router"]["salt"])

    def keep(kind: str, body: dict[str, Any], must_last: bool) -> None:
        if out is not None:
            out.append({"kind": kind, **body})

    return Session(
        {name: arms[name] for name in made},
        router,
        PaperBroker(LawSettings(**header["law"])),
        Gate(Limits(**header["limits"])),
        keep,
        steer=steer,
    )


def _ladder(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | tuple[()]:
    if "ladder" not in record:
        return ()
    price, size = (array(part, (len(SIDES), BOOK_LEVELS)) for part in record["ladder"])
    return price, size


def _payoff(record: dict[str, Any], payoffs: Payoffs | None) -> float | None:
    if payoffs is None:
        return record["payoff_up"]
    return payoffs.payoff_up.get(record["market"])


def _settle(session: Session, record: dict[str, Any], payoffs: Payoffs | None, found: Found) -> None:
    """Settle as journalled, and once more on a copy as the recording says."""
    account = copy.deepcopy(session.desks[record["market"]].account)
    payoff = _payoff(record, payoffs)
    done = session.close(record["market"], record["payoff_up"], record["outcome"])
    found.journalled_usd += record["net_usd"] or 0.0
    found.refilled_usd += done.net_usd or 0.0
    if payoff is None:
        found.resettled_usd += done.net_usd or 0.0
    else:
        account.settle(payoff)
        found.resettled_usd += account.waterfall.net


def _compare_decisions(then: dict[str, Any], now: dict[str, Any], found: Found) -> None:
    """Compare every arm's answer at one tick, bit for bit."""
    for name, was in then["arms"].items():
        found.decisions += 1
        if now["arms"].get(name) == was:
            found.equal += 1
        else:
            where = f"arm {name}, {then['market']}, recv_ns {then['recv_ns']}"
            found.differs(then["n"], where, was, now["arms"].get(name))


def _compare_records(then: deque[dict[str, Any]], now: deque[dict[str, Any]], found: Found) -> None:
    """Compare whole lines in order, without what only the chain is about."""
    while then and now:
        was, made = then.popleft(), now.popleft()
        found.records += 1
        plain = {key: value for key, value in was.items() if key not in CHAIN_KEYS}
        if {"kind": was["kind"], **plain} != made:
            found.records_equal = False
            found.differs(was["n"], was["kind"], plain, {k: v for k, v in made.items() if k != "kind"})

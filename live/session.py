"""The session: one path from tick to order, the same for trading and for replaying a journal.

Per tick of a window, in this order: an order in flight that is due fills; every arm decides on the same account;
the tick and all decisions are recorded; the window's own arm acts through the gate. What is recorded is all that
replaying needs, and the assignment with its propensity is recorded before the window's first decision.

A session knows nothing of how a window ends until `close` is told.
"""

import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from live.decide import Arm, ArmMaker, Decided
from live.journal import numbers
from live.risk import Book, Gate
from live.router import Assignment, Router
from mlx_rl.market.binary import NO_ORDER, ORDERS, order_of
from mlx_rl.market.portfolio import Account, Filled, Waterfall
from observer.kit.errors import ToolkitError
from observer.records import ACTIONS, FLAT, HOLD, POSITIONS, Market

F64 = NDArray[np.float64]

ALL_CLOSED = "all windows closed"  # how a session's journal ends that ran to its end

# (kind, body, must it be on disk before what it announces happens)
Record = Callable[[str, dict[str, Any], bool], None]
# (market id, clock, what the window's arm chose) -> what is done; replaying puts the journal's action here.
Steer = Callable[[str, int, int], int]


class Broker(Protocol):
    """Where orders go; see `live.brokers.paper`."""

    accounts: dict[str, Account]

    def open(self, market: Market) -> Account: ...
    def on_tick(
        self, market_id: str, recv_ns: int, row: F64, ladder_price: F64 | None = None, ladder_size: F64 | None = None
    ) -> Filled | None: ...
    def submit(self, market_id: str, action: int) -> int: ...
    def settle(self, market_id: str, payoff_up: float) -> float: ...
    def forget(self, market_id: str) -> None: ...


@dataclass
class Desk:
    """One open window: who decides, who trades, what was last done."""

    market: Market
    assignment: Assignment
    arms: Mapping[str, Arm]
    account: Account
    price: float = float("nan")  # the market's probability of Up at the last tick
    action: int = HOLD  # the trading arm's last action other than HOLD
    ticks: int = 0
    orders: int = 0
    refused: int = 0


@dataclass
class Closed:
    """One finished window."""

    market_id: str
    arm: str
    net_usd: float | None  # None where no outcome was known and money was at stake
    payoff_up: float | None
    ticks: int
    orders: int
    refused: int
    waterfall: Waterfall


@dataclass
class Counts:
    """What a session has done so far."""

    ticks: int = 0
    decisions: int = 0
    agreements: int = 0  # ticks at which all arms wanted the same
    orders: int = 0
    fills: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])  # why -> orders
    wants: dict[str, int] = field(default_factory=dict[str, int])  # "arm: what it lacked" -> ticks it held for that
    latency_ns: "array[int]" = field(default_factory=lambda: array("q"))  # of each arm's decisions


class Session:
    """Trades every window it is fed with the arm that the router drew.

    Args:
        arms: name -> makes a fresh arm; names as the router has them.
        router: draws the arm of a window.
        broker: takes the orders.
        gate: lets them through, or not.
        record: is told everything.
        steer: decides what is done instead of the window's arm; None to follow the arm.
    """

    def __init__(
        self,
        arms: Mapping[str, ArmMaker],
        router: Router,
        broker: Broker,
        gate: Gate,
        record: Record,
        *,
        steer: Steer | None = None,
    ) -> None:
        self.arms, self.router, self.broker, self.gate = dict(arms), router, broker, gate
        self.desks: dict[str, Desk] = {}
        self.closed: list[Closed] = []
        self.counts = Counts()
        self._record, self._steer = record, steer
        self._latest: dict[str, Desk] = {}  # series -> the window opened last
        self._cash_usd = 0.0  # of closed windows

    def open(self, market: Market) -> Desk:
        """Begin a window: draw its arm, record the draw, start every arm."""
        drawn = self.router.assign(market.market_id)
        chances = {name: 1 - drawn.propensity for name in self.arms} | {drawn.arm: drawn.propensity}
        self._record(
            "open",
            {
                "market": market.market_id,
                "window": asdict(market),
                "arm": drawn.arm,
                "propensity": chances,
                "draw": drawn.draw,
                "ramp": drawn.ramp,
            },
            True,
        )
        arms = self._arms_for(market)
        for arm in arms.values():
            arm.start(market)
        desk = Desk(market, drawn, arms, self.broker.open(market))
        self.desks[market.market_id] = self._latest[market.series] = desk
        return desk

    def tick(
        self, market_id: str, recv_ns: int, row: F64, ladder_price: F64 | None = None, ladder_size: F64 | None = None
    ) -> Desk:
        """Take one tick of an open window through the whole path.

        Args:
            market_id: the window.
            recv_ns: our clock.
            row: (C,) the tick.
            ladder_price: (S, K) recorded depth, where there is one.
            ladder_size: (S, K) its sizes.
        """
        desk = self.desks[market_id]
        account = desk.account
        filled = self.broker.on_tick(market_id, recv_ns, row, ladder_price, ladder_size)
        if filled is not None:
            self.counts.fills += filled.is_filled
            self._record(
                "fill",
                {
                    "market": market_id,
                    "recv_ns": recv_ns,
                    "order": ORDERS[filled.order],
                    "filled": filled.is_filled,
                    "cash_usd": filled.cash_usd,
                },
                False,
            )
        position, entries, mask = account.position, account.entries(), account.mask()
        made, failed = self._ask_all(desk, recv_ns, row, position, entries, mask)
        tick: dict[str, Any] = {
            "market": market_id,
            "recv_ns": recv_ns,
            "row": numbers(row),
            "position": POSITIONS[position],
            "pending": None if account.pending == NO_ORDER else ORDERS[account.pending],
            "pnl": float(entries[2]),
            "arms": {name: decided.as_record() for name, decided in made.items()} | failed,
        }
        if ladder_price is not None and ladder_size is not None:
            tick["ladder"] = [numbers(ladder_price), numbers(ladder_size)]
        self._record("tick", tick, False)
        mine = desk.assignment.arm
        if mine in failed:
            self.gate.halt(f"{mine}: {failed[mine]['error']}")
        action = made[mine].action if mine in made else HOLD
        if self._steer is not None:
            action = self._steer(market_id, recv_ns, action)
        if action != HOLD:
            self._act(desk, recv_ns, action)
        desk.ticks += 1
        desk.price = 0.5 * (float(row[0]) + float(row[1]))
        self.counts.ticks += 1
        return desk

    def close(self, market_id: str, payoff_up: float | None, outcome: str | None) -> Closed:
        """End a window: pay out at `payoff_up` USD per Up share and let the router have it back.

        Args:
            market_id: the window.
            payoff_up: None where no outcome is known; then a window that holds something has no profit to report.
            outcome: where the payoff comes from, e.g. "official".
        """
        desk = self.desks.pop(market_id)
        account, drawn = desk.account, desk.assignment
        is_at_stake = account.position != FLAT or account.dust_up > 0 or account.dust_down > 0
        net: float | None = None
        if payoff_up is not None:
            self.broker.settle(market_id, payoff_up)
        if payoff_up is not None or not is_at_stake:
            net = account.waterfall.net  # what evaluation reports, to the bit
        body = {
            "market": market_id,
            "arm": drawn.arm,
            "payoff_up": payoff_up,
            "outcome": outcome,
            "held": POSITIONS[account.position] if net is None else None,
            "net_usd": net,
            "waterfall": asdict(account.waterfall),
        }
        self._record("settle", body, True)
        if net is not None:
            self._cash_usd += net
            self.router.release(market_id, account.position)
        done = Closed(market_id, drawn.arm, net, payoff_up, desk.ticks, desk.orders, desk.refused, account.waterfall)
        self.closed.append(done)
        self.broker.forget(market_id)
        return done

    def net_usd(self) -> float:
        """Closed windows' profit plus what closing the open ones would leave now."""
        return self._cash_usd + sum(account.equity_usd() for account in self.broker.accounts.values())

    def _arms_for(self, market: Market) -> Mapping[str, Arm]:
        """The series' arms, who remember the underlying; fresh ones while an earlier window is still open."""
        before = self._latest.get(market.series)
        if before is not None and before.market.close_ns <= market.open_ns:
            return before.arms
        return {name: make() for name, make in self.arms.items()}

    def _ask_all(
        self, desk: Desk, recv_ns: int, row: F64, position: int, entries: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> tuple[dict[str, Decided], dict[str, dict[str, str]]]:
        """Let every arm decide; return the answers, and what went wrong by arm."""
        made: dict[str, Decided] = {}
        failed: dict[str, dict[str, str]] = {}
        for name, arm in desk.arms.items():
            started = time.perf_counter_ns()
            try:
                made[name] = made_now = arm.decide(recv_ns, row, position, entries, mask)
            except ToolkitError as error:
                failed[name] = {"error": str(error)}
                continue
            self.counts.latency_ns.append(time.perf_counter_ns() - started)
            if made_now.note:
                want = f"{name}: {made_now.note}"
                self.counts.wants[want] = self.counts.wants.get(want, 0) + 1
        self.counts.decisions += len(made)
        wanted = {decided.action for decided in made.values()}
        self.counts.agreements += len(wanted) == 1 and not failed
        return made, failed

    def _act(self, desk: Desk, recv_ns: int, action: int) -> None:
        """Send the order of an action, if the gate lets it through; recorded before it is sent."""
        market_id, account = desk.market.market_id, desk.account
        order = int(order_of(account.position, action))
        book = Book(
            size_shares=account.law.size_shares,
            is_closed=recv_ns >= desk.market.close_ns,
            orders=desk.orders,
            exposure_usd=self._exposure_usd(),
            session_usd=self.net_usd(),
        )
        refusal = self.gate.check(order, book)
        self._record(
            "order",
            {
                "market": market_id,
                "recv_ns": recv_ns,
                "arm": desk.assignment.arm,
                "propensity": desk.assignment.propensity,
                "action": ACTIONS[action],
                "order": ORDERS[order],
                "refused": refusal,
            },
            True,
        )
        if refusal is not None:
            desk.refused += 1
            self.counts.refused[refusal] = self.counts.refused.get(refusal, 0) + 1
            return
        self.broker.submit(market_id, action)
        desk.action = action
        desk.orders += 1
        self.counts.orders += 1

    def _exposure_usd(self) -> float:
        """What the open positions have cost, an opening order in flight counted at 1 USD a share."""
        return sum(
            -account.entry_usd + (account.law.size_shares if _is_opening(account) else 0.0)
            for account in self.broker.accounts.values()
        )


def _is_opening(account: Account) -> bool:
    return account.position == FLAT and account.pending != NO_ORDER

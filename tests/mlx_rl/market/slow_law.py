"""The money law a second time, slowly: exact fractions for one order, and every sequence of actions tried.

Shares nothing with the compiled code but the words (settings, orders, positions). Prices and sizes are read as
the decimals they print as; fees are rounded as decimals; latency, fills and settlement run through the
event-driven account. `scripts/proofs/oracle.py` holds the oracle against it too.
"""

import copy
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mlx_rl.market import LawSettings
from mlx_rl.market.fills import TickFills
from mlx_rl.market.portfolio import Account
from observer.kit.clock import NS_PER_S
from observer.kit.rng import stream
from observer.records import BOOK_LEVELS, DOWN, FLAT, N_COLUMNS, UP, FeeSchedule, Ladder, Market, Tape
from observer.venues.fees import BY_NAME

Level = tuple[Fraction, Fraction | None]  # price, size; None is unlimited


def exact(value: float) -> Fraction:
    return Fraction(repr(float(value)))


def slow_fee(schedule: FeeSchedule, taken: list[tuple[Fraction, Fraction]]) -> Fraction:
    """Fee in USD of an order that took (shares, price) parts, rounded as the venue does."""
    rate, power, step = exact(schedule.rate), int(schedule.exponent), exact(schedule.rounding_usd)
    raw = Fraction(0)
    for shares, p in taken:
        curve = (p * (1 - p)) ** power
        raw += shares * rate * {"none": 0, "quadratic": curve, "weighted": p * curve, "notional": p}[schedule.kind]
    steps = raw / step
    if schedule.round_up:
        return math.ceil(steps) * step
    return Fraction(0) if steps < 1 else math.floor(steps + Fraction(1, 2)) * step


def slow_levels(tape: Tape, t: int, side: int, fills: str) -> list[Level]:
    """The depth one side stands for at tick t, best price first."""
    if tape.ladder is not None and not math.isnan(tape.ladder.price[t, side, 0] + tape.ladder.size[t, side, 0]):
        levels: list[Level] = []
        for p, q in zip(tape.ladder.price[t, side], tape.ladder.size[t, side], strict=True):
            if math.isnan(p + q):
                break
            levels.append((exact(p), exact(q)))
        return levels
    touch, size, depth = (tape.rows[t, side + offset] for offset in (0, 4, 8))
    if math.isnan(touch):
        return []
    tick = exact(tape.market.price_tick)

    def behind(ticks: int) -> Fraction:
        p = exact(touch)
        return max(p, min(p + ticks * tick, 1 - tick)) if side % 2 else min(p, max(p - ticks * tick, tick))

    if math.isnan(size) and math.isnan(depth):
        return [(behind(1 if fills == "pessimistic" else 0), None)]
    levels = [] if math.isnan(size) else [(exact(touch), exact(size))]
    if math.isnan(depth):
        return levels
    rest = max(Fraction(0), exact(depth) - sum(q for _, q in levels if q is not None))
    if fills == "base":
        free = range(len(levels), 5)
        return [*levels, *((behind(k), rest / len(free)) for k in free)]
    return [*levels, (behind(4 if fills == "pessimistic" else len(levels)), rest)]


def slow_walk(levels: list[Level], shares: Fraction) -> list[tuple[Fraction, Fraction]] | None:
    """The (shares, price) parts of an order, or None where depth is short."""
    taken, left = [], shares
    for p, q in levels:
        part = left if q is None else min(left, q)
        taken.append((part, p))
        left -= part
        if left == 0:
            return taken
    return None


@dataclass(frozen=True)
class SlowOrder:
    cash: float
    fee: float
    spread: float
    slippage: float
    dust: float


def slow_order(tape: Tape, t: int, order: int, law: LawSettings) -> SlowOrder | None:
    """One order executed at tick t, or None where it cannot be filled."""
    side, mate = [(1, 0), (0, 1), (3, 2), (2, 3)][order]
    is_buy = order % 2 == 0
    levels = slow_levels(tape, t, side, law.fills)
    if not levels:
        return None
    schedule = tape.market.fees if law.fees == "dated" else BY_NAME[law.fees]
    size, lot = exact(law.size_shares), exact(tape.market.lot_shares)
    in_shares = is_buy and schedule.taken_in == "shares_on_buy"
    shares = size
    while True:  # the fewest whole lots that leave the size after the fee
        taken = slow_walk(levels, shares)
        if taken is None:
            return None
        fee, notional = slow_fee(schedule, taken), sum((q * p for q, p in taken), Fraction(0))
        kept = shares - (fee * shares / notional if in_shares else 0)
        if kept >= size:
            break
        shares += max(1, (size - kept) // lot) * lot
    touch = levels[0][0] if _is_deep(tape, t, side) else exact(tape.rows[t, side])
    other = slow_levels(tape, t, mate, "base")
    mid = touch
    if other and ((other[0][0] <= touch) == is_buy or other[0][0] == touch):
        mid = (touch + other[0][0]) / 2
    average = notional / shares
    sign = 1 if is_buy else -1
    cash = -notional - (0 if in_shares else fee) if is_buy else notional - fee
    parts = (cash, fee, sign * kept * (touch - mid), sign * kept * (average - touch), kept - size)
    return SlowOrder(*(float(part) for part in parts))


def _is_deep(tape: Tape, t: int, side: int) -> bool:
    return tape.ladder is not None and not math.isnan(tape.ladder.price[t, side, 0] + tape.ladder.size[t, side, 0])


def slow_ticks(tape: Tape, law: LawSettings) -> list[TickFills]:
    """Every tick's four orders, priced slowly."""
    ticks = []
    for t in range(len(tape)):
        orders = [slow_order(tape, t, order, law) for order in range(4)]
        table = np.array(
            [[np.nan, 0, 0, 0, 0] if o is None else [o.cash, o.fee, o.spread, o.slippage, o.dust] for o in orders]
        )
        ticks.append(TickFills(*table.T.copy()))
    return ticks


def brute_force(tape: Tape, law: LawSettings, payoff_up: float, position: int) -> np.ndarray:
    """Best net USD of each first action (3,) from `position`, every later sequence tried; -inf where masked."""
    ticks, times = slow_ticks(tape, law), tape.recv_ns.tolist()

    def play(account: Account, t: int) -> np.ndarray:
        account.on_tick(times[t], ticks[t])
        found = np.full(3, -np.inf)
        for action in np.flatnonzero(account.mask()).tolist():
            branch = fork(account)
            branch.decide(action)
            found[action] = branch.settle(payoff_up) if t + 1 == len(ticks) else play(branch, t + 1).max()
        return found

    return play(Account(law, position), 0)


def fork(account: Account) -> Account:
    """A copy that lives on by itself."""
    twin = copy.copy(account)
    twin.waterfall = copy.copy(account.waterfall)
    twin._close_usd = account._close_usd.copy()
    return twin


def random_case(seed: int, index: int, most_ticks: int = 10) -> tuple[Tape, LawSettings, float]:
    """A short market with holes, thin depth and uneven ticks, a law, and an outcome.

    All fee schedules, fill assumptions, latencies (one to three ticks) and kinds of depth come up in turn.
    """
    rng = stream(seed, "short-path", index)
    names = [*BY_NAME]
    fees = BY_NAME[names[index % len(names)]]
    law = LawSettings(
        size_shares=float(rng.choice([1, 5, 50])),
        latency_s=[None, 0.5, 1.0, 1.5][int(rng.integers(4))],
        fees="dated" if rng.random() < 0.5 else fees.name,
        fills=("optimistic", "base", "pessimistic")[index // len(names) % 3],
    )
    n = int(rng.integers(1, most_ticks + 1))
    tick = float(rng.choice([0.01, 0.001]))
    market = Market(
        market_id=f"short-{index}", venue="test", series="short", symbol="BTC", open_ns=0, close_ns=900 * NS_PER_S,
        tick_ns=NS_PER_S // 2, price_tick=tick, lot_shares=float(rng.choice([0.01, 1.0])), fees=fees,
        settlement_rule="test",
    )  # fmt: skip
    steps = 1 if tick == 0.01 else 10
    mid = np.clip(rng.integers(3, 98) + np.cumsum(rng.integers(-6, 7, size=n)), 3, 97) * steps
    half = rng.integers(1, 3, size=n) * steps
    rows = np.full((n, N_COLUMNS), np.nan)
    per_usd = 100 * steps
    rows[:, 0], rows[:, 1] = (mid - half) / per_usd, (mid + half) / per_usd
    rows[:, 2], rows[:, 3] = (per_usd - mid - half) / per_usd, (per_usd - mid + half) / per_usd
    kind = rng.choice(["unknown", "touch", "depth5", "both", "ladder"])
    size = np.round(rng.uniform(0, 2.2 * law.size_shares, size=(n, 4)), 2)
    deep = np.round(size + rng.uniform(-0.2, 2, size=(n, 4)) * law.size_shares, 2).clip(0)
    if kind in ("touch", "both", "ladder"):
        rows[:, 4:8] = size
    if kind in ("depth5", "both"):
        rows[:, 8:12] = deep
    rows[:, :4][rng.random((n, 4)) < 0.12] = np.nan
    ladder = _random_ladder(rng, rows, 1 / per_usd, law.size_shares) if kind == "ladder" else None
    recv_ns = np.cumsum(rng.choice([1, 2, 4], size=n)).astype(np.int64) * (NS_PER_S // 4)
    return Tape(market, recv_ns, rows, ladder), law, float(rng.choice([0.0, 1.0, 0.5]))


def _random_ladder(rng: np.random.Generator, rows: np.ndarray, tick: float, size: float) -> Ladder:
    shape = (len(rows), 4, BOOK_LEVELS)
    price, qty = np.full(shape, np.nan), np.full(shape, np.nan)
    for t, side in np.ndindex(len(rows), 4):
        if rng.random() < 0.1:
            continue  # a tick whose depth was not recorded falls back on the touch
        for k in range(int(rng.integers(1, BOOK_LEVELS + 1))):
            p = round(rows[t, side] + (k if side % 2 else -k) * tick, 3)
            if 0 < p < 1:
                price[t, side, k], qty[t, side, k] = p, round(rng.uniform(0.1, size), 2)
    return Ladder(price, qty)


START_POSITIONS = (FLAT, UP, DOWN)

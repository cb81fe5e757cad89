"""The features worked out again from their definitions, slowly and with other means: plain NumPy over all history.

Nothing is shared with the kernel but the parameters. Each tick looks back over everything recorded until then.
Written for ticks at least 0.1 s apart, where the kernel's rings lose nothing.
"""

from math import erf, log, sqrt

import numpy as np
import pandas as pd

from mlx_rl.features.schema import FeatureSchema
from observer.records import TICK_COLUMNS, Market, Tape

S = 1_000_000_000


def slow_features(schema: FeatureSchema, tapes: list[Tape], stride: int = 1) -> list[np.ndarray]:
    """States at every `stride`-th tick of the windows of one series, in time order: (T/stride, F) float64 each."""
    own_mid = schema.params["reference"] == "own_mid"
    frames = [_frame(tape) for tape in tapes]
    states = []
    for k, tape in enumerate(tapes):
        known = frames[k] if own_mid else pd.concat(frames[: k + 1])
        price = "mid_seen" if own_mid else "reference"
        seen = known.dropna(subset=[price])
        history = History(seen["ns"].to_numpy(), seen[price].to_numpy(), relative=not own_mid)
        rows = [_state(schema, tape.market, frames[k].iloc[: i + 1], history) for i in range(0, len(tape), stride)]
        states.append(np.array(rows).reshape(-1, len(schema)))
    return states


def _frame(tape: Tape) -> pd.DataFrame:
    frame = pd.DataFrame(tape.rows, columns=list(TICK_COLUMNS))
    frame.insert(0, "ns", tape.recv_ns)
    frame["bid"] = frame["up_bid"].fillna(1 - frame["down_ask"])
    frame["ask"] = frame["up_ask"].fillna(1 - frame["down_bid"])
    mids, seen, last = [], [], np.nan
    for bid, ask in zip(frame["bid"], frame["ask"], strict=True):
        if not np.isnan(bid) and not np.isnan(ask):
            last = (bid + ask) / 2
        elif not np.isnan(bid):
            last = np.fmax(last, bid) if not np.isnan(last) else last
        elif not np.isnan(ask):
            last = np.fmin(last, ask) if not np.isnan(last) else last
        mids.append(last)
        seen.append(last if not (np.isnan(bid) and np.isnan(ask)) else np.nan)
    frame["mid"], frame["mid_seen"] = mids, seen
    return frame


class History:
    """Observed prices of the past; every question names the time it is asked at."""

    def __init__(self, ns: np.ndarray, price: np.ndarray, *, relative: bool) -> None:
        self.ns, self.price, self.relative = ns, price, relative
        closes = pd.Series(price).groupby(ns // (5 * S)).last()
        self.cell, self.close = closes.index.to_numpy(), closes.to_numpy()

    def as_of(self, ns: int, stale_s: float) -> float:
        at = np.searchsorted(self.ns, ns, side="right") - 1
        return self.price[at] if at >= 0 and ns - self.ns[at] <= stale_s * S else np.nan

    def move(self, now: float, then: float) -> float:
        return now / then - 1 if self.relative else now - then

    def rate(self, ns: int, cells: int) -> tuple[float, float]:
        """Volatility per √s over the last `cells` whole cells, and the seconds it rests on."""
        now = ns // (5 * S)
        done = self.cell < now
        cell, close = self.cell[done], self.close[done]
        gap = np.diff(cell)
        move = np.diff(close) / (close[:-1] if self.relative else 1)
        use = (gap <= 60) & (cell[1:] >= now - cells)
        seconds = 5.0 * gap[use].sum()
        return (sqrt((move[use] ** 2).sum() / seconds), seconds) if seconds else (0.0, 0.0)

    def first_close_of_hour(self, ns: int) -> float:
        now = ns // (5 * S)
        inside = (self.cell < now) & (self.cell >= now - 720)
        return self.close[inside][0] if inside.any() else np.nan


def _squash(x: float, half: float) -> float:
    return 0.0 if np.isnan(x) else x / (half + abs(x))


def _balance(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b > 0 else 0.0


def _sizes(tick: pd.Series, what: str) -> float:
    bid, ask = tick[f"up_bid_{what}"], tick[f"up_ask_{what}"]
    bid = 0.0 if np.isnan(bid) and np.isnan(tick["up_bid"]) else bid
    ask = 0.0 if np.isnan(ask) and np.isnan(tick["up_ask"]) else ask
    return (bid - ask) / (bid + ask) if bid + ask > 0 else np.nan


def _state(schema: FeatureSchema, market: Market, past: pd.DataFrame, history: History) -> list[float]:
    p, tick = schema.params, past.iloc[-1]
    ns = int(past["ns"].iloc[-1])
    history_ns = history.ns[history.ns <= ns]
    minute = p["underlying_minute_move"] if history.relative else p["own_mid_minute_move"]
    now = history.as_of(ns, p["stale_s"])
    state: dict[str, float] = {}
    for minutes in (1, 5, 10):
        then = history.as_of(ns - 60 * minutes * S, p["stale_s"])
        state[f"returns_{minutes}m"] = _squash(history.move(now, then), minute * sqrt(minutes))

    touch, depth = _sizes(tick, "size"), _sizes(tick, "depth5")
    state["order_book_imbalance_l1"] = np.nan_to_num(depth if np.isnan(touch) else touch)
    state["order_book_imbalance_l5"] = np.nan_to_num(touch if np.isnan(depth) else depth)

    age = ns - past["ns"]
    window = p["flow_window_s"] * S
    recent, before = past[age < window], past[(age >= window) & (age < 2 * window)]
    flow = _balance(recent["buy_usd"].sum(), recent["sell_usd"].sum())
    state["trade_flow_imbalance"] = flow
    state["cvd_acceleration"] = (flow - _balance(before["buy_usd"].sum(), before["sell_usd"].sum())) / 2
    spread = tick["ask"] - tick["bid"]
    state["spread_pct"] = 1.0 if np.isnan(spread) else _squash(spread, p["spread_usd"])
    count = past["n_trades"][age < p["intensity_window_s"] * S].sum()
    state["trade_intensity"] = _squash(count / p["intensity_window_s"], p["intensity_per_s"])
    largest = past["max_trade_usd"][age < p["large_trade_window_s"] * S].max()
    usd, trades = (past["buy_usd"] + past["sell_usd"]).sum(), past["n_trades"].sum()
    state["large_trade_flag"] = max(0.0, 1 - usd / trades / largest) if trades > 0 and largest > 0 else 0.0

    short, short_s = history.rate(ns, 60)
    long, long_s = history.rate(ns, 720)
    state["vol_5m"] = _squash(short * sqrt(300), minute * sqrt(5))
    state["vol_expansion"] = _balance(short, long) if short_s and short + long > 0 else 0.0
    state |= {"has_position": 0.0, "position_side": 0.0, "position_pnl": 0.0}
    state["time_remaining"] = (market.close_ns - ns) / (market.close_ns - market.open_ns)
    state["vol_regime"] = _squash(long * sqrt(3600), minute * sqrt(60))
    state["trend_regime"] = _squash(history.move(now, history.first_close_of_hour(ns)), minute * sqrt(60))

    if schema.name == "edge":
        sigma = max(long, p["sigma_floor"]) if history.relative and long_s >= p["sigma_after_s"] else np.nan
        state |= _bet(p, market, past, history, ns, now, sigma)
        if not np.isnan(now):
            told = 0.0 if not history.relative else _age_told(past, history_ns[-1])
            state["staleness"] = _squash(told + (ns - history_ns[-1]) / S, p["age_s"])
        else:
            state["staleness"] = 1.0
        for side in ("up_bid", "up_ask", "down_bid", "down_ask"):
            state[f"quoted_{side}"] = float(not np.isnan(tick[side]))
    return [state[name] for name in schema.columns]


def _age_told(past: pd.DataFrame, last_ns: int) -> float:
    """The age that the recording gave with the last price of this window, 0 where it gave none."""
    told = past["reference_age_s"][past["ns"] == last_ns]
    return 0.0 if told.empty or np.isnan(told.iloc[0]) else float(told.iloc[0])


def _bet(
    p: dict, market: Market, past: pd.DataFrame, history: History, ns: int, spot: float, sigma: float
) -> dict[str, float]:
    mid = past["mid"].iloc[-1]
    first = past.dropna(subset=["reference"]).head(1)
    strike = market.strike
    if strike is None:
        soon = len(first) and first["ns"].iloc[0] - market.open_ns <= p["strike_grace_s"] * S
        strike = first["reference"].iloc[0] if soon else np.nan
    bet = {"market_probability": 0.0 if np.isnan(mid) else 2 * mid - 1}
    bet |= {"fair_value": 0.0, "fair_gap": 0.0, "strike_distance": 0.0, "settlement_average": 0.0}
    if np.isnan(spot) or np.isnan(strike) or np.isnan(sigma):
        return bet
    left_s = (market.close_ns - ns) / S
    d = log(spot / strike) / (sigma * sqrt(max(left_s, 1e-3)))
    probability = 0.5 * (1 + erf(d / sqrt(2)))
    bet["fair_value"], bet["strike_distance"] = 2 * probability - 1, _squash(d, 1)
    bet["fair_gap"] = 0.0 if np.isnan(mid) else probability - mid
    # The price held between ticks, second by second of the averaging span; from now on it stands still.
    begin = market.close_ns - int(p["average_s"] * S)
    edges = np.unique(np.clip(np.r_[begin, history.ns[history.ns <= ns], ns, market.close_ns], begin, market.close_ns))
    usable = history.ns >= begin - p["stale_s"] * S
    at_ns, price = history.ns[usable], history.price[usable]
    held = [price[max(0, np.searchsorted(at_ns, t, side="right") - 1)] for t in edges[:-1]]
    held = [spot if t >= ns else h for t, h in zip(edges[:-1], held, strict=True)]
    average = float(np.dot(held, np.diff(edges))) / (p["average_s"] * S)
    bet["settlement_average"] = _squash((average - strike) / (strike * sigma * sqrt(p["average_s"])), 1)
    return bet

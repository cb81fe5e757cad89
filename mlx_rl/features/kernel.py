"""From ticks to states: one tick at a time for live, whole tapes for training, the same compiled step in both.

What is known about the underlying runs on across the windows of a series, in time order; a window that starts
before the series' latest tick gets a fresh history, because that history would be its future.
Everything about the market itself starts anew with each window.

Shapes: T ticks, C tick columns, F features.
"""

from collections.abc import Iterable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features import layout
from mlx_rl.features import step as compiled
from mlx_rl.features.edge import EDGE
from mlx_rl.features.schema import FeatureSchema
from mlx_rl.features.state18 import STATE18
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording, SchemaMismatch, UsageError
from observer.records import N_COLUMNS, Market, Tape

_Ints, _Floats = NDArray[np.int64], NDArray[np.float64]
_State = tuple[_Ints, _Floats, _Ints, _Floats, _Ints, _Floats]  # prices, market, parameters


class FeatureKernel:
    """The live path: `start` a market, then `push` its ticks.

    Args:
        schema: which features, with which parameters.
        reference: what the caller believes the schema's `reference` to be; None believes the schema.
    """

    def __init__(self, schema: FeatureSchema, reference: str | None = None) -> None:
        said = schema.params["reference"]
        if reference is not None and reference != said:
            raise SchemaMismatch(
                f"the kernel was asked for reference {reference!r}, schema {schema.name} says {said!r}. "
                f"Use schema.with_params(reference={reference!r}); a model trained with the other cannot be used."
            )
        self.schema = schema
        self._ints, self._floats = _constants(schema)
        self._prices: dict[str, tuple[_Ints, _Floats]] = {}
        self._market_ints = np.zeros(layout.N_MI, np.int64)
        self._market_floats = np.zeros(layout.N_MF)
        self._state: _State | None = None
        self._last_ns = 0
        self._clock = np.zeros(1, np.int64)
        self._width = len(schema)

    def start(self, market: Market) -> None:
        """Begin a market window; ticks pushed from now on belong to it.

        Raises:
            BadRecording: the market's strike is not a price.
        """
        if market.strike is not None and not compiled.MIN_REFERENCE <= market.strike <= compiled.MAX_REFERENCE:
            raise BadRecording(
                f"{market.market_id}: strike {market.strike} is not a price in USD. Record None where it is unknown."
            )
        runs_on = bool(self._ints[layout.C_RELATIVE])
        series = market.series if runs_on else ""
        if series not in self._prices:
            self._prices[series] = (np.zeros(layout.N_PI, np.int64), np.zeros(layout.N_PF))
            layout.reset_price(*self._prices[series])
        price_ints, price_floats = self._prices[series]
        if not runs_on:
            layout.reset_price(price_ints, price_floats)
        strike = float("nan") if market.strike is None else float(market.strike)
        layout.reset_market(
            self._market_ints, self._market_floats, market.open_ns, market.close_ns, strike,
            int(self._ints[layout.C_AVERAGE_NS]),
        )  # fmt: skip
        self._state = (
            price_ints, price_floats, self._market_ints, self._market_floats, self._ints, self._floats,
        )  # fmt: skip
        self._last_ns = 0

    def push(self, recv_ns: int, row: NDArray[np.float64]) -> NDArray[np.float32]:
        """Take in one tick, (C,) float64, and return its state, (F,) float32 with zero position entries.

        Raises:
            BadRecording: the clock did not move forward, or the row is not one tick.
            UsageError: no market was started.
        """
        if self._state is None:
            raise UsageError("a tick was pushed before any market was started. Call start(market) first.")
        if recv_ns <= self._last_ns:
            raise BadRecording(f"a tick at {recv_ns} ns came after one at {self._last_ns} ns; time must move forward.")
        if row.shape != (N_COLUMNS,):
            raise BadRecording(f"a tick has {N_COLUMNS} columns; this row has shape {row.shape}.")
        self._advance(recv_ns, recv_ns)
        self._clock[0] = recv_ns
        out = np.empty((1, self._width), np.float32)
        compiled.run(*self._state, self._clock, np.ascontiguousarray(row, np.float64).reshape(1, N_COLUMNS), out)
        return out[0]

    def run(self, recv_ns: NDArray[np.int64], rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """`push` for many ticks of the started market: (T,), (T, C) -> (T, F), bitwise the same.

        Raises:
            BadRecording, UsageError: as `push`.
        """
        if self._state is None:
            raise UsageError("ticks were given before any market was started. Call start(market) first.")
        if rows.shape != (len(recv_ns), N_COLUMNS):
            raise BadRecording(f"{len(recv_ns)} ticks want rows ({len(recv_ns)}, {N_COLUMNS}); got {rows.shape}.")
        out = np.empty((len(recv_ns), len(self.schema.table)), np.float32)
        if len(recv_ns) == 0:
            return out
        if recv_ns[0] <= self._last_ns or not (recv_ns[1:] > recv_ns[:-1]).all():
            raise BadRecording("the ticks' recv_ns must strictly increase and follow what was pushed before.")
        self._advance(int(recv_ns[0]), int(recv_ns[-1]))
        compiled.run(*self._state, np.ascontiguousarray(recv_ns, np.int64), np.ascontiguousarray(rows, np.float64), out)
        return out

    def _advance(self, first_ns: int, last_ns: int) -> None:
        """Note how far the clock went; a window's first tick may find a history from its own future."""
        if self._last_ns == 0 and self._state is not None and self._state[0][layout.P_SEEN_NS] > first_ns:
            layout.reset_price(self._state[0], self._state[1])
        self._last_ns = last_ns


def batch_features(schema: FeatureSchema, tapes: Iterable[Tape]) -> list[NDArray[np.float32]]:
    """States of whole windows, one (T, F) float32 C-contiguous array per tape, position entries zero.

    Give the tapes of one series in time order; series may be mixed as you like.
    """
    kernel = FeatureKernel(schema)
    states: list[NDArray[np.float32]] = []
    for tape in tapes:
        kernel.start(tape.market)
        states.append(kernel.run(tape.recv_ns, tape.rows))
    return states


def _constants(schema: FeatureSchema) -> tuple[_Ints, _Floats]:
    """Lay the schema's parameters out as the compiled step reads them.

    Raises:
        UsageError: the step does not compute these columns.
    """
    if schema.columns not in (STATE18.columns, EDGE.columns):
        raise UsageError(
            f"the kernel computes the columns of state18 and of edge; schema {schema.name} has others. "
            "Teach mlx_rl/features/step.py to compute them, or use one of those two."
        )
    p = schema.params
    relative = p["reference"] == "underlying"
    minute = p["underlying_minute_move"] if relative else p["own_mid_minute_move"]
    ints, floats = np.zeros(layout.N_CI, np.int64), np.zeros(layout.N_CF)
    ints[layout.C_RELATIVE] = relative
    ints[layout.C_EDGE] = schema.columns == EDGE.columns
    for at, name in (
        (layout.C_FLOW_NS, "flow_window_s"),
        (layout.C_INTENSITY_NS, "intensity_window_s"),
        (layout.C_LARGE_NS, "large_trade_window_s"),
        (layout.C_STALE_NS, "stale_s"),
        (layout.C_AVERAGE_NS, "average_s"),
        (layout.C_GRACE_NS, "strike_grace_s"),
    ):
        ints[at] = round(p.get(name, 0.0) * NS_PER_S)
    for at, minutes in (
        (layout.C_SCALE_1M, 1), (layout.C_SCALE_5M, 5), (layout.C_SCALE_10M, 10), (layout.C_SCALE_1H, 60),
    ):  # fmt: skip
        floats[at] = minute * sqrt(minutes)
    floats[layout.C_SPREAD] = p["spread_usd"]
    floats[layout.C_INTENSITY] = p["intensity_per_s"] * p["intensity_window_s"]
    floats[layout.C_SIGMA_FLOOR] = p.get("sigma_floor", 0.0)
    floats[layout.C_SIGMA_AFTER_S] = p.get("sigma_after_s", 0.0)
    floats[layout.C_AGE_S] = p.get("age_s", 1.0)
    return ints, floats

"""Single entries worked by hand, what is missing, what is refused."""

import dataclasses

import numpy as np
import pytest

from mlx_rl.features.kernel import FeatureKernel, batch_features
from mlx_rl.features.schema import POSITION_COLUMNS, FeatureSchema, schema_for
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording, UsageError
from observer.records import (
    BUY_USD,
    DOWN_ASK,
    DOWN_BID,
    MAX_TRADE_USD,
    N_COLUMNS,
    N_TRADES,
    REFERENCE,
    REFERENCE_AGE_S,
    SELL_USD,
    TICK_COLUMNS,
    UP_ASK,
    UP_ASK_DEPTH5,
    UP_ASK_SIZE,
    UP_BID,
    UP_BID_DEPTH5,
    UP_BID_SIZE,
)
from tests.mlx_rl.features.recorded import recorded_tapes
from tests.samples.tapes import make_market, make_tape

MARKET = make_market()


def play(schema: FeatureSchema, ticks: list[tuple[float, dict[int, float]]], market=MARKET) -> list[dict[str, float]]:
    """States after ticks given as (seconds after the open, {column: value})."""
    kernel = FeatureKernel(schema)
    kernel.start(market)
    states = []
    for second, values in ticks:
        row = np.full(N_COLUMNS, np.nan)
        for column, value in values.items():
            row[column] = value
        state = kernel.push(MARKET.open_ns + round(second * NS_PER_S), row)
        states.append(dict(zip(schema.columns, state.tolist(), strict=True)))
    return states


QUOTED = {UP_BID: 0.49, UP_ASK: 0.51}


def test_a_return_over_one_minute_of_the_underlying() -> None:
    states = play(schema_for("state18"), [(0, {REFERENCE: 100.0}), (59.9, {REFERENCE: 100.07}), (60, {})])

    # At 60 s the price of 0 s is one minute old: move 0.0007, the typical one, squashes to 0.0007/(2*0.0007).
    assert [s["returns_1m"] for s in states] == [0, 0, pytest.approx(0.5, abs=1e-6)]


def test_a_return_of_the_own_mid_is_a_difference_in_usd() -> None:
    ticks = [(0, {UP_BID: 0.40, UP_ASK: 0.42}), (60, {UP_BID: 0.42, UP_ASK: 0.44})]

    # 0.43 - 0.41 = 0.02 against a typical 0.06: 0.02/0.08.
    assert play(schema_for("state18", reference="own_mid"), ticks)[1]["returns_1m"] == pytest.approx(0.25, abs=1e-6)


def test_a_price_is_forgotten_when_it_is_stale() -> None:
    states = play(schema_for("state18"), [(0, {REFERENCE: 100.0}), (60, {REFERENCE: 101.0}), (121, {}), (180, {})])

    assert states[1]["returns_1m"] > 0.9
    assert states[2]["returns_1m"] == 0  # now: 61 s old, no longer known


def test_imbalance_by_touch_by_depth_one_sided_and_unknown() -> None:
    touch, depth = {UP_BID_SIZE: 30.0, UP_ASK_SIZE: 10.0}, {UP_BID_DEPTH5: 100.0, UP_ASK_DEPTH5: 300.0}
    ticks = [
        (0, {**QUOTED, **touch, **depth}),
        (1, {**QUOTED, **touch}),
        (2, {**QUOTED, **depth}),
        (3, {UP_BID: 0.9, UP_BID_SIZE: 5.0, UP_BID_DEPTH5: 9.0}),
        (4, {**QUOTED, UP_BID_SIZE: 5.0}),
        (5, QUOTED),
    ]
    states = play(schema_for("state18"), ticks)

    # (30 - 10)/40 = 0.5 and (100 - 300)/400 = -0.5; one stands in for the other; no ask at all is all bid;
    # an ask of unknown size makes the balance unknown.
    assert [s["order_book_imbalance_l1"] for s in states] == [0.5, 0.5, -0.5, 1, 0, 0]
    assert [s["order_book_imbalance_l5"] for s in states] == [-0.5, 0.5, -0.5, 1, 0, 0]


def test_flow_acceleration_intensity_and_a_large_trade() -> None:
    ticks = [
        (0, {BUY_USD: 10.0, SELL_USD: 30.0, N_TRADES: 4.0, MAX_TRADE_USD: 12.0}),
        (60, {BUY_USD: 80.0, SELL_USD: 0.0, N_TRADES: 1.0, MAX_TRADE_USD: 80.0}),
        (69.9, {}),
        (70, {}),
        (120, {}),
    ]
    states = play(schema_for("state18"), ticks)

    # 0 s: (10-30)/40 = -0.5, nothing before: half of it. 60 s: the first tick has left the window of (0, 60]:
    # flow 1, before -0.5: 0.75. 120 s: the window is empty, the one before had flow 1.
    assert [s["trade_flow_imbalance"] for s in states] == [-0.5, 1, 1, 1, 0]
    assert [s["cvd_acceleration"] for s in states] == [-0.25, 0.75, 0.75, 0.75, -0.5]
    # 4 trades in 10 s are 0.4/s: 0.4/1.4; then 0.1/1.1 until the trade is ten seconds old.
    assert [s["trade_intensity"] for s in states] == pytest.approx([0.4 / 1.4, 0.1 / 1.1, 0.1 / 1.1, 0, 0], abs=1e-6)
    # Mean 40/4 = 10 against 12: 1 - 10/12. Then mean 120/5 = 24 against 80: 0.7.
    assert [s["large_trade_flag"] for s in states] == pytest.approx([1 / 6, 0.7, 0.7, 0.7, 0], abs=1e-6)


def test_volatility_of_a_price_that_moves_each_five_seconds() -> None:
    ticks = [(5.0 * k, {REFERENCE: 100.0 * (1 + 1e-3 * (k % 2))}) for k in range(61)]
    states = play(schema_for("state18"), ticks)

    # Each five-second move is 0.001 up or 0.001/1.001 down; 60 of them in five minutes: about 0.001 * sqrt(60).
    sd = 1e-3 * np.sqrt(60)
    assert states[-1]["vol_5m"] == pytest.approx(sd / (sd + 0.0007 * np.sqrt(5)), abs=1e-3)
    assert states[-1]["vol_expansion"] == pytest.approx(0, abs=1e-3)


def test_spread_is_read_from_either_token_and_is_one_without_two_sides() -> None:
    ticks = [(0, QUOTED), (1, {UP_BID: 0.49, DOWN_BID: 0.45}), (2, {DOWN_ASK: 0.51}), (3, {})]
    states = play(schema_for("state18"), ticks)

    # 0.02 -> one half; 1 - 0.45 = 0.55 asks for Up: 0.06/0.08; then one side only; then none.
    assert [s["spread_pct"] for s in states] == pytest.approx([0.5, 0.75, 1, 1], abs=1e-6)


def test_probability_moves_no_further_than_a_single_side_demands() -> None:
    ticks = [(0, {UP_BID: 0.99}), (1, QUOTED), (2, {UP_BID: 0.45}), (3, {UP_BID: 0.6}), (4, {UP_ASK: 0.55}), (5, {})]
    p = [0.5 + 0.5 * s["market_probability"] for s in play(schema_for("edge"), ticks)]

    assert p == pytest.approx([0.5, 0.5, 0.5, 0.6, 0.55, 0.55], abs=1e-6)


def test_fair_value_half_way_between_nothing_and_certainty() -> None:
    market = dataclasses.replace(MARKET, strike=100.0)
    calm = [(5.0 * k, {REFERENCE: 100.0, **QUOTED}) for k in range(20)]
    at = play(schema_for("edge"), [*calm, (800, {REFERENCE: 100.1, **QUOTED})], market)

    # No move so far: volatility is the floor, 1e-5 per sqrt(s). At the strike the bet is worth one half.
    assert at[-2]["fair_value"] == 0
    assert at[-2]["fair_gap"] == 0
    # 800 s: ln(100.1/100) = 0.0009995 over 1e-5 * sqrt(100 s) = 1e-4 is 9.995 deviations: certain, against 0.50.
    assert at[-1]["fair_value"] == pytest.approx(1, abs=1e-6)
    assert at[-1]["fair_gap"] == pytest.approx(0.5, abs=1e-6)
    assert at[-1]["strike_distance"] == pytest.approx(9.995 / 10.995, abs=1e-4)


def test_the_settlement_average_freezes_as_the_last_minute_passes() -> None:
    market = dataclasses.replace(MARKET, strike=100.0)
    ticks = [(700.0 + 5 * k, {REFERENCE: 100.0}) for k in range(28)] + [(870.0, {REFERENCE: 100.01}), (900, {})]
    states = play(schema_for("edge", sigma_floor=1e-5), ticks, market)

    # From 840 s to 870 s the price stood at 100, then at 100.01: the average will be 100.005 if it stays. At
    # 870 s volatility is still the floor: 0.005/(100 * 1e-5 * sqrt(60)) = 0.6455 deviations.
    assert states[-2]["settlement_average"] == pytest.approx(0.6455 / 1.6455, abs=1e-4)
    assert states[-1]["settlement_average"] > 0


def test_the_first_price_is_the_strike_only_near_the_open() -> None:
    late = [(31.0 + 5 * k, {REFERENCE: 100.0 + k % 2}) for k in range(20)]
    soon = [(29.0, {REFERENCE: 100.0}), *late]

    assert play(schema_for("edge"), late)[-1]["fair_value"] == 0
    assert play(schema_for("edge"), soon)[-1]["fair_value"] > 0


def test_staleness_grows_with_the_age_told_and_the_time_since() -> None:
    states = play(schema_for("edge"), [(0, {}), (1, {REFERENCE: 100.0, REFERENCE_AGE_S: 1.0}), (3, {}), (90, {})])

    # Never seen: 1. Told 1 s: 1/2. Two seconds later 3 s: 3/4. Older than stale_s: unknown, 1.
    assert [s["staleness"] for s in states] == pytest.approx([1, 0.5, 0.75, 1])


def test_a_tick_that_knows_nothing_gives_the_documented_values() -> None:
    state = play(schema_for("edge"), [(450, {})])[0]

    wanted = dict.fromkeys(state, 0.0) | {"spread_pct": 1.0, "staleness": 1.0, "time_remaining": 0.5}
    assert state == pytest.approx(wanted)


def test_every_column_of_the_tick_is_read_but_the_sizes_of_down() -> None:
    schema = schema_for("edge")
    tape = make_tape(seed=4, n_ticks=600, missing_frac=0)
    base = batch_features(schema, [tape])[0]
    unread = []
    for column, name in enumerate(TICK_COLUMNS):
        rows = tape.rows.copy()
        rows[:, column] = rows[::-1, column] if column > DOWN_ASK else np.nan
        other = batch_features(schema, [dataclasses.replace(tape, rows=rows)])[0]
        if np.array_equal(base, other):
            unread.append(name)

    # Down's sizes are the mirror of Up's; the features look at Up's book, as the state's order says.
    assert unread == ["down_bid_size", "down_ask_size", "down_bid_depth5", "down_ask_depth5"]


def test_no_entry_is_constant_on_recorded_markets() -> None:
    for folder in ("polymarket_btc15m_1s", "small/polymarket_btc15m_6_windows"):
        schema = schema_for("state18", reference="own_mid")
        states = np.concatenate(batch_features(schema, recorded_tapes(folder)))
        constant = [c for i, c in enumerate(schema.columns) if states[:, i].std() < 0.01]

        assert constant == [schema.columns[i] for i in POSITION_COLUMNS], folder
        assert np.isfinite(states).all()
        assert np.abs(states).max() <= 1


def test_bad_ticks_and_markets_are_refused() -> None:
    kernel, row = FeatureKernel(schema_for("state18")), np.full(N_COLUMNS, np.nan)
    with pytest.raises(UsageError, match="before any market was started"):
        kernel.push(1, row)
    kernel.start(MARKET)
    kernel.push(MARKET.open_ns, row)
    with pytest.raises(BadRecording, match="time must move forward"):
        kernel.push(MARKET.open_ns, row)
    with pytest.raises(BadRecording, match="a tick has 18 columns"):
        kernel.push(MARKET.open_ns + 1, row[:5])
    tape = make_tape(n_ticks=3)
    with pytest.raises(BadRecording, match="strictly increase"):
        batch_features(kernel.schema, [dataclasses.replace(tape, recv_ns=tape.recv_ns[::-1])])
    with pytest.raises(BadRecording, match=r"3 ticks want rows \(3, 18\); got \(2, 18\)"):
        batch_features(kernel.schema, [dataclasses.replace(tape, rows=tape.rows[:2])])
    with pytest.raises(BadRecording, match=r"strike -1.0 is not a price"):
        kernel.start(dataclasses.replace(MARKET, strike=-1.0))


def test_columns_the_step_does_not_know_are_refused() -> None:
    schema = schema_for("state18")
    shuffled = FeatureSchema("mine", schema.table[::-1], schema.settings)

    with pytest.raises(UsageError, match="schema mine has others"):
        FeatureKernel(shuffled)

"""The session: sticky arms in the thick of it, refusals, an arm that fails, shared memory of a series."""

from dataclasses import replace

import pytest

from live.risk import Limits, Refusal, RiskState
from observer.kit.errors import ToolkitError
from observer.records import BUY, HOLD, SELL
from tests.live.scripted import buy_then_sell, fails, run, session
from tests.samples.tapes import make_tape


def test_a_new_ramp_in_mid_window_moves_nothing_until_the_next_window() -> None:
    made, records = session(buy_then_sell, lambda t: HOLD)
    first, second = make_tape(0, 100, index=0, missing_frac=0), make_tape(0, 100, index=1, missing_frac=0)
    run(made, first, at={3: lambda: made.router.set_ramp(1.0)})  # tick 3: Up is held
    made.close(first.market.market_id, 1.0, "test")
    run(made, second)

    orders = [body for kind, body in records if kind == "order"]
    assert {o["arm"] for o in orders if o["market"] == first.market.market_id} == {"a"}
    assert len(orders) == 20
    assert made.desks[second.market.market_id].assignment.arm == "b"


def test_an_arm_keeps_its_window_while_the_position_is_open() -> None:
    made, _ = session(lambda t: BUY if t == 0 else HOLD)
    tape = make_tape(0, 50, missing_frac=0)
    run(made, tape)

    with pytest.raises(ToolkitError, match="is not flat"):
        made.router.release(tape.market.market_id, made.desks[tape.market.market_id].account.position)


def test_a_refused_order_is_recorded_and_not_sent() -> None:
    made, records = session(buy_then_sell, limits=Limits(max_position_shares=1))
    run(made, make_tape(0, 50, missing_frac=0))

    orders = [body for kind, body in records if kind == "order"]
    assert {o["refused"] for o in orders} == {Refusal.POSITION}
    assert made.counts.refused == {Refusal.POSITION: len(orders)}
    assert made.counts.orders == made.counts.fills == 0


def test_the_exposure_of_all_windows_together_is_limited() -> None:
    # Two windows at once; each open may cost up to 5 shares × 1 USD, and the limit of 6 leaves room for one.
    made, _ = session(lambda t: BUY if t == 0 else HOLD, limits=Limits(max_exposure_usd=6))
    one = make_tape(0, 20, missing_frac=0)
    two = replace(one, market=replace(one.market, market_id="other", series="other"))
    for tape in (one, two):
        made.open(tape.market)
    for t in range(20):
        for tape in (one, two):
            made.tick(tape.market.market_id, int(tape.recv_ns[t]), tape.rows[t])

    assert made.counts.orders == 1
    assert made.counts.refused == {Refusal.EXPOSURE: 1}


def test_a_trading_arm_that_cannot_decide_halts_the_session() -> None:
    made, records = session(fails)
    run(made, make_tape(0, 60, missing_frac=0))

    errors = [body["arms"]["a"] for kind, body in records if kind == "tick" and "error" in body["arms"]["a"]]
    after = [body for kind, body in records if kind == "order"][2:]
    assert errors == [{"error": "the state holds NaN"}]
    assert (made.gate.state, made.gate.reason) == (RiskState.HALTED, "a: the state holds NaN")
    assert after
    assert {o["refused"] for o in after} == {Refusal.HALTED}


def test_a_shadow_arm_that_cannot_decide_halts_nothing() -> None:
    made, _ = session(buy_then_sell, fails)
    run(made, make_tape(0, 60, missing_frac=0))

    assert made.gate.state == RiskState.ACTIVE
    assert made.counts.decisions == 2 * 60 - 1


def test_a_series_keeps_its_arms_and_overlapping_windows_get_fresh_ones() -> None:
    made, _ = session(buy_then_sell)
    first, second = make_tape(0, 20, index=0), make_tape(0, 20, index=1)
    overlapping = replace(
        second, market=replace(second.market, market_id="late", open_ns=second.market.open_ns + 10**9)
    )
    run(made, first)
    run(made, second)
    kept = made.desks[second.market.market_id].arms["a"]
    made.open(overlapping.market)

    assert made.desks[first.market.market_id].arms["a"] is kept
    assert kept.started == 2
    assert made.desks["late"].arms["a"] is not kept


def test_a_window_without_outcome_counts_only_if_nothing_is_at_stake() -> None:
    flat, _ = session(lambda t: HOLD)
    held, _ = session(lambda t: BUY if t == 0 else HOLD)
    tape = make_tape(0, 20, missing_frac=0)
    run(flat, tape)
    run(held, tape)

    assert flat.close(tape.market.market_id, None, None).net_usd == 0.0
    assert held.close(tape.market.market_id, None, None).net_usd is None


def test_paper_money_worked_by_hand() -> None:
    # BUY at tick 0 fills at tick 1's ask, SELL at tick 5 fills at tick 6's bid, 5 shares, no fee, size at the touch.
    made, records = session(lambda t: {0: BUY, 5: SELL}.get(t, HOLD))
    tape = make_tape(0, 20, missing_frac=0)
    tape.rows[:, 4:8] = 100.0  # more than 5 shares at every touch
    run(made, tape)
    done = made.close(tape.market.market_id, 1.0, "test")

    fills = [body["cash_usd"] for kind, body in records if kind == "fill"]
    assert fills == pytest.approx([-5 * tape.rows[1, 1], 5 * tape.rows[6, 0]])
    assert done.net_usd == pytest.approx(5 * (tape.rows[6, 0] - tape.rows[1, 1]))
    assert made.net_usd() == done.net_usd
    assert made.broker.accounts == {}

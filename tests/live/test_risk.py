"""The gate: each limit refuses by name, closing always passes but in HALTED, and states only go down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.risk import Book, Gate, Limits, Refusal, RiskState
from mlx_rl.market.binary import CLOSE_DOWN, CLOSE_UP, OPEN_DOWN, OPEN_UP

CALM = {"size_shares": 50.0, "is_closed": False, "orders": 0, "exposure_usd": 0.0, "session_usd": 0.0}


def book(**changes: float | bool) -> Book:
    return Book(**{**CALM, **changes})


@pytest.mark.parametrize(
    ("limits", "at", "refusal"),
    [
        ({}, {}, None),
        ({"max_position_shares": 50}, {}, None),
        ({"max_position_shares": 49}, {}, Refusal.POSITION),
        ({"max_exposure_usd": 80}, {"exposure_usd": 30.0}, None),  # 30 + 50 × 1 USD = 80
        ({"max_exposure_usd": 80}, {"exposure_usd": 30.01}, Refusal.EXPOSURE),
        ({"max_orders": 3}, {"orders": 2}, None),
        ({"max_orders": 3}, {"orders": 3}, Refusal.ORDERS),
        ({"max_loss_usd": 10}, {"session_usd": -9.99}, None),
        ({"max_loss_usd": 10}, {"session_usd": -10.0}, Refusal.REDUCING),
        ({}, {"is_closed": True}, Refusal.CLOSED),
    ],
)
def test_an_open_is_refused_by_the_limit_it_breaks(limits: dict, at: dict, refusal: Refusal | None) -> None:
    assert Gate(Limits(**limits)).check(OPEN_UP, book(**at)) == refusal


def test_a_close_passes_where_an_open_does_not() -> None:
    gate = Gate(Limits(max_position_shares=1, max_exposure_usd=1, max_orders=1, max_loss_usd=1))
    worst = book(orders=9, exposure_usd=99.0, session_usd=-99.0)

    assert gate.check(OPEN_DOWN, worst) is not None
    assert gate.check(CLOSE_UP, worst) is None
    assert gate.check(CLOSE_DOWN, worst) is None


def test_halted_lets_nothing_through_and_stays() -> None:
    gate = Gate(Limits(max_loss_usd=10))
    gate.halt("the arm cannot decide")

    assert [gate.check(order, book()) for order in range(4)] == [Refusal.HALTED] * 4
    assert gate.check(OPEN_UP, book(session_usd=-99.0)) == Refusal.HALTED
    assert (gate.state, gate.reason) == (RiskState.HALTED, "the arm cannot decide")


def test_a_recovered_loss_does_not_reopen_the_gate() -> None:
    gate = Gate(Limits(max_loss_usd=10))
    gate.check(OPEN_UP, book(session_usd=-10.0))

    assert gate.check(OPEN_UP, book(session_usd=5.0)) == Refusal.REDUCING


@given(
    st.lists(st.tuples(st.sampled_from([OPEN_UP, CLOSE_UP]), st.floats(0, 200), st.floats(-50, 50)), max_size=20),
    st.floats(1, 200),
)
def test_what_passes_never_exceeds_the_exposure_limit(orders: list[tuple[int, float, float]], limit: float) -> None:
    gate = Gate(Limits(max_exposure_usd=limit))
    for order, exposure, session in orders:
        passed = gate.check(order, book(exposure_usd=exposure, session_usd=session)) is None

        assert not (passed and order == OPEN_UP and exposure + 50 > limit)

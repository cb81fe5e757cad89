"""The event-driven account, by hand."""

import numpy as np
import pytest

from mlx_rl.market import LawSettings
from mlx_rl.market.binary import CLOSE_UP, NO_ORDER, OPEN_UP
from mlx_rl.market.fills import TickFills
from mlx_rl.market.portfolio import Account
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording, UsageError
from observer.records import BUY, DOWN, FLAT, HOLD, SELL, UP


def _tick(cash: list[float], fee: float = 0.0, spread: float = 0.0, dust: float = 0.0) -> TickFills:
    return TickFills(np.array(cash), np.full(4, fee), np.full(4, spread), np.zeros(4), np.array([dust, 0, dust, 0]))


QUOTES = _tick([-26.0, 24.0, -27.0, 23.0], fee=0.5, spread=1.0, dust=0.004)
NOTHING = _tick([np.nan] * 4)


def test_open_close_and_where_the_money_went() -> None:
    account = Account(LawSettings())

    account.on_tick(0, QUOTES)
    assert account.decide(BUY) == OPEN_UP
    assert account.mask().tolist() == [True, False, False]
    filled = account.on_tick(1, QUOTES)
    assert filled is not None
    assert (filled.order, filled.is_filled, filled.cash_usd) == (OPEN_UP, True, -26.0)
    # Held: it would sell for 24, so it is 2 USD down, 2 / 50 of the payout.
    assert (account.position, account.cash_usd, account.equity_usd(), account.pnl_usd()) == (UP, -26.0, -2.0, -2.0)
    assert account.entries().tolist() == pytest.approx([1.0, 1.0, -0.04])
    account.decide(SELL)
    account.on_tick(2, _tick([-31.0, 29.0, -20.0, 18.0], fee=0.5, spread=1.0))
    assert (account.position, account.entry_usd) == (FLAT, 0.0)
    net = account.settle(1.0)

    # −26 + 29 = 3, and 0.004 shares of dust pay 0.004. At mid without fees: −24.5 + 30.5 + 0.004 = 6.004.
    assert net == pytest.approx(3.004)
    water = account.waterfall
    assert (water.gross, water.spread, water.fees, water.slippage) == pytest.approx((6.004, 2.0, 1.0, 0.0))
    assert water.net == pytest.approx(net)
    assert (water.trades, water.turnover_usd, water.held_to_settlement) == (2, 55.0, False)


def test_an_order_without_depth_changes_nothing() -> None:
    account = Account(LawSettings())
    account.on_tick(0, QUOTES)
    account.decide(SELL)

    filled = account.on_tick(1, NOTHING)

    assert filled is not None
    assert not filled.is_filled
    assert (account.position, account.cash_usd, account.pending) == (FLAT, 0.0, NO_ORDER)
    assert account.mask().all()


def test_a_held_position_settles_without_a_fee() -> None:
    account = Account(LawSettings(), position=DOWN, entry_usd=-20.0)
    account.on_tick(0, NOTHING)

    assert account.pnl_usd() == -20.0  # no bid was ever seen
    assert account.settle(0.0) == 50.0
    assert account.waterfall.held_to_settlement


def test_an_order_in_flight_lapses_at_the_end() -> None:
    account = Account(LawSettings(), position=UP)
    account.on_tick(0, QUOTES)
    assert account.decide(SELL) == CLOSE_UP

    assert account.settle(0.5) == 25.0
    assert account.pending == NO_ORDER


def test_latency_counts_from_the_decision() -> None:
    account = Account(LawSettings(latency_s=1.0))
    account.on_tick(0, QUOTES)
    account.decide(BUY)

    assert account.on_tick(NS_PER_S - 1, QUOTES) is None
    account.decide(HOLD)
    assert account.on_tick(NS_PER_S, QUOTES) is not None


def test_pessimistic_waits_one_more_tick() -> None:
    account = Account(LawSettings(latency_s=1.0, fills="pessimistic"))
    account.on_tick(0, QUOTES)
    account.decide(BUY)

    assert account.on_tick(NS_PER_S, QUOTES) is None
    assert account.on_tick(NS_PER_S + 1, QUOTES) is not None


def test_what_the_mask_forbids_is_refused() -> None:
    account = Account(LawSettings())
    with pytest.raises(UsageError, match="a decision needs a tick"):
        account.decide(HOLD)
    account.on_tick(0, QUOTES)
    account.decide(BUY)

    with pytest.raises(UsageError, match=r"SELL is not allowed while flat with OPEN_UP in flight"):
        account.decide(SELL)


def test_time_runs_forward_and_settlement_is_the_end() -> None:
    account = Account(LawSettings())
    account.on_tick(5, QUOTES)

    with pytest.raises(BadRecording, match="tick at 5 ns after one at 5 ns"):
        account.on_tick(5, QUOTES)
    account.settle(1.0)
    with pytest.raises(BadRecording, match="settled before: True"):
        account.settle(1.0)
    with pytest.raises(BadRecording, match="after settlement"):
        account.on_tick(6, QUOTES)

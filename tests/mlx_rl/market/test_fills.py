"""Orders at a tick: depth, fees in shares, latency, and the parts of the cost, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mlx_rl.market import LawSettings
from mlx_rl.market.binary import CLOSE_DOWN, CLOSE_UP, OPEN_DOWN, OPEN_UP
from mlx_rl.market.fills import Fills, TickPricer, liquidation_usd, price_fills
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording
from observer.records import N_COLUMNS, FeeSchedule, Ladder, Tape
from observer.venues.fees import FREE, KALSHI, POLYMARKET_CRYPTO
from tests.samples.tapes import make_market, make_tape

V2 = POLYMARKET_CRYPTO[2]


def _tape(fees: FeeSchedule = FREE, *, size: float = np.nan, depth: float = np.nan, n: int = 3) -> Tape:
    """Up 0.48/0.52, Down 0.46/0.54, the same at every tick and on every side."""
    market = make_market(fees=fees)
    rows = np.full((n, N_COLUMNS), np.nan)
    rows[:, :4] = [0.48, 0.52, 0.46, 0.54]
    rows[:, 4:8], rows[:, 8:12] = size, depth
    return Tape(market, market.open_ns + np.arange(n, dtype=np.int64) * NS_PER_S // 2, rows)


def _cash(tape: Tape, fills: str = "base", size_shares: float = 50) -> np.ndarray:
    return price_fills(tape, LawSettings(size_shares=size_shares, fills=fills)).cash[0]


def test_buy_at_the_ask_and_sell_at_the_bid() -> None:
    # 50 shares: Up costs 26, sells for 24; Down costs 27, sells for 23.
    np.testing.assert_allclose(_cash(_tape(size=100)), [-26.0, 24.0, -27.0, 23.0])


def test_unknown_sizes_fill_at_the_touch_or_one_tick_worse() -> None:
    np.testing.assert_allclose(_cash(_tape(), "optimistic"), [-26.0, 24.0, -27.0, 23.0])
    np.testing.assert_allclose(_cash(_tape(), "base"), [-26.0, 24.0, -27.0, 23.0])
    np.testing.assert_allclose(_cash(_tape(), "pessimistic"), [-26.5, 23.5, -27.5, 22.5])


def test_all_or_nothing_at_a_thin_touch() -> None:
    assert np.isnan(_cash(_tape(size=49.99))).all()
    assert np.isfinite(_cash(_tape(size=50.0))).all()
    assert np.isnan(_cash(_tape(size=0.0))).all()


def test_depth_over_five_levels_is_spread_by_the_assumption() -> None:
    tape = _tape(depth=100.0)

    # Base: 20 shares a level. 20 × 0.52 + 20 × 0.53 + 10 × 0.54 = 26.4; 20 × 0.48 + 20 × 0.47 + 10 × 0.46 = 23.6.
    np.testing.assert_allclose(_cash(tape, "base")[:2], [-26.4, 23.6])
    np.testing.assert_allclose(_cash(tape, "optimistic")[:2], [-26.0, 24.0])
    # Pessimistic: all at the fifth level, 0.56 and 0.44.
    np.testing.assert_allclose(_cash(tape, "pessimistic")[:2], [-28.0, 22.0])
    assert np.isnan(_cash(_tape(depth=49.0))).all()


def test_a_known_touch_binds_and_the_rest_lies_behind_it() -> None:
    tape = _tape(size=10.0, depth=110.0)

    # 10 at 0.52, then 25 a level behind it: 5.2 + 25 × 0.53 + 15 × 0.54 = 26.55.
    assert _cash(tape, "base")[OPEN_UP] == pytest.approx(-26.55)
    assert _cash(tape, "optimistic")[OPEN_UP] == pytest.approx(-(5.2 + 40 * 0.53))
    assert _cash(tape, "pessimistic")[OPEN_UP] == pytest.approx(-(5.2 + 40 * 0.56))


def test_levels_stay_inside_zero_and_one() -> None:
    tape = _tape(depth=100.0)
    tape.rows[:, :4] = [0.02, 0.98, 0.02, 0.98]

    # Base buys 20 at 0.98 and 30 at 0.99, the last price there is; sells 20 at 0.02 and 30 at 0.01.
    np.testing.assert_allclose(_cash(tape)[:2], [-(19.6 + 29.7), 0.4 + 0.3])


def test_a_recorded_ladder_is_walked_under_every_assumption() -> None:
    tape = _tape(size=10.0, depth=1000.0)
    price, size = np.full((3, 4, 10), np.nan), np.full((3, 4, 10), np.nan)
    price[:, 1, :3], size[:, 1, :3] = [0.52, 0.55, 0.60], [10.0, 30.0, 15.0]
    tape = replace(tape, ladder=Ladder(price, size))

    # 10 × 0.52 + 30 × 0.55 + 10 × 0.60 = 27.7; the other sides have no ladder and fall back on the row.
    for fills in ("optimistic", "base", "pessimistic"):
        assert _cash(tape, fills)[OPEN_UP] == pytest.approx(-27.7)
    assert np.isnan(_cash(tape, "base", 56)[OPEN_UP])
    assert np.isfinite(_cash(tape, "base", 56)[CLOSE_UP])


def test_a_fee_in_shares_is_grossed_up_to_the_size() -> None:
    tape = _tape(V2, size=100)
    fills = price_fills(tape, LawSettings())

    # Fee per share bought: 0.07 × 0.48 = 0.0336 shares. 50 / 0.9664 = 51.7384..., so 51.74 in lots of 0.01.
    # Cost 51.74 × 0.52 = 26.9048. Fee 51.74 × 0.07 × 0.2496 = 0.90400..., rounded 0.904.
    # Kept: 51.74 − 0.904 / 0.52 = 50.00153..., dust 0.00153...
    assert fills.cash[0, OPEN_UP] == pytest.approx(-26.9048, abs=1e-12)
    assert fills.fee_usd[0, OPEN_UP] == pytest.approx(0.904, abs=1e-12)
    assert fills.dust_shares[0, OPEN_UP] == pytest.approx(51.74 - 0.904 / 0.52 - 50, abs=1e-9)
    # A sale pays cash: 50 × 0.48 − 50 × 0.07 × 0.2496 = 24 − 0.8736.
    assert fills.cash[0, CLOSE_UP] == pytest.approx(24 - 0.8736, abs=1e-12)
    assert fills.dust_shares[0, CLOSE_UP] == 0.0


def test_the_grossed_up_order_needs_its_depth_too() -> None:
    assert np.isnan(_cash(_tape(V2, size=51.73))[OPEN_UP])
    assert np.isfinite(_cash(_tape(V2, size=51.74))[OPEN_UP])


def test_a_fee_in_cash_leaves_the_size_alone() -> None:
    fills = price_fills(_tape(KALSHI[0], size=100), LawSettings())

    # 50 × 0.07 × 0.2496 = 0.8736, already a whole number of 1e-4.
    np.testing.assert_allclose(fills.cash[0, :2], [-26.8736, 24 - 0.8736])
    assert (fills.dust_shares == 0).all()


def test_the_parts_by_hand() -> None:
    fills = price_fills(_tape(KALSHI[0], depth=100.0), LawSettings())

    # Up's mid is 0.50. Buying walks 26.4: spread 50 × 0.02 = 1, slippage 26.4 − 26 = 0.4, flow at mid −25.
    # Fee 20 × .07 × .52 × .48 + 20 × .07 × .53 × .47 + 10 × .07 × .54 × .46 = 0.872060, up to 0.8721.
    assert fills.spread_usd[0, OPEN_UP] == pytest.approx(1.0)
    assert fills.slippage_usd[0, OPEN_UP] == pytest.approx(0.4)
    assert fills.fee_usd[0, OPEN_UP] == pytest.approx(0.8721)
    assert fills.cash[0, OPEN_UP] == pytest.approx(-25 - 1 - 0.4 - 0.8721)


def test_without_the_other_side_there_is_no_spread_to_show() -> None:
    tape = _tape(size=100)
    tape.rows[:, 0] = np.nan  # Up has no bid

    fills = price_fills(tape, LawSettings())

    assert fills.spread_usd[0, OPEN_UP] == 0.0
    assert fills.cash[0, OPEN_UP] == pytest.approx(-26.0)
    assert np.isnan(fills.cash[0, CLOSE_UP])
    assert np.isfinite(fills.cash[0, [OPEN_DOWN, CLOSE_DOWN]]).all()


def test_a_decision_executes_at_the_first_tick_late_enough() -> None:
    tape = _tape(n=6)
    times = np.array([0.0, 0.5, 1.0, 2.0, 2.5, 4.0])
    tape = replace(tape, recv_ns=(times * NS_PER_S).astype(np.int64))

    def at(**law: object) -> list[int]:
        return price_fills(tape, LawSettings.model_validate(law)).execute_at.tolist()

    assert at() == [1, 2, 3, 4, 5, 6]
    assert at(latency_s=0.1) == [1, 2, 3, 4, 5, 6]  # never at the quotes that were decided on
    assert at(latency_s=1.0) == [2, 3, 3, 5, 5, 6]
    assert at(fills="pessimistic") == [2, 3, 4, 5, 6, 6]
    assert at(latency_s=1.0, fills="pessimistic") == [3, 4, 4, 6, 6, 6]


@pytest.mark.parametrize("with_ladder", [False, True])
def test_tick_by_tick_gives_the_same_bits(with_ladder: bool) -> None:
    tape = make_tape(3, 120, fees=V2, ladder=with_ladder)
    law = LawSettings()
    whole, pricer = price_fills(tape, law), TickPricer(tape.market, law)

    for t in range(len(tape)):
        depth = () if tape.ladder is None else (tape.ladder.price[t], tape.ladder.size[t])
        one, same = pricer.price(tape.rows[t], *depth), whole.at(t)
        for name in ("cash", "fee_usd", "spread_usd", "slippage_usd", "dust_shares"):
            assert getattr(one, name).tobytes() == getattr(same, name).tobytes()


def test_liquidation_remembers_the_last_bid() -> None:
    nan = np.nan
    cash = np.array([[0, nan, 0, nan], [0, 20.0, 0, nan], [0, nan, 0, 30.0], [0, 22.0, 0, nan]])
    zero = np.zeros((4, 4))

    worth = liquidation_usd(Fills(cash, zero, zero, zero, zero, np.arange(1, 5), 50.0))

    assert worth.tolist() == [[0.0, 0.0], [20.0, 0.0], [20.0, 30.0], [22.0, 30.0]]


def test_a_price_outside_its_range_is_refused() -> None:
    tape = _tape()
    tape.rows[2, 3] = 1.0

    with pytest.raises(BadRecording, match=r"tick 2, down_ask: price 1\.0; a price is in \(0, 1\) USD"):
        price_fills(tape, LawSettings())

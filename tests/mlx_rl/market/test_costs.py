"""Fees as the venues publish them, worked out by hand."""

import numpy as np
import pytest

from mlx_rl.market import LawSettings
from mlx_rl.market.costs import fee_shares, fee_usd, schedule_of, terms_of
from observer.kit.errors import BadRecording, UsageError
from observer.records import FeeSchedule
from observer.venues.fees import BY_NAME, FREE, KALSHI, POLYMARKET_CRYPTO, POLYMARKET_US
from tests.samples.tapes import make_market

V0, V1, V2 = POLYMARKET_CRYPTO


@pytest.mark.parametrize(
    ("schedule", "shares", "price", "wanted"),
    [
        (V0, 100, 0.50, 0.0),
        (V1, 100, 0.50, 0.78125),  # 100 × 0.5 × 0.25 × 0.25² = 0.78125
        (V1, 100, 0.10, 0.02025),  # 100 × 0.1 × 0.25 × 0.09² = 0.02025
        (V2, 100, 0.50, 1.75),  # 100 × 0.07 × 0.25
        (V2, 100, 0.90, 0.63),  # 100 × 0.07 × 0.09
        (V2, 1, 0.333, 0.01555),  # 0.07 × 0.333 × 0.667 = 0.015547..., to the nearest 1e-5
        (V2, 0.01, 0.01, 0.0),  # 0.01 × 0.07 × 0.0099 = 6.93e-6: below 1e-5 is nothing
        (KALSHI[0], 50, 0.50, 0.875),  # 50 × 0.07 × 0.25 = 0.875, a whole number of 1e-4: not rounded up further
        (KALSHI[0], 1, 0.333, 0.0156),  # 0.015547 up to 1e-4
        (KALSHI[0], 0.01, 0.01, 0.0001),
        (POLYMARKET_US[0], 50, 0.40, 0.06),  # 50 × 0.40 × 0.0030
        (FREE, 50, 0.40, 0.0),
    ],
)
def test_fee_by_hand(schedule: FeeSchedule, shares: float, price: float, wanted: float) -> None:
    assert fee_usd(schedule, shares, price) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_number_alone_costs_the_same_bits_as_in_an_array(name: str) -> None:
    rng = np.random.default_rng(0)
    shares, price = rng.uniform(0, 500, size=(40, 5)), rng.uniform(0.001, 0.999, size=5)

    together = fee_usd(BY_NAME[name], shares, price)

    alone = [[float(fee_usd(BY_NAME[name], s, p)) for s, p in zip(row, price, strict=True)] for row in shares]
    assert together.tolist() == alone


def test_a_fee_in_shares_is_the_fee_at_the_price() -> None:
    # 100 shares at 0.50: 1.75 USD buys 3.5 shares. In cash no share is kept.
    assert fee_shares(V2, 100, 0.5) == pytest.approx(3.5)
    assert fee_shares(KALSHI[0], 100, 0.5) == 0.0


def test_the_schedule_is_the_markets_own_or_the_one_named() -> None:
    market = make_market(fees=V1)

    assert schedule_of(market, "dated") is V1
    assert schedule_of(market, "kalshi-quadratic") is KALSHI[0]
    with pytest.raises(UsageError, match=r"no fee schedule is called 'kalsi'\. Say 'dated' or one of: free, "):
        schedule_of(market, "kalsi")


def test_a_size_that_is_not_whole_lots_is_refused() -> None:
    with pytest.raises(UsageError, match=r"size 50\.005 shares is not a whole number .* multiple of 0\.01"):
        terms_of(make_market(), LawSettings(size_shares=50.005))


def test_a_schedule_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(BadRecording, match=r"fee schedule 'percent': rate 7\.0"):
        terms_of(make_market(fees=FeeSchedule("percent", "quadratic", 7.0)), LawSettings())

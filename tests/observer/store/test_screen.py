"""Rows are refused one by one, each counted under its reason, and what they covered becomes a gap."""

import numpy as np
import pytest

from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording
from observer.records import DOWN_ASK, DOWN_BID, UP_ASK, UP_BID
from observer.store import refusals
from observer.store.refusals import ImportReport
from observer.store.screen import Gap, empty_rows, mirror_down, screen
from tests.samples.tapes import make_market

MARKET = make_market(tick_s=1.0)
OPEN, CLOSE, NAME = MARKET.open_ns, MARKET.close_ns, MARKET.market_id


def quoted(n: int) -> np.ndarray:
    rows = empty_rows(n)
    rows[:, [UP_BID, UP_ASK, DOWN_BID, DOWN_ASK]] = 0.4, 0.5, 0.5, 0.6
    rows[:, 4:12] = 10.0
    return rows


def test_each_unlawful_row_is_counted_once_under_the_first_law_it_breaks() -> None:
    at_s = np.array([-1, 1, 2, 2, 3, 1, 4, 5, 6, 901])  # before, ok, ok, twice, ok, back, ok, ok, ok, after
    rows = quoted(10)
    rows[0, UP_BID] = 0.7  # also crossed; the window comes first
    rows[6, UP_BID] = 0.5  # crossed: bid 0.5, ask 0.5
    rows[7, DOWN_BID] = -0.1
    rows[8, 4] = -1.0
    report = ImportReport("x")

    done = screen(MARKET, OPEN + at_s * NS_PER_S, rows, report)

    assert done.tape is not None
    assert ((done.tape.recv_ns - OPEN) // NS_PER_S).tolist() == [1, 2, 3]
    assert {reason: sum(where.values()) for (_, reason), where in report.refused.items()} == {
        refusals.BEFORE_OPEN: 1, refusals.AFTER_CLOSE: 1, refusals.DUPLICATE: 1, refusals.BACKWARDS: 1,
        refusals.CROSSED: 1, refusals.BAD_PRICE: 1, refusals.BAD_SIZE: 1,
    }  # fmt: skip
    assert report.seen["tick"] == report.kept["tick"] + report.refused_total("tick") == 10


def test_one_refused_row_leaves_a_gap_as_long_as_it_stood() -> None:
    rows = quoted(4)
    rows[[1, 3], UP_BID] = 0.55

    done = screen(MARKET, OPEN + np.array([0, 1, 3, 4]) * NS_PER_S, rows, ImportReport("x"), on_change=True)

    assert [(gap.start_ns - OPEN, gap.end_ns - OPEN) for gap in done.gaps] == [
        (NS_PER_S, 3 * NS_PER_S), (4 * NS_PER_S, 5 * NS_PER_S)
    ]  # fmt: skip


@pytest.mark.parametrize("price", [1.7, 57.0, 5e5, np.inf])
def test_one_price_above_one_is_a_bad_row_and_no_other_unit(price: float) -> None:
    rows = quoted(5)
    rows[2, DOWN_ASK] = price
    report = ImportReport("x")

    done = screen(MARKET, OPEN + np.arange(5) * NS_PER_S, rows, report, on_change=True)

    assert done.tape is not None
    assert len(done.tape) == 4
    assert {reason for (_, reason) in report.refused} == {refusals.BAD_PRICE}


def test_prices_that_were_divided_by_a_hundred_are_refused() -> None:
    rows = quoted(5)
    rows[:, [UP_BID, UP_ASK, DOWN_BID, DOWN_ASK]] /= 100

    with pytest.raises(BadRecording, match="Up and Down together cost 0.01; wanted about 1 USD"):
        screen(MARKET, OPEN + np.arange(5) * NS_PER_S, rows, ImportReport("x"))


def test_gaps_are_longer_than_five_ticks_and_refused_quotes_leave_one_each_run() -> None:
    at_s = np.array([0, 5, 10, 16, 17, 18, 19, 894])
    rows = quoted(8)
    rows[[4, 5], UP_BID] = 0.55

    done = screen(MARKET, OPEN + at_s * NS_PER_S, rows, ImportReport("x"))

    def gap(start_s: int, end_s: int, reason: str) -> Gap:
        return Gap(NAME, OPEN + start_s * NS_PER_S, OPEN + end_s * NS_PER_S, reason)

    assert done.gaps == [
        gap(10, 16, refusals.NO_TICKS), gap(17, 19, refusals.CROSSED), gap(19, 894, refusals.NO_TICKS),
        gap(894, 900, refusals.ENDS_EARLY),
    ]  # fmt: skip


def test_a_source_that_stores_changes_has_no_gap_at_its_ends() -> None:
    done = screen(MARKET, OPEN + np.array([400, 401]) * NS_PER_S, quoted(2), ImportReport("x"), on_change=True)
    late = screen(MARKET, OPEN + np.array([400, 401]) * NS_PER_S, quoted(2), ImportReport("x"))

    assert done.gaps == []
    assert [gap.reason for gap in late.gaps] == [refusals.STARTS_LATE, refusals.ENDS_EARLY]


def test_a_missing_quote_takes_its_size_along_and_is_counted() -> None:
    rows = quoted(2)
    rows[1, UP_ASK] = np.nan
    report = ImportReport("x")

    done = screen(MARKET, OPEN + np.array([1, 2]) * NS_PER_S, rows, report)

    assert done.tape is not None
    assert np.isnan(done.tape.rows[1, [5, 9]]).all()
    assert np.isfinite(done.tape.rows[1, [4, 6, 7, 8, 10, 11]]).all()
    assert report.missing_quotes == 1


def test_a_window_without_a_lawful_tick_is_one_gap() -> None:
    done = screen(MARKET, OPEN + np.array([-3, -2]) * NS_PER_S, quoted(2), ImportReport("x"))

    assert done.tape is None
    assert done.gaps == [Gap(NAME, OPEN, CLOSE, refusals.NO_TICKS)]


def test_wrong_units_stop_the_import_whatever_the_rows() -> None:
    rows = quoted(3)
    rows[:, :4] *= 100

    with pytest.raises(BadRecording, match="look like cents: divide them by 100 and import again"):
        screen(MARKET, OPEN + np.arange(3) * NS_PER_S, rows, ImportReport("x"))


def test_the_down_token_mirrors_the_up_token_of_one_book() -> None:
    rows = quoted(1)
    rows[0, [DOWN_BID, DOWN_ASK, 6, 7, 10, 11]] = np.nan
    rows[0, [4, 5]] = 3.0, 8.0

    mirror_down(rows)

    # Up is 0.4 bid for 3, 0.5 ask for 8: so Down is bid at 1 − 0.5 for 8 and offered at 1 − 0.4 for 3.
    assert rows[0, [DOWN_BID, DOWN_ASK]].tolist() == [0.5, 0.6]
    assert rows[0, [6, 7]].tolist() == [8.0, 3.0]

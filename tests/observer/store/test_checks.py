"""Every law of the store, broken once, with the message it owes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from observer.kit.errors import BadRecording
from observer.records import BUY, UP, Ladder, Tape
from observer.store.checks import check_instrument_trades, check_reference, check_tape, check_trades
from observer.store.trades import Trades
from tests.samples.tapes import make_tape

N = 100


def tape(**changes: object) -> Tape:
    return replace(make_tape(1, N, missing_frac=0, ladder=True), **changes)


def with_market(**changes: object) -> Tape:
    return replace(tape(), market=replace(tape().market, **changes))


def with_rows(change: Callable[[np.ndarray], None], *, ladder: bool = False) -> Tape:
    made = tape() if ladder else tape(ladder=None)
    change(made.rows)
    return made


def with_ladder(change: Callable[[Ladder], None]) -> Tape:
    made = tape()
    assert made.ladder is not None
    change(made.ladder)
    return made


def shifted(by_ns: int) -> Tape:
    return replace(tape(), recv_ns=tape().recv_ns + by_ns)


def put(cell: tuple[object, object], value: float) -> Callable[[np.ndarray], None]:
    return lambda rows: rows.__setitem__(cell, value)


def swapped() -> Tape:
    made = tape()
    made.recv_ns[[3, 4]] = made.recv_ns[[4, 3]]
    return made


def repeated() -> Tape:
    made = tape()
    made.recv_ns[4] = made.recv_ns[3]
    return made


ALL = slice(None)
PRICES, SIZES = (ALL, slice(0, 4)), (ALL, slice(4, 12))

BROKEN: list[tuple[Callable[[], Tape], str]] = [
    (lambda: with_market(market_id=""), "market id ''; it must not be empty"),
    (lambda: with_market(market_id="a@b"), "nor hold an @"),
    (lambda: with_market(venue="../up"), "venue '../up' cannot name a folder"),
    (lambda: with_market(close_ns=5), "closes at 1970.*not after it opens"),
    (lambda: with_market(tick_ns=0), "nominal tick spacing of 0 ns"),
    (lambda: with_market(strike=float("nan")), "strike of nan; wanted USD above zero, or None"),
    (lambda: tape().until(0), "holds no tick. Leave the market out"),
    (lambda: replace(tape(), rows=tape().rows[:, :5]), r"rows \(100, 5\) float64 .* wanted \(100, 18\)"),
    (lambda: replace(tape(), rows=tape().rows.astype(np.float32)), "float32"),
    (lambda: replace(tape(), recv_ns=tape().recv_ns.astype(float)), "times of float64"),
    (lambda: replace(tape(), ladder=Ladder(np.ones((N, 4, 3)), np.ones((N, 4, 3)))), "a ladder of .* wanted"),
    (swapped, "tick 4 at .* is not after tick 3 .* Leave out repeated and late ticks"),
    (repeated, "tick 4 at .* is not after tick 3"),
    (lambda: shifted(-900 * 10**9), "100 of 100 ticks, .* lie outside the window .* start was taken for its end"),
    (lambda: shifted(+900 * 10**9), "lie outside the window"),
    (lambda: with_rows(lambda r: r.__setitem__(PRICES, r[PRICES] * 100)), "look like cents: divide them by 100"),
    (lambda: with_rows(lambda r: r.__setitem__(PRICES, r[PRICES] * 1e6)), "look like fixed-point units"),
    (lambda: with_rows(lambda r: r.__setitem__(SIZES, np.rint(r[SIZES] * 1e6))), "units of 1e-6 share: divide"),
    (lambda: with_rows(put((3, 0), 0.0)), "1 ticks, the first at .* hold a price not between 0 and 1"),
    (lambda: with_rows(put((3, 1), 1.0)), "a price not between 0 and 1"),
    (lambda: with_rows(put((3, 5), -2.0)), "a negative or infinite size"),
    (lambda: with_rows(put((3, 5), np.inf)), "a negative or infinite size"),
    (lambda: with_rows(lambda r: r.__setitem__((7, 0), r[7, 1])), r"crossed quotes \(bid >= ask\)"),
    (lambda: with_rows(lambda r: r.__setitem__((7, 2), r[7, 3])), r"crossed quotes \(bid >= ask\)"),
    (lambda: with_rows(put((3, 12), -1.0)), "a negative trade flow"),
    (lambda: with_rows(put((3, 16), 0.0)), "a reference price or age below zero"),
    (lambda: with_rows(put((3, 17), -1.0)), "a reference price or age below zero"),
    (lambda: with_rows(put((3, 13), np.inf)), "an infinite number"),
    (lambda: with_ladder(lambda l: l.price.__imul__(100)), "in the ladder, prices up to .* look like cents"),
    (lambda: with_rows(put((3, 0), 0.001), ladder=True), "the ladder's best level differs from the quotes"),
    (lambda: with_ladder(lambda l: l.price.__setitem__((0, 0, 1), 0.99)), "do not run from the best price outwards"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BROKEN, ids=[message[:40] for _, message in BROKEN])
def test_a_tape_that_breaks_a_law_is_refused(make: Callable[[], Tape], message: str) -> None:
    with pytest.raises(BadRecording, match=message):
        check_tape(make())


def test_a_lawful_tape_passes_with_the_largest_sizes_ever_recorded() -> None:
    big = make_tape(1, N)
    big.rows[SIZES] = np.where(np.isnan(big.rows[SIZES]), np.nan, 407_586.0)

    check_tape(big)
    check_tape(tape())


def trades(n: int = 3, **changes: object) -> Trades:
    start = make_tape().market.open_ns
    made = Trades(
        start + np.arange(n), start + np.arange(n), np.full(n, UP, np.int8), np.full(n, BUY, np.int8),
        np.full(n, 0.5), np.full(n, 7.5),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recv_ns": np.array([0, 1, 2])}, "trades from 1970.* do not lie in the window"),
        ({"recv_ns": trades().recv_ns[::-1]}, "the time of its trades goes backwards"),
        ({"token": np.zeros(3, np.int8)}, "names neither the Up nor the Down token"),
        ({"side": np.zeros(3, np.int8)}, "a trade is neither a buy nor a sell"),
        ({"price": np.full(3, 57.0)}, "look like cents"),
        ({"size": np.full(3, 5e7)}, "units of 1e-6 share"),
        ({"size": np.array([1.5, np.nan, 1])}, "price or size is missing, infinite or not above zero"),
        ({"price": np.array([0.5, 0.5, 0])}, "price or size is missing"),
    ],
)  # fmt: skip
def test_trades_that_break_a_law_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(BadRecording, match=message):
        check_trades(trades(**changes), make_tape().market)


def test_trades_of_an_underlying_need_no_token_but_an_order_in_time() -> None:
    check_instrument_trades("x", trades(price=np.full(3, 60_000.0), token=np.zeros(3, np.int8)))

    with pytest.raises(BadRecording, match="instrument x: the time of its trades goes backwards"):
        check_instrument_trades("x", trades(recv_ns=np.array([3, 2, 1])))


@pytest.mark.parametrize(
    ("source", "recv_ns", "price", "message"),
    [
        ("a/b", [1, 2], [1.0, 1.0], "cannot name a folder"),
        ("a", [], [], "0 times for 0 prices"),
        ("a", [1, 2], [1.0], "2 times for 1 prices"),
        ("a", [2, 1], [1.0, 1.0], "its time goes backwards"),
        ("a", [1, 2], [1.0, 0.0], "not above zero"),
        ("a", [1, 2], [1.0, np.nan], "a price is missing"),
    ],
)
def test_reference_prices_that_break_a_law_are_refused(source: str, recv_ns: list, price: list, message: str) -> None:
    with pytest.raises(BadRecording, match=message):
        check_reference("BTC", source, np.array(recv_ns, np.int64), np.array(price))

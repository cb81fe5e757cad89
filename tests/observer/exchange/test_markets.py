"""The made-up markets: the same from the same seed, lawful at every moment, in motion."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.book import ASK, BID
from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary, Step, other
from observer.exchange.markets.coins import COINS
from observer.exchange.markets.crowd import COARSE, FINE, Crowd
from observer.exchange.markets.spot import SpotBook, SpotStep
from observer.exchange.markets.taped import SIDES, changes_at, levels_at
from observer.exchange.markets.walk import STEP_NS, Walk
from observer.exchange.wire import to_scaled
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.records import BUY, DOWN, N_COLUMNS, SELL, UP, UP_ASK_SIZE, UP_BID, UP_BID_DEPTH5, UP_BID_SIZE, Tape
from tests.observer.exchange.stage import START_NS
from tests.samples.tapes import make_tape


def test_a_walk_is_the_same_whichever_times_are_asked_first() -> None:
    times = [START_NS + n * 7 * STEP_NS for n in range(0, 20_000, 500)]
    forwards, backwards = (Walk(3, COINS["BTC"], START_NS) for _ in range(2))

    seen = [forwards.price(ns) for ns in times]

    assert [backwards.price(ns) for ns in reversed(times)] == seen[::-1]
    assert Walk(4, COINS["BTC"], START_NS).price(times[-1]) != seen[-1]


@pytest.mark.parametrize("after_s", [5, 60, 599, 601, 1_234])
def test_the_mean_is_that_of_the_seconds_up_to_the_end(after_s: int) -> None:
    walk = Walk(3, COINS["ETH"], START_NS)
    end_ns = START_NS + after_s * NS_PER_S

    slow = np.mean([walk.price(end_ns - i * NS_PER_S) for i in range(60)])

    assert walk.mean(end_ns) == pytest.approx(slow, rel=1e-12)


def test_a_walk_moves_by_its_volatility() -> None:
    walk = Walk(1, COINS["BTC"], START_NS)
    logs = np.log([walk.price(START_NS + n * 10 * NS_PER_S) for n in range(2_000)])

    seen = np.diff(logs).std()

    assert seen == pytest.approx(walk.sigma(10 * NS_PER_S), rel=0.06)  # 2,000 draws: three standard errors are 5 %


levels = st.lists(
    st.tuples(
        st.sampled_from((UP, DOWN)), st.sampled_from((BID, ASK)), st.integers(1, 99).map(lambda p: p * COARSE),
        st.integers(0, 5).map(lambda s: s * SCALE),
    ),
    max_size=40,
)  # fmt: skip


@given(levels)
def test_in_a_unified_market_each_book_is_the_other_one_seen_from_behind(
    moves: list[tuple[int, int, int, int]],
) -> None:
    market = Binary("m", COARSE, 0)

    market.apply(1, moves)

    for token in (UP, DOWN):
        mirrored = [(SCALE - price, size) for price, size in market.books[other(token)].top(ASK, 100)]
        assert market.books[token].top(BID, 100) == mirrored


class _Watch:
    """Keeps what a market tells."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.ticks: list[tuple[int, int]] = []

    def stepped(self, market: Binary, step: Step) -> None:
        assert not market.books[UP].is_crossed
        assert not market.books[DOWN].is_crossed
        self.steps.append(step)

    def tick_changed(self, market: Binary, old: int) -> None:
        self.ticks.append((old, market.tick))


def _crowd(fair: float, seconds: int, seed: int = 0) -> tuple[Binary, _Watch]:
    floor, watch = Floor(seed, START_NS, 1.0), _Watch()
    market = Binary("m", COARSE, START_NS)
    crowd = Crowd(floor, market, lambda ns: fair + 0.3 * np.sin(ns / 4e11), 10.0)
    market.watchers.append(watch)
    crowd.start()
    floor.agenda.run_until(START_NS + seconds * NS_PER_S)
    return market, watch


def test_a_crowd_never_crosses_its_book_and_trades_now_and_then() -> None:
    market, watch = _crowd(0.5, 900)
    trades = sum(step.trade is not None for step in watch.steps)
    changes = sum(len(step.changes) for step in watch.steps if step.trade is None) / 2

    assert 100 < trades < 500  # 9,000 moves, 3 % of them trades
    assert 20 < changes / trades < 100  # about fifty changes to a trade, as on the real feed
    assert market.books[UP].top(BID, 3)
    assert market.books[UP].top(ASK, 3)


def test_the_tick_gets_finer_once_where_the_price_passes_the_edge() -> None:
    _, calm = _crowd(0.5, 300)
    market, edgy = _crowd(0.92, 900)

    assert calm.ticks == []
    assert edgy.ticks == [(COARSE, FINE)]
    assert market.tick == FINE


def test_the_same_seed_makes_the_same_moves() -> None:
    first, second, third = (_crowd(0.6, 60, seed)[1].steps for seed in (1, 1, 2))

    assert first == second
    assert first != third


@pytest.mark.parametrize("coin", ["BTC", "DOGE"])
def test_a_spot_book_is_never_crossed_nor_empty_and_its_ids_count_every_change(coin: str) -> None:
    floor = Floor(0, START_NS, 1.0)
    book = SpotBook(floor, f"x/{coin}", Walk(0, COINS[coin], START_NS), COINS[coin].grids["binance-spot"])
    seen: list[SpotStep] = []

    def watch(book: SpotBook, step: SpotStep) -> None:
        assert not book.book.is_crossed
        assert book.book.best(BID)
        assert book.book.best(ASK)
        assert not step.levels or book.last_id == step.first_id + len(step.levels) - 1
        seen.append(step)

    book.watchers.append(watch)
    floor.agenda.run_until(START_NS + 120 * NS_PER_S)

    assert len(seen) > 2_000
    assert sum(step.trade is not None for step in seen) > 100


class _Jumping(Walk):
    """A price that jumps by a fifth every ten seconds, as after a long standstill."""

    def price(self, ns: int) -> float:
        return super().price(ns) * (1.0 if (ns - START_NS) // (10 * NS_PER_S) % 2 else 1.2)


def test_no_jump_of_the_price_crosses_a_spot_book() -> None:
    floor = Floor(0, START_NS, 1.0)
    book = SpotBook(floor, "x/BTC", _Jumping(0, COINS["BTC"], START_NS), COINS["BTC"].grids["kraken"])
    book.deepen(500)
    crossed: list[int] = []
    book.watchers.append(lambda book, step: crossed.append(book.book.is_crossed))

    floor.agenda.run_until(START_NS + 60 * NS_PER_S)

    assert len(crossed) > 500
    assert not any(crossed)


@pytest.mark.parametrize("tick", [COARSE, FINE])
def test_no_jump_of_the_fair_price_crosses_a_binary_book(tick: int) -> None:
    floor, watch = Floor(0, START_NS, 1.0), _Watch()
    market = Binary("m", tick, START_NS)
    market.apply(0, [(UP, BID, price, SCALE) for price in range(tick, SCALE // 2, tick)])
    crowd = Crowd(floor, market, lambda ns: 0.1 + 0.8 * (ns // (10 * NS_PER_S) % 2), 10.0, may_switch=False)
    market.watchers.append(watch)
    crowd.start()

    floor.agenda.run_until(START_NS + 60 * NS_PER_S)

    assert len(watch.steps) > 100  # each was checked by the watcher
    assert len(market.books[UP].top(BID, 1_000)) <= 60


prices = st.integers(1, 99).map(lambda p: p / 100)
hundredths = st.integers(1, 500_000).map(lambda s: s / 100)


@given(prices, hundredths, st.booleans(), hundredths)
def test_a_laid_out_side_shows_the_recorded_best_price_and_depth(
    best: float, depth: float, has_size: bool, size: float
) -> None:
    tape = _one_tick(best, min(size, depth) if has_size else np.nan, depth)

    found = levels_at(tape, 0, 0)

    assert found[0][0] == to_scaled(best)
    assert found == sorted(found, reverse=True)
    assert all(0 < price < SCALE and amount > 0 for price, amount in found)
    assert len(found) <= 5
    if len(found) > 1 or not has_size:
        assert Decimal(sum(amount for _, amount in found)) / SCALE == Decimal(str(depth))
    if has_size:
        assert found[0][1] >= to_scaled(min(size, depth))


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_the_books_of_a_tick_follow_from_those_of_any_other(seed: int) -> None:
    tape = make_tape(seed % 1_000, 20)
    market = Binary("m", COARSE, 0, is_unified=False)

    for t in np.random.default_rng(seed).permutation(len(tape)):
        market.apply(0, changes_at(tape, int(t), market))
        for place, (token, side) in enumerate(SIDES):
            assert dict(market.books[token].top(side, 50)) == dict(levels_at(tape, int(t), place))


def test_no_quote_makes_no_level() -> None:
    assert levels_at(_one_tick(np.nan, np.nan, np.nan), 0, 0) == []


def _one_tick(bid: float, size: float, depth: float) -> Tape:
    rows = np.full((1, N_COLUMNS), np.nan)
    rows[0, UP_BID], rows[0, UP_BID_SIZE], rows[0, UP_BID_DEPTH5] = bid, size, depth
    rows[0, UP_ASK_SIZE] = np.nan
    market = make_tape(0, 2).market
    return Tape(market, np.array([market.open_ns]), rows)


def test_a_taker_gets_at_most_what_is_there() -> None:
    market, watch = Binary("m", COARSE, 0), _Watch()
    market.apply(0, [(UP, ASK, 60 * COARSE, 5 * SCALE)])
    market.watchers.append(watch)

    market.take(1, UP, BUY, 9 * SCALE)
    market.take(2, UP, SELL, SCALE)  # nobody bids

    assert [(s.trade.price, s.trade.size) for s in watch.steps if s.trade] == [(60 * COARSE, 5 * SCALE)]
    assert market.books[UP].best(ASK) == 0
    assert market.last_price == {UP: 60 * COARSE, DOWN: 40 * COARSE}

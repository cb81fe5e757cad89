"""The reader answers "as of t" and cannot see t + ε, whatever happens later."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.records import BUY, DOWN, SELL, UNKNOWN_NS, UP, Tape
from observer.store.outcomes import Outcome
from observer.store.reader import Recording
from observer.store.trades import Trades, with_flow
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape

N = 60
LAW = settings(max_examples=12, deadline=None)


def make_trades(tape: Tape, seed: int, n: int = 40) -> Trades:
    rng = np.random.default_rng(seed)
    recv_ns = np.sort(rng.integers(tape.recv_ns[0] - 10**8, tape.recv_ns[-1], size=n))
    return Trades(
        recv_ns, np.full(n, UNKNOWN_NS), rng.choice([UP, DOWN], n).astype(np.int8),
        rng.choice([BUY, SELL], n).astype(np.int8), rng.uniform(0.1, 0.9, n), rng.uniform(1, 50, n),
    )  # fmt: skip


def stored(tape: Tape, trades: Trades, feed: tuple[np.ndarray, np.ndarray], payoff_up: float) -> Callable:
    """Write everything into a fresh recording and return its as-of reader."""
    folder = tempfile.TemporaryDirectory(prefix="as-of-")
    root = Path(folder.name)
    with RecordingWriter(root) as writer:
        writer.write_tape(with_flow(tape, trades), trades)
        writer.write_reference("BTC", "binance-spot", feed[0], None, feed[1])
        writer.write_outcome(tape.market.market_id, payoff_up, "synthetic", "test")

    def as_of(now_ns: int) -> Tape:
        return Recording(folder.name).as_of(tape.market.market_id, now_ns)  # keeps the folder while it is asked

    return as_of


def same(one: Tape, two: Tape) -> bool:
    return (
        one.market == two.market
        and np.array_equal(one.recv_ns, two.recv_ns)
        and np.array_equal(one.rows, two.rows, equal_nan=True)
        and np.array_equal(one.ladder.price, two.ladder.price, equal_nan=True)  # type: ignore[union-attr]
    )


def feed_of(tape: Tape, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(tape.recv_ns[0] - 10**9, tape.recv_ns[-1], size=80))
    return times, rng.uniform(80_000, 90_000, 80)


@LAW
@given(seed=st.integers(0, 1000), at=st.floats(-0.1, 1.1))
def test_as_of_shows_every_tick_that_had_arrived_and_no_other(seed: int, at: float) -> None:
    tape = make_tape(seed, N, ladder=True, reference=False)
    as_of = stored(tape, make_trades(tape, seed), feed_of(tape, seed), 1.0)
    now_ns = int(tape.recv_ns[0] + at * (tape.recv_ns[-1] - tape.recv_ns[0]))

    seen, whole = as_of(now_ns), as_of(2**62)

    assert (seen.recv_ns <= now_ns).all()
    assert len(seen) == int((tape.recv_ns <= now_ns).sum())
    assert same(seen, whole.until(now_ns))


@LAW
@given(seed=st.integers(0, 1000), cut=st.integers(1, N - 2))
def test_nothing_that_happens_later_changes_what_was_known(seed: int, cut: int) -> None:
    tape = make_tape(seed, N, ladder=True, reference=False)
    trades, feed = make_trades(tape, seed), feed_of(tape, seed)
    now_ns = int(tape.recv_ns[cut])
    known = stored(tape, trades, feed, 1.0)(now_ns)
    later = make_tape(seed + 1, N, ladder=True, reference=False)
    rows, prices = tape.rows.copy(), tape.ladder.price.copy()  # type: ignore[union-attr]
    sizes = tape.ladder.size.copy()  # type: ignore[union-attr]
    n = cut + 1
    rows[n:], prices[n:], sizes[n:] = later.rows[n:], later.ladder.price[n:], later.ladder.size[n:]  # type: ignore[union-attr]
    ladder = type(tape.ladder)(prices, sizes)
    rows[n:, 16:18] = 1.0, 0.0  # from here on the tape even carries a reference of its own
    other_trades = make_trades(tape, seed + 1)
    early, late = trades[trades.recv_ns <= now_ns], other_trades[other_trades.recv_ns > now_ns]
    mixed = Trades(*(np.concatenate([getattr(early, f), getattr(late, f)]) for f in Trades.__slots__[:6]))
    times, values = feed_of(tape, seed + 1)
    feed_late = (
        np.concatenate([feed[0][feed[0] <= now_ns], times[times > now_ns]]),
        np.concatenate([feed[1][feed[0] <= now_ns], values[times > now_ns]]),
    )

    changed = stored(Tape(tape.market, tape.recv_ns, rows, ladder), mixed, feed_late, 0.0)

    assert same(changed(now_ns), known)


def test_a_reader_that_looked_one_tick_ahead_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = make_tape(3, N, ladder=True, reference=False)
    as_of = stored(tape, make_trades(tape, 3), feed_of(tape, 3), 1.0)
    now_ns = int(tape.recv_ns[20])
    monkeypatch.setattr(
        Recording, "as_of", lambda self, market_id, t: self.tape(market_id).until(int(tape.recv_ns[21]))
    )

    assert not (as_of(now_ns).recv_ns <= now_ns).all()


def test_outcomes_are_named_by_market_and_say_how_they_are_known() -> None:
    assert Outcome.__slots__ == ("market_id", "payoff_up", "kind", "source")

"""What is joined to the ticks: trades since the last tick, and the latest price of the underlying."""

from pathlib import Path

import numpy as np

from observer.kit.clock import NS_PER_S
from observer.records import BUY, DOWN, REFERENCE, REFERENCE_AGE_S, SELL, UP
from observer.store.reader import Recording
from observer.store.trades import Trades, flow_columns
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


def test_flow_is_what_was_traded_for_up_and_against_it_since_the_last_tick() -> None:
    ticks = np.array([10, 20, 30])
    trades = Trades(
        recv_ns=np.array([5, 10, 11, 19, 20, 31]),
        venue_ns=np.zeros(6, np.int64),
        token=np.array([UP, DOWN, UP, DOWN, UP, UP], np.int8),
        side=np.array([BUY, BUY, SELL, SELL, BUY, BUY], np.int8),
        price=np.array([0.5, 0.4, 0.25, 0.5, 0.5, 0.9]),
        size=np.array([10.0, 5.0, 4.0, 2.0, 6.0, 99.0]),
    )

    flow = flow_columns(ticks, trades)

    # tick 10: buys Up 0.5 × 10 = 5 for; buys Down 0.4 × 5 = 2 against; 2 trades, largest 5
    # tick 20: sells Up 0.25 × 4 = 1 against; sells Down 0.5 × 2 = 1 for; buys Up 0.5 × 6 = 3 for; 3 trades, largest 3
    # tick 30: nothing; the trade at 31 is in no row
    assert flow.tolist() == [[5.0, 2.0, 2.0, 5.0], [4.0, 1.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]]


def test_a_tick_carries_the_latest_price_not_after_it_and_its_age(tmp_path: Path) -> None:
    tape = make_tape(1, 100, reference=False)
    second = NS_PER_S
    recv_ns = tape.recv_ns[0] + np.array([-100 * second, 0, second // 2, second // 2, 200 * second])
    with RecordingWriter(tmp_path) as writer:
        writer.write_tape(tape)
        writer.write_reference("BTC", "binance-spot", recv_ns, None, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        writer.write_reference("ETH", "binance-spot", tape.recv_ns, None, np.full(len(tape), 9.0))

    back = Recording(tmp_path).tape(tape.market.market_id)

    since_s = (tape.recv_ns - tape.recv_ns[0]) / second
    fresh = (since_s >= 0.5) & (since_s <= 60.5)
    assert back.rows[0, REFERENCE] == 2.0
    assert back.rows[0, REFERENCE_AGE_S] == 0.0
    assert (back.rows[fresh, REFERENCE] == 4.0).all()  # of two at one time, the last to arrive
    assert np.allclose(back.rows[fresh, REFERENCE_AGE_S], since_s[fresh] - 0.5)
    assert np.isnan(back.rows[(since_s > 60.5) & (since_s < 200), REFERENCE]).all()  # older than a minute: unknown


def test_it_does_not_matter_which_of_ticks_and_reference_came_first(tmp_path: Path) -> None:
    tape = make_tape(1, 50, reference=False)
    price = np.arange(1.0, len(tape) + 1)
    for root, order in ((tmp_path / "a", (0, 1)), (tmp_path / "b", (1, 0))):
        for step in order:
            with RecordingWriter(root) as writer:
                if step == 0:
                    writer.write_tape(tape)
                else:
                    writer.write_reference("BTC", "binance-spot", tape.recv_ns, None, price)

    one, two = Recording(tmp_path / "a"), Recording(tmp_path / "b")
    assert one.dataset_id == two.dataset_id
    assert np.array_equal(one.tape(tape.market.market_id).rows, two.tape(tape.market.market_id).rows, equal_nan=True)
    assert (one.tape(tape.market.market_id).rows[:, REFERENCE] == price).all()


def test_the_preferred_source_speaks_while_it_is_fresh_and_a_tape_keeps_its_own(tmp_path: Path) -> None:
    tape = make_tape(1, 200, reference=False)
    tape.rows[0, [REFERENCE, REFERENCE_AGE_S]] = 7.0, 0.25
    with RecordingWriter(tmp_path) as writer:
        writer.write_tape(tape)
        writer.write_reference("BTC", "binance-spot", tape.recv_ns, None, np.full(len(tape), 1.0))
        writer.write_reference("BTC", "chainlink", tape.recv_ns[:1], None, np.array([2.0]))

    back = Recording(tmp_path).tape(tape.market.market_id).rows[:, REFERENCE]

    fresh = tape.recv_ns - tape.recv_ns[0] <= 60 * NS_PER_S
    assert back[0] == 7.0
    assert (back[fresh][1:] == 2.0).all()
    assert (~fresh).any()
    assert (back[~fresh] == 1.0).all()

"""Reference prices: the latest value of each half second, never a later one, over segments and restarts."""

from pathlib import Path

import numpy as np
import pytest

from observer.book import ASK, BID
from observer.compact.compactor import Compactor, compact
from observer.compact.feeds import GRID_NS, decode_books, encode_books
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.ports import Instrument
from observer.records import BUY, SELL
from observer.store.batch import BOOK, LEVEL, LOST, PRICE, TRADE, Dropped
from observer.store.reader import Recording
from observer.store.trades import Trades
from observer.store.writer import RecordingWriter
from tests.observer.compact.scripted import CENT, START_NS, ScriptedRecorder, two_books, window
from tests.observer.compact.test_compactor import RUN_A, play, second

LAST_NS = 2**62


@pytest.fixture
def recorder(tmp_path: Path) -> ScriptedRecorder:
    return ScriptedRecorder(tmp_path, RUN_A)


def prices(root: Path, source: str = "spot-x") -> list[tuple[float, float]]:
    """(seconds of the script, price) of a feed."""
    found = Recording(root).reference("BTC", source, 0, LAST_NS)
    return [((t - START_NS) / NS_PER_S, p) for t, p in zip(found.recv_ns.tolist(), found.price.tolist(), strict=True)]


def test_of_each_half_second_the_latest_value_is_kept_with_the_time_it_came(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    feed = recorder.feed("oracle", "chain")
    for at_s, price in ((0.1, 10), (0.3, 11), (0.5, 12), (0.6, 13), (1.7, 13), (2.4, 14)):
        recorder.run(at_s)
        recorder.frame(feed, (PRICE, price * SCALE))
    recorder.run(3)
    recorder.stop()
    compact(tmp_path, START_NS)

    # the half second of 0.1 and 0.3 ends at 0.5, whose own value belongs to it; 1.7 said nothing new
    assert prices(tmp_path, "chain") == [(0.5, 12.0), (0.6, 13.0), (2.4, 14.0)]
    assert Recording(tmp_path).references() == [("BTC", "chain")]


def test_a_price_that_stands_still_is_confirmed_every_ten_seconds(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    feed = recorder.feed("oracle", "chain")
    for at_s in range(25):
        recorder.run(at_s + 0.25)
        recorder.frame(feed, (PRICE, 7 * SCALE))
    recorder.stop()
    compact(tmp_path, START_NS)

    assert prices(tmp_path, "chain") == [(0.25, 7.0), (10.25, 7.0), (20.25, 7.0)]


def test_a_book_quotes_its_mid_while_it_is_known(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    feed = recorder.feed("spot", "spot-x")
    steps = [
        (1.1, (LEVEL, BID, 40 * CENT, SCALE)),  # before any book: nothing is known
        (2.1, (BOOK, [(40 * CENT, SCALE)], [(60 * CENT, SCALE)])),
        (3.1, (LEVEL, BID, 50 * CENT, SCALE)),
        (4.1, (LEVEL, ASK, 60 * CENT, 0)),  # no ask left
        (5.1, (LEVEL, ASK, 45 * CENT, SCALE)),  # crossed
        (6.1, (LEVEL, BID, 50 * CENT, 0)),
        (7.1, (LOST, "silence")),
        (8.1, (LEVEL, BID, 41 * CENT, SCALE)),
        (9.1, (BOOK, [(10 * CENT, SCALE)], [(20 * CENT, SCALE)])),
    ]
    for at_s, event in steps:
        recorder.run(at_s)
        recorder.frame(feed, event)
    recorder.stop()
    compact(tmp_path, START_NS)

    assert prices(tmp_path) == [(2.1, 0.5), (3.1, 0.55), (6.1, 0.425), (9.1, 0.15)]


def mids(recorder: ScriptedRecorder, feed: Instrument) -> list[tuple[float, float]]:
    """The mids of a feed by the plainest way: all events again, one value for each half second that had one."""
    from observer.book import Book

    book, latest, found = Book(), {}, []
    for batch in recorder.batches:
        for event in batch.events:
            if event[2] == feed.number and event[0] in (BOOK, LEVEL):
                if event[0] == BOOK:
                    book.replace(event[6], event[7])
                else:
                    book.set(*event[6:9])
                half = -(-event[3] // GRID_NS)
                latest[half] = (event[3], (book.best(BID) + book.best(ASK)) / 2 / SCALE)
    for recv_ns, mid in latest.values():
        if not found or found[-1][1] != mid:
            found.append(((recv_ns - START_NS) / NS_PER_S, mid))
    return found


@pytest.mark.parametrize("restarted", [False, True])
def test_a_book_goes_on_over_segments_and_over_a_restart_of_the_compactor(
    recorder: ScriptedRecorder, tmp_path: Path, restarted: bool
) -> None:
    feed = recorder.feed("spot", "spot-x")
    recorder.book(feed)
    compactor = Compactor(tmp_path)
    for until_s in (20, 40, 60):
        recorder.run(until_s, feed, trades=False)
        recorder.roll()
        compactor = Compactor(tmp_path) if restarted else compactor
        assert compactor.run_once(START_NS).deleted == 1

    # each segment begins with a value, changed or not, so repeats between them are left out here
    found = [pair for i, pair in enumerate(prices(tmp_path)) if i == 0 or prices(tmp_path)[i - 1][1] != pair[1]]
    assert found == mids(recorder, feed)
    assert len(found) > 20


def test_a_restart_with_kept_segments_writes_no_price_twice(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    feed = recorder.feed("spot", "spot-x")
    listing, short = two_books(window("waits", 0, 900)), two_books(window("short", 0, 15))
    recorder.book(feed)
    play(recorder, 20, listing, short)
    recorder.run(22, feed)
    recorder.roll()
    recorder.run(30, feed, *listing.instruments)
    recorder.write()
    done = Compactor(tmp_path).run_once(START_NS)
    before = prices(tmp_path)

    again = Compactor(tmp_path).run_once(START_NS)
    recorder.run(40, feed, *listing.instruments)
    recorder.stop()
    last = Compactor(tmp_path).run_once(second(1000))

    assert (done.windows, done.held, again.refused, last.refused, last.held) == (1, 1, 0, 0, 0)
    assert prices(tmp_path)[: len(before)] == before
    assert len(before) > 1


def test_prices_and_trades_that_clash_with_what_is_there_are_counted_and_stop_nothing(
    recorder: ScriptedRecorder, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    feed, times = recorder.feed("spot", "spot-x"), np.array([second(1), second(9)])
    with RecordingWriter(tmp_path) as writer:  # somebody imported the same hour
        writer.write_reference("BTC", "spot-x", times, None, np.array([1.0, 2.0]))
        code = np.ones(2, np.int8)
        writer.write_trades("spot-x:BTC-USD", "spot-x", Trades(times, times, 0 * code, code, code * 1.0, code * 1.0))
    recorder.book(feed)
    recorder.frame(feed, (TRADE, BUY, 6 * SCALE, SCALE, "b"), after_s=2)
    recorder.book(feed, mid=30)
    play(recorder, 20, two_books(window("m", 0, 10)))
    recorder.stop()

    done = compact(tmp_path, START_NS)

    assert (done.windows, done.deleted, done.refused) == (1, 1, 3)
    assert prices(tmp_path) == [(1.0, 1.0), (9.0, 2.0)]
    assert capsys.readouterr().err.count("already holds other records from") == 2


def test_a_lost_state_costs_prices_until_the_next_whole_book_and_nothing_else(
    recorder: ScriptedRecorder, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    feed = recorder.feed("spot", "spot-x")
    recorder.book(feed)
    recorder.run(20, feed)
    recorder.roll()
    compact(tmp_path, START_NS)
    (state,) = tmp_path.glob(".compact/books/*")
    state.write_bytes(b"damaged")
    recorder.run(40, feed)
    recorder.book(feed, mid=30)
    recorder.stop()
    compact(tmp_path, START_NS)

    assert [price for at_s, price in prices(tmp_path) if at_s > 20] == [0.3]
    assert "is damaged" in capsys.readouterr().err
    assert len(list(tmp_path.glob(".compact/books/*"))) == 1


def test_events_that_were_not_written_make_the_books_unknown(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    feed = recorder.feed("spot", "spot-x")
    recorder.book(feed)
    recorder.run(5, feed, trades=False)
    recorder.intake.notes.append(Dropped("events", 3, second(5), second(5.2), "the disk is too slow"))
    recorder.run(10, feed, trades=False)
    recorder.stop()
    compact(tmp_path, START_NS)

    assert max(at_s for at_s, _ in prices(tmp_path)) < 5.1


def test_trades_of_an_underlying_are_kept(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    feed = recorder.feed("spot", "spot-x")
    recorder.frame(feed, (TRADE, SELL, 5 * SCALE, 2 * SCALE, "a"), (TRADE, BUY, 6 * SCALE, SCALE, "b"), after_s=1)
    recorder.run(5)
    recorder.stop()
    compact(tmp_path, START_NS)

    import polars

    frame = polars.read_parquet(tmp_path / "trades" / "venue=spot-x" / "**" / "*.parquet", hive_partitioning=False)
    assert frame.select("market_id", "token", "side", "price", "size", "recv_ns").rows() == [
        ("spot-x:BTC-USD", "", "sell", 5.0, 2.0, second(1)),
        ("spot-x:BTC-USD", "", "buy", 6.0, 1.0, second(1)),
    ]


def test_a_price_after_a_tick_is_never_the_reference_of_that_tick(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 60))
    feed = recorder.feed("oracle", "chain")
    recorder.list(listing)
    for instrument in listing.instruments:
        recorder.book(instrument)
    for step in range(240):
        recorder.run(step / 4 + 0.1, *listing.instruments)
        recorder.frame(feed, (PRICE, (100 + step) * SCALE))
    recorder.run(65, *listing.instruments)
    recorder.stop()
    compact(tmp_path, START_NS)

    tape = Recording(tmp_path).tape("m")
    reference, age_s = tape.rows[1:, 16], tape.rows[1:, 17]
    came_s = (tape.recv_ns[1:] - START_NS) / NS_PER_S
    # a new price each quarter second at .1 and .35: the latest at a tick came 0.15 s before it
    np.testing.assert_array_equal(reference, 100 + np.floor((came_s - 0.1) * 4).clip(0, 239))
    assert (age_s[came_s < 59] >= 0).all()


def test_states_of_books_survive_being_written_down() -> None:
    from observer.book import Book

    books = {3: Book(), 4: Book()}
    books[3].replace([(5, 1), (4, 2)], [(6, 3)])

    back = decode_books(encode_books(books))

    assert list(back) == [3]
    assert (back[3].top(BID, 9), back[3].top(ASK, 9)) == ([(5, 1), (4, 2)], [(6, 3)])

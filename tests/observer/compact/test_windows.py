"""What becomes of a window: its trades, gaps and outcome, and what is left out and counted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from observer.book import ASK, BID
from observer.compact.compactor import Compactor, compact
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.ports import Instrument
from observer.records import BUY, BUY_USD, DOWN, N_TRADES, SELL, SELL_USD, UP
from observer.store.batch import BOOK, LEVEL, LOST, TRADE, Dropped, GapSeen
from observer.store.outcomes import Outcome, read_outcomes
from observer.store.pause import DISK_FULL
from observer.store.reader import Recording
from observer.store.refusals import IN_A_GAP, LADDER_DIFFERS
from observer.store.verify import verify
from tests.observer.compact import scripted
from tests.observer.compact.scripted import CENT, START_NS, TICK_NS, ScriptedRecorder, one_book, two_books, window
from tests.observer.compact.test_compactor import RUN_A, RUN_B, play, second, ticks_of

HELD = 50 * SCALE


@pytest.fixture
def recorder(tmp_path: Path) -> ScriptedRecorder:
    return ScriptedRecorder(tmp_path, RUN_A)


def refused(root: Path) -> dict[tuple[str, str], int]:
    """(kind, reason) -> how many, from the log that a pass left."""
    (log,) = root.glob("imports/observer-*.json")
    return {(row["kind"], row["reason"]): row["count"] for row in json.loads(log.read_text())["refused"]}


def gaps(root: Path) -> list[tuple[str, float, float, str]]:
    """(market, start, end, reason), times in seconds of the script."""
    return [
        (g.market_id, (g.start_ns - START_NS) / NS_PER_S, (g.end_ns - START_NS) / NS_PER_S, g.reason)
        for g in Recording(root).gaps()
    ]


def test_where_one_book_serves_both_tokens_selling_up_is_buying_down(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = one_book(window("m", 0, 20))
    (up,) = listing.instruments
    recorder.list(listing)
    recorder.book(up)
    recorder.run(5, trades=False)
    recorder.frame(up, (TRADE, BUY, 60 * CENT, 10 * SCALE, "1"), after_s=0.01)
    recorder.frame(up, (TRADE, SELL, 60 * CENT, 5 * SCALE, "2"), after_s=0.01)
    recorder.run(30, trades=False)
    recorder.stop()
    compact(tmp_path, START_NS)

    tape, kept = Recording(tmp_path).tape("m"), Recording(tmp_path).trades("m")
    assert kept is not None
    columns = (kept.token, kept.side, kept.price, kept.size)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        (UP, BUY, 0.6, 10.0), (DOWN, BUY, 0.4, 5.0),
    ]  # fmt: skip
    # 10 × 0.60 for Up; 5 × 0.40 against it, as an importer of the same market counts.
    assert (tape.rows[:, BUY_USD].sum(), tape.rows[:, SELL_USD].sum()) == (6.0, 2.0)


def test_trades_of_both_tokens_fill_the_flow_and_each_id_counts_once(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = two_books(window("m", 0, 20))
    up, down = listing.instruments
    recorder.list(listing)
    recorder.book(up)
    recorder.book(down)
    trades = [
        (up, (TRADE, BUY, 60 * CENT, 10 * SCALE, "1")),  # 6 USD for Up
        (down, (TRADE, SELL, 40 * CENT, 5 * SCALE, "1")),  # 2 USD for Up; the id is another token's
        (up, (TRADE, SELL, 50 * CENT, 2 * SCALE, "2")),  # 1 USD against Up
    ]
    recorder.run(5, trades=False)
    for instrument, trade in trades:
        recorder.frame(instrument, trade, after_s=0.01)
    recorder.run(10)
    recorder.intake._seen_trades.clear()  # as if by a recorder that did not know it sent them before
    recorder.frame(up, trades[0][1], after_s=0.01)
    recorder.run(30)
    recorder.stop()
    compact(tmp_path, START_NS)

    tape, kept = Recording(tmp_path).tape("m"), Recording(tmp_path).trades("m")
    assert kept is not None
    columns = (kept.token, kept.side, kept.price, kept.size)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        (UP, BUY, 0.6, 10.0), (DOWN, SELL, 0.4, 5.0), (UP, SELL, 0.5, 2.0),
    ]  # fmt: skip
    assert (tape.rows[:, BUY_USD].sum(), tape.rows[:, SELL_USD].sum(), tape.rows[:, N_TRADES].sum()) == (8.0, 1.0, 3.0)
    assert refused(tmp_path) == {("trade", "a trade id seen before"): 1}
    assert kept.venue_ns[0] == kept.recv_ns[0] - 7


def test_a_trade_outside_the_window_is_no_trade_of_it(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    """Two windows cut from one long market share their instruments."""
    first = two_books(window("early", 0, 10))
    later = replace(first, market=window("later", 10, 20))
    recorder.list(first, later)
    for instrument in first.instruments:
        recorder.book(instrument)
    for at_s in (4, 14):
        recorder.run(at_s)
        recorder.frame(first.instruments[0], (TRADE, BUY, 60 * CENT, SCALE, f"at {at_s}"), after_s=0.01)
    recorder.run(30)
    recorder.stop()
    compact(tmp_path, START_NS)

    for name, at_s in (("early", 4), ("later", 14)):
        kept = Recording(tmp_path).trades(name)
        assert kept is not None
        assert kept.recv_ns.tolist() == [second(at_s + 0.01)]
    assert [(t.market.market_id, len(t)) for t in Recording(tmp_path).tapes()] == [("early", 20), ("later", 21)]


def test_an_outcome_that_comes_hours_later_is_added(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing, other = two_books(window("m", 0, 10)), two_books(window("other", 0, 7200))
    play(recorder, 20, listing, other)
    recorder.roll()
    compactor = Compactor(tmp_path)
    compactor.run_once(START_NS)
    before = Recording(tmp_path).dataset_id if (tmp_path / "dataset.json").exists() else ""
    recorder.now_ns += 7300 * NS_PER_S
    recorder.ticker.catch_up(recorder.now_ns)
    recorder.intake.outcome("m", 0.5, "venue")
    recorder.run(7325)
    recorder.stop()

    done = compactor.run_once(START_NS)

    assert read_outcomes(tmp_path)["m"] == Outcome("m", 0.5, "official", "venue")
    assert (done.outcomes, done.held, before != "") == (1, 0, True)
    assert verify(tmp_path).problems == []


def test_an_outcome_before_its_window_is_written_keeps_the_segment(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 60))
    play(recorder, 20, listing)
    recorder.roll()
    recorder.intake.outcome("m", 1.0, "venue")
    recorder.run(21)
    recorder.roll()
    recorder.run(30, *listing.instruments)
    recorder.write()
    compactor = Compactor(tmp_path)
    waits = compactor.run_once(START_NS)
    recorder.run(70, *listing.instruments)
    recorder.stop()

    done = compactor.run_once(START_NS)

    assert (waits.outcomes, waits.held) == (0, 2)
    assert (done.outcomes, done.held, read_outcomes(tmp_path)["m"].payoff_up) == (1, 0, 1.0)


def test_the_word_of_a_loopback_exchange_is_not_official(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    recorder.intake._outcome_kind = "synthetic"
    play(recorder, 20, two_books(window("m", 0, 10)))
    recorder.intake.outcome("m", 1.0, "exchange")
    recorder.stop()
    compact(tmp_path, START_NS)

    assert read_outcomes(tmp_path)["m"] == Outcome("m", 1.0, "synthetic", "exchange")


def test_a_segment_with_nothing_but_an_outcome_waits_for_its_window(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 30))
    play(recorder, 31.2, listing)
    recorder.roll()
    recorder.intake.outcome("m", 0.0, "venue")
    recorder.run(31.6)
    recorder.roll()
    recorder.run(31.9)
    recorder.write()
    compactor = Compactor(tmp_path)
    waits = compactor.run_once(START_NS)
    recorder.run(40)
    recorder.stop()

    done = compactor.run_once(START_NS)

    assert (waits.windows, waits.held) == (0, 2)
    assert (done.windows, done.outcomes, done.refused, done.held) == (1, 1, 0, 0)


def test_outcomes_of_no_window_or_against_one_on_record_are_counted(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    play(recorder, 20, two_books(window("m", 0, 10)))
    for market_id, payoff in (("nobody", 1.0), ("m", 1.0), ("m", 0.0)):
        recorder.intake.outcome(market_id, payoff, "venue")
    recorder.stop()

    done = compact(tmp_path, START_NS)

    assert read_outcomes(tmp_path)["m"].payoff_up == 1.0
    assert (done.outcomes, done.refused, done.held) == (1, 2, 0)
    assert refused(tmp_path) == {
        ("outcome", "of a window without ticks"): 1,
        ("outcome", "the recording holds other records of that time"): 1,
    }


def test_a_gap_that_was_told_is_cut_to_its_window_and_explains_the_silence(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    long = two_books(window("early", 0, 30))
    later = replace(long, market=window("later", 30, 60))
    recorder.list(long, later)
    books = long.instruments
    for instrument in books:
        recorder.book(instrument)
    recorder.run(20, *books)
    for instrument in books:
        recorder.frame(instrument, (LOST, "silence"), after_s=0.01)
    recorder.run(40)
    for instrument in books:
        recorder.book(instrument)
    recorder.run(70, *books)
    recorder.stop()
    compact(tmp_path, START_NS)

    told = sorted(gaps(tmp_path))
    assert {(name, reason) for name, *_, reason in told} == {("early", "silence"), ("later", "silence")}
    assert all(19 < start < 20.1 and end == 30 for name, start, end, _ in told if name == "early")
    assert all(start == 30 and end == 40 for name, start, end, _ in told if name == "later")
    times = Recording(tmp_path).tape("early").recv_ns
    assert times[-1] <= second(20.5)


def test_a_gap_of_one_book_leaves_the_other_quoted(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 30))
    up, down = listing.instruments
    play(recorder, 10, listing)
    recorder.frame(up, (LOST, "a message was missed"), after_s=0.01)
    recorder.run(20, down)
    recorder.book(up)
    recorder.run(40, up, down)
    recorder.stop()
    compact(tmp_path, START_NS)

    tape = Recording(tmp_path).tape("m")
    during = (tape.recv_ns > second(10.5)) & (tape.recv_ns < second(20))
    assert np.isnan(tape.rows[during][:, 0:2]).all()
    assert np.isfinite(tape.rows[during][:, 2:4]).all()
    assert [(name, end, reason) for name, _, end, reason in gaps(tmp_path)] == [("m", 20.0, "a message was missed")]


def noticed_late(recorder: ScriptedRecorder, *instruments: Instrument) -> None:
    """These books stand still from second 10 on; at 14 it is noticed that they were lost, at 16 they come back."""
    others = [other for other in recorder.intake.instruments.values() if other not in instruments]
    recorder.run(14, *others)
    for instrument in instruments:
        recorder.intake.open_gap(instrument, second(10), "no data for 4 s")
    recorder.run(16, *others)
    for instrument in instruments:
        recorder.book(instrument)


def test_ticks_that_were_taken_before_a_gap_was_noticed_are_left_out(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = two_books(window("m", 0, 30))
    play(recorder, 10, listing)
    noticed_late(recorder, *listing.instruments)
    recorder.run(40, *listing.instruments)
    recorder.stop()
    compact(tmp_path, START_NS)

    written = ticks_of(recorder, 0)[0]
    lost = (written > second(10)) & (written <= second(16))
    assert lost.sum() == 8  # those of the last two seconds were not taken
    assert np.array_equal(Recording(tmp_path).tape("m").recv_ns, written[~lost])
    assert refused(tmp_path) == {("tick", IN_A_GAP): 8}
    assert set(gaps(tmp_path)) == {("m", 10.0, 16.0, "no data for 4 s")}
    assert not verify(tmp_path).problems


def test_a_gap_that_began_before_the_opening_takes_the_first_tick_too(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = two_books(window("m", 12, 30))
    play(recorder, 10, listing)
    noticed_late(recorder, *listing.instruments)
    recorder.run(40, *listing.instruments)
    recorder.stop()
    compact(tmp_path, START_NS)

    assert ticks_of(recorder, 0)[0][0] == second(12)
    assert Recording(tmp_path).tape("m").recv_ns[0] == second(16.5)


def test_a_gap_of_one_book_that_was_noticed_late_takes_back_that_book_alone(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = two_books(window("m", 0, 30))
    up, down = listing.instruments
    play(recorder, 10, listing)
    noticed_late(recorder, down)
    recorder.run(40, up, down)
    recorder.stop()
    compact(tmp_path, START_NS)

    tape = Recording(tmp_path).tape("m")
    during = (tape.recv_ns > second(10)) & (tape.recv_ns <= second(16))
    assert during.sum() == 12
    assert tape.ladder is not None
    for table in (tape.rows[:, :4], tape.rows[:, 4:8], tape.rows[:, 8:12], tape.ladder.price[..., 0]):
        assert np.isfinite(table[during][:, :2]).all()
        assert np.isnan(table[during][:, 2:]).all()
        assert np.isfinite(table[~during]).all()


def test_where_one_book_serves_both_tokens_its_gap_is_that_of_both(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = one_book(window("m", 0, 30))
    play(recorder, 10, listing)
    noticed_late(recorder, *listing.instruments)
    recorder.run(40, *listing.instruments)
    recorder.stop()
    compact(tmp_path, START_NS)

    times = Recording(tmp_path).tape("m").recv_ns
    assert not ((times > second(10)) & (times <= second(16))).any()


def test_a_window_waits_for_gaps_that_may_still_be_told(
    recorder: ScriptedRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "LINGER_NS", 15 * NS_PER_S)  # nothing came after the close: is the connection dead?
    listing = two_books(window("m", 0, 12))
    play(recorder, 10, listing)
    recorder.run(20)
    recorder.roll()
    recorder.run(20.5)
    recorder.write()
    compactor = Compactor(tmp_path)
    waits = compactor.run_once(START_NS)
    for instrument in listing.instruments:
        recorder.intake.open_gap(instrument, second(10), "no data for 15 s")
        recorder.intake.drop_instrument(instrument)
    recorder.run(30)
    recorder.roll()
    recorder.run(31)
    recorder.write()

    done = compactor.run_once(START_NS)

    assert (waits.windows, waits.held, done.windows, done.held) == (0, 1, 1, 0)
    assert Recording(tmp_path).tape("m").recv_ns[-1] <= second(10)


def test_a_window_whose_end_was_not_written_is_whole_once_a_segment_no_longer_names_it(
    recorder: ScriptedRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop(number: int, market_id: str) -> None:
        real(number, market_id)
        recorder.intake.notes.pop()

    real = recorder.intake.drop_market
    monkeypatch.setattr(recorder.intake, "drop_market", drop)
    listing = two_books(window("n", 0, 60))
    play(recorder, 20, two_books(window("m", 0, 12)), listing)
    done: list[int] = []
    compactor = Compactor(tmp_path)
    for until_s in (21, 22):
        recorder.roll()
        recorder.run(until_s, *listing.instruments)
        recorder.write()
        done.append(compactor.run_once(START_NS).windows)

    assert done == [0, 1]


def test_a_gap_of_everything_and_events_that_were_not_written_reach_every_market(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    play(recorder, 10, two_books(window("a", 0, 20)), two_books(window("b", 0, 20)))
    recorder.intake.notes += [
        GapSeen(-1, "", second(3), second(4), "disk full"), Dropped("events", 5, second(5), second(6), "slow disk"),
        Dropped("raw", 5, second(7), second(8), "slow disk"),
    ]  # fmt: skip
    recorder.run(30)
    recorder.stop()
    compact(tmp_path, START_NS)

    of_all = [(3.0, 4.0, "disk full"), (5.0, 6.0, "events not written: slow disk")]
    assert gaps(tmp_path) == [(name, *gap) for name in ("a", "b") for gap in of_all]


def test_ticks_whose_depth_was_lost_are_left_out_and_counted(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    """A batch was not written: the depth in it is gone, and the ticks after it show other quotes."""
    listing = two_books(window("m", 0, 20))
    up, _ = listing.instruments
    play(recorder, 10.2, listing)
    recorder.frame(up, (LEVEL, BID, up.book.best(BID) + CENT // 2, HELD), after_s=0.01)
    recorder.now_ns = second(10.5)
    recorder.ticker.catch_up(recorder.now_ns)
    recorder.intake.ticks[-1] = (*recorder.intake.ticks[-1][:3], None)
    recorder.run(13.2, trades=False)  # the book stands still: no tick carries a ladder
    recorder.book(up)
    recorder.run(30, up)
    recorder.stop()
    compact(tmp_path, START_NS)

    times = Recording(tmp_path).tape("m").recv_ns
    missing = sorted(set(ticks_of(recorder, 0)[0].tolist()) - set(times.tolist()))
    assert missing == [second(10.5) + i * TICK_NS for i in range(6)]
    assert refused(tmp_path) == {("tick", "the depth last recorded is not that of the quotes"): 6}


def test_depth_of_an_earlier_run_is_never_taken_for_that_of_a_later_one(tmp_path: Path) -> None:
    first = ScriptedRecorder(tmp_path, RUN_A)
    play(first, 20, two_books(window("m", 0, 40)))
    up, down = next(iter(first.ticker.markets.values())).listing.instruments
    first.roll()
    again = ScriptedRecorder(tmp_path, RUN_B, start_s=22)
    listing = two_books(window("m", 0, 40))
    again.list(listing)
    for before, now in zip((up, down), listing.instruments, strict=True):
        touch = [before.book.top(side, 1) for side in (BID, ASK)]
        again.frame(now, (BOOK, *touch))  # the same quotes, and nothing behind them
    again.now_ns = second(22.5)
    again.ticker.catch_up(again.now_ns)
    again.intake.ticks[-1] = (*again.intake.ticks[-1][:3], None)  # the depth was not written
    again.run(45, trades=False)
    again.stop()
    compact(tmp_path, START_NS)

    times = Recording(tmp_path).tape("m").recv_ns
    assert (times < second(22)).all()
    assert refused(tmp_path)["tick", "the depth last recorded is not that of the quotes"] == 36


def test_a_window_without_a_quote_is_counted_and_no_error(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    empty, never = two_books(window("empty", 0, 20)), two_books(window("never", 0, 20))
    recorder.list(empty, never, two_books(window("good", 0, 20)))
    for instrument in empty.instruments:
        recorder.book(instrument, depth=0)
    play(recorder, 30, one_book(window("mirrored", 0, 20)))
    recorder.intake.outcome("empty", 1.0, "venue")
    recorder.stop()

    done = compact(tmp_path, START_NS)

    assert [t.market.market_id for t in Recording(tmp_path).tapes()] == ["mirrored"]
    assert (done.windows, done.empty, done.held) == (1, 3, 0)
    found = refused(tmp_path)
    assert found["window", "no tick with a quote"] == 3
    assert found["tick", "no tick with a quote"] > 30
    assert found["outcome", "of a window without ticks"] == 1


def test_crossed_ticks_are_refused_as_an_importer_would(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    listing = two_books(window("m", 0, 20))
    up, _ = listing.instruments
    play(recorder, 10.2, listing)
    recorder.frame(up, (LEVEL, BID, 99 * CENT, HELD), after_s=0.01)
    recorder.run(11.2, trades=False)
    recorder.frame(up, (LEVEL, BID, 99 * CENT, 0), after_s=0.01)
    recorder.run(30, up)
    recorder.stop()
    compact(tmp_path, START_NS)

    assert refused(tmp_path) == {("tick", "crossed quotes (bid >= ask)"): 2}
    assert gaps(tmp_path) == [("m", 10.5, 11.5, "crossed quotes (bid >= ask)")]


def test_a_window_that_breaks_a_law_is_left_out_and_does_not_stop_the_others(
    recorder: ScriptedRecorder, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    play(recorder, 30, two_books(window("bad", 0, 20, strike=-1.0)), two_books(window("good", 0, 20)))
    recorder.stop()

    done = compact(tmp_path, START_NS)

    assert [t.market.market_id for t in Recording(tmp_path).tapes()] == ["good"]
    assert (done.windows, done.empty, done.deleted) == (1, 1, 1)
    assert refused(tmp_path)["window", "breaks a law of the store"] == 1
    assert "market bad: strike of -1.0" in capsys.readouterr().err
    log = json.loads(next(tmp_path.glob("imports/*.json")).read_text())
    for kind, seen in log["seen"].items():
        left = sum(row["count"] for row in log["refused"] if row["kind"] == kind)
        assert seen == log["kept"].get(kind, 0) + left, kind


def test_the_market_is_described_as_it_was_named_last(tmp_path: Path) -> None:
    first = ScriptedRecorder(tmp_path, RUN_A)
    play(first, 20, two_books(window("m", 0, 60)))
    first.roll()
    again = ScriptedRecorder(tmp_path, RUN_B, start_s=30)
    play(again, 65, two_books(window("m", 0, 60, strike=90_000.0)))
    again.stop()
    compact(tmp_path, START_NS)

    assert Recording(tmp_path).market("m").strike == 90_000.0


def test_a_quiet_pass_leaves_no_log(recorder: ScriptedRecorder, tmp_path: Path) -> None:
    play(recorder, 30, two_books(window("m", 0, 20)))
    recorder.stop()
    compact(tmp_path, START_NS)

    assert not (tmp_path / "imports").exists()


def test_a_tick_never_gets_a_ladder_from_before_ticks_that_were_not_written(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    listing = two_books(window("m", 0, 20))
    up, down = listing.instruments
    recorder.list(listing)
    recorder.book(up)
    recorder.book(down)
    recorder.run(5)
    deep = up.book.top(BID, 8)[7][0]  # below the best five: no other column shows it
    recorder.frame(up, (LEVEL, BID, deep, 7 * SCALE), after_s=0.6)
    recorder.ticker.catch_up(START_NS + 8 * NS_PER_S)
    lost = recorder.intake.take()
    recorder.now_ns = START_NS + 8 * NS_PER_S
    recorder.intake.dropped("ticks", len(lost.ticks), lost.ticks[0][1], lost.ticks[-1][1], DISK_FULL)
    recorder.run(10)
    recorder.frame(up, (LEVEL, BID, deep, 9 * SCALE), after_s=0.1)
    recorder.run(30)
    recorder.stop()
    compact(tmp_path, START_NS)

    tape = Recording(tmp_path).tape("m")
    assert tape.ladder is not None
    after = tape.recv_ns > START_NS + 8 * NS_PER_S
    assert refused(tmp_path)["tick", LADDER_DIFFERS] == 4  # from 8.5 s to 10 s
    assert np.all(tape.ladder.size[after, 0, 7] == 9)
    assert after.sum() == 20

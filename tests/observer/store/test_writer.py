"""What goes in comes out, all or nothing, and the same twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording, UsageError
from observer.records import BUY, DOWN, UNKNOWN_NS, UP, Tape
from observer.store import commit as commit_module
from observer.store.files import sha256_of
from observer.store.outcomes import Outcome, outcomes_id, read_outcomes
from observer.store.reader import Recording
from observer.store.screen import Gap
from observer.store.trades import Trades
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


def write(root: Path, tapes: list[Tape]) -> RecordingWriter:
    with RecordingWriter(root) as writer:
        for tape in tapes:
            writer.write_tape(tape)
    return writer


def same(one: Tape, two: Tape) -> bool:
    ladders = (one.ladder is None) == (two.ladder is None)
    if one.ladder is not None and two.ladder is not None:
        ladders = np.array_equal(one.ladder.price, two.ladder.price, equal_nan=True) and np.array_equal(
            one.ladder.size, two.ladder.size, equal_nan=True
        )
    return (
        one.market == two.market
        and np.array_equal(one.recv_ns, two.recv_ns)
        and np.array_equal(one.rows, two.rows, equal_nan=True)
        and ladders
    )


def hashes(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): sha256_of(path) for path in root.rglob("*") if path.is_file()}


def some_trades(open_ns: int) -> Trades:
    return Trades(
        open_ns + np.array([1, 2, 2]) * NS_PER_S, np.array([open_ns, UNKNOWN_NS, open_ns + 5]),
        np.array([UP, DOWN, UP], np.int8), np.full(3, BUY, np.int8), np.array([0.5, 0.25, 0.75]),
        np.array([10.0, 4.0, 2.0]), side_known=False,
    )  # fmt: skip


def test_a_tape_comes_back_bit_for_bit(tmp_path: Path) -> None:
    tapes = [make_tape(1, 300, index=i, ladder=i % 2 == 0, reference=i != 1) for i in range(7)]
    strike = replace(tapes[3], market=replace(tapes[3].market, strike=90_000.5, source="somebody"))
    tapes[3] = strike

    writer = write(tmp_path, tapes)

    back = list(Recording(tmp_path).tapes())
    assert len(back) == 7
    assert all(same(one, two) for one, two in zip(tapes, back, strict=True))
    assert writer.summary.new_ticks == sum(len(tape) for tape in tapes)


def test_trades_and_references_come_back_with_unknown_times_unknown(tmp_path: Path) -> None:
    tape = make_tape(2, 100)
    trades = some_trades(tape.market.open_ns)
    recv_ns = tape.market.open_ns + np.arange(4000) * NS_PER_S  # crosses an hour
    price = 90_000 + np.arange(4000.0)
    with RecordingWriter(tmp_path) as writer:
        writer.write_tape(tape, trades)
        writer.write_reference("BTC", "binance-spot", recv_ns, None, price)

    recording = Recording(tmp_path)
    back = recording.trades(tape.market.market_id)
    feed = recording.reference("BTC", "binance-spot", int(recv_ns[10]), int(recv_ns[3900]))
    assert back is not None
    for name in ("recv_ns", "venue_ns", "token", "side", "price", "size"):
        assert np.array_equal(getattr(back, name), getattr(trades, name)), name
    assert back.side_known is False
    assert np.array_equal(feed.recv_ns, recv_ns[10:3901])
    assert np.array_equal(feed.price, price[10:3901])
    assert recording.references() == [("BTC", "binance-spot")]


def test_writing_the_same_twice_changes_no_byte_and_says_so(tmp_path: Path) -> None:
    tapes = [make_tape(1, 200, index=i, ladder=True) for i in range(5)]

    def everything() -> RecordingWriter:
        with RecordingWriter(tmp_path) as writer:
            for tape in tapes:
                writer.write_tape(tape, some_trades(tape.market.open_ns))
                writer.write_gap(tape.market.market_id, tape.market.open_ns, tape.market.open_ns + 7, "no ticks")
                writer.write_outcome(tape.market.market_id, 1.0, "synthetic", "test")
            writer.write_reference("BTC", "x", tapes[0].recv_ns, tapes[0].recv_ns, np.full(len(tapes[0]), 5.0))
            writer.write_log("test", {"seen": 5})
        return writer

    first = everything().summary
    before = hashes(tmp_path)
    again = everything().summary

    assert hashes(tmp_path) == before
    assert first.changed
    assert not again.changed
    assert (again.new_tapes, again.unchanged_tapes) == (0, 5)
    assert again.dataset_id == first.dataset_id


def test_the_dataset_id_depends_on_content_and_not_on_order_or_grouping(tmp_path: Path) -> None:
    tapes = [make_tape(1, 100, index=i) for i in range(6)]
    write(tmp_path / "at_once", tapes)
    write(tmp_path / "in_parts", tapes[3:])
    write(tmp_path / "in_parts", tapes[:3][::-1])
    other = [*tapes[:5], replace(tapes[5], rows=tapes[5].rows + 0.0)]
    other[5].rows[3, 8] += 1.0
    write(tmp_path / "other", other)

    ids = {name: Recording(tmp_path / name).dataset_id for name in ("at_once", "in_parts", "other")}

    assert ids["at_once"] == ids["in_parts"]
    assert ids["other"] != ids["at_once"]


def test_outcomes_lie_apart_and_are_no_part_of_the_dataset(tmp_path: Path) -> None:
    tape = make_tape(1, 100)
    name = tape.market.market_id
    write(tmp_path, [tape])
    before = Recording(tmp_path).dataset_id
    assert read_outcomes(tmp_path) == {}
    assert outcomes_id(tmp_path) == ""
    with RecordingWriter(tmp_path) as writer:
        writer.write_outcome(name, 0.0, "inferred", "last quote")
        writer.write_outcome(name, 1.0, "official", "venue")
        writer.write_outcome(name, 0.0, "synthetic", "a draw")

    assert read_outcomes(tmp_path) == {name: Outcome(name, 1.0, "official", "venue")}  # the official word counts
    assert Recording(tmp_path).dataset_id == before
    assert outcomes_id(tmp_path) != ""
    assert not any("outcome" in key for key in Recording(tmp_path).__dict__["_places"])


def test_gaps_come_back_in_order_and_are_counted_in_the_manifest_of_the_ticks(tmp_path: Path) -> None:
    tape = make_tape(1, 100)
    name, start = tape.market.market_id, tape.market.open_ns
    write(tmp_path, [tape])
    with RecordingWriter(tmp_path) as writer:
        writer.write_gap(name, start + 5, start + 9, "no ticks")
        writer.write_gap(name, start, start + 2, "recording starts late")

    recording = Recording(tmp_path)
    assert recording.gaps() == [
        Gap(name, start, start + 2, "recording starts late"), Gap(name, start + 5, start + 9, "no ticks"),
    ]  # fmt: skip
    assert [m.gaps for m in recording.manifests if m.table == "ticks"] == [2]


def test_a_writer_that_fails_leaves_the_recording_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, [make_tape(1, 100)])
    before = hashes(tmp_path)

    tapes = [make_tape(1, 50, index=4 * i) for i in range(1, 40)]  # more partitions than may be open at once
    with pytest.raises(BadRecording, match="holds no tick"):
        write(tmp_path, [*tapes, tapes[0].until(0)])

    assert hashes(tmp_path) == before


def test_a_commit_cut_short_is_noticed_and_the_same_import_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tapes = [make_tape(1, 100, index=i) for i in range(6)]
    write(tmp_path / "whole", tapes)
    write(tmp_path / "cut", tapes[:1])
    with monkeypatch.context() as patch:
        patch.setattr(commit_module, "_write_manifests", _fail)  # after the parts were moved, before any manifest
        with pytest.raises(OSError, match="power"):
            write(tmp_path / "cut", tapes)
    assert len(list(Recording(tmp_path / "cut").tapes())) == 1  # what was there is still there
    with monkeypatch.context() as patch:
        patch.setattr(commit_module, "write_index", _fail)  # after every manifest, before the index
        with pytest.raises(OSError, match="power"):
            write(tmp_path / "cut", tapes)
    with pytest.raises(BadRecording, match="an import was cut short"):
        Recording(tmp_path / "cut")

    write(tmp_path / "cut", tapes)

    from observer.store.verify import verify

    assert Recording(tmp_path / "cut").dataset_id == Recording(tmp_path / "whole").dataset_id
    assert verify(tmp_path / "cut").problems == []


def _fail(*_: object) -> None:
    raise OSError("power")


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path), pytest.raises(UsageError, match="is being written by another process"):
        RecordingWriter(tmp_path).__enter__()

    write(tmp_path, [make_tape(1, 50)])  # the lock is given back


def test_many_open_hours_stay_within_the_open_file_limit(tmp_path: Path) -> None:
    tapes = [make_tape(1, 20, index=i) for i in np.random.default_rng(0).permutation(160)]

    write(tmp_path, tapes)

    assert [t.market.open_ns for t in Recording(tmp_path).tapes()] == sorted(t.market.open_ns for t in tapes)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda w, t: w.write_tape(replace(t, rows=t.rows * 0.999)), "already holds other ticks under this name"),
        (
            lambda w, t: w.write_tape(replace(t, market=replace(t.market, strike=5.0))),
            r"markets of btc-updown-15m-1767013200: .* already holds .*strike None.* found .*strike 5\.0",
        ),
        (lambda w, t: w.write_gap("nobody", 1, 2, "x"), "gap of market nobody, whose tape is not in"),
        (lambda w, t: w.write_gap(t.market.market_id, 2_000_000_000, 1_000_000_000, "x"), "before it starts"),
        (lambda w, t: w.write_outcome("nobody", 1.0, "official", "x"), "outcome of market nobody, whose tape"),
        (lambda w, t: w.write_outcome(t.market.market_id, 0.7, "official", "x"), r"payoff_up 0\.7 .* wanted 1, 0 or"),
        (lambda w, t: w.write_outcome(t.market.market_id, 1.0, "guess", "x"), "kind 'guess'; wanted"),
        (lambda w, t: w.write_outcome(t.market.market_id, 0.0, "official", "x"), "payoff_up 1.0.* found"),
        (
            lambda w, t: w.write_reference("BTC", "x", t.recv_ns[50:90], None, np.full(40, 2.0)),
            "reference of BTC in venue=x.* already holds other records from 2025",
        ),
    ],
)  # fmt: skip
def test_other_content_under_a_known_name_is_refused(tmp_path: Path, action, message: str) -> None:
    tape = make_tape(1, 100, missing_frac=0, reference=False)
    with RecordingWriter(tmp_path) as writer:
        writer.write_tape(tape)
        writer.write_outcome(tape.market.market_id, 1.0, "official", "venue")
        writer.write_reference("BTC", "x", tape.recv_ns, None, np.full(len(tape), 1.0))

    with pytest.raises(BadRecording, match=message), RecordingWriter(tmp_path) as writer:
        action(writer, tape)


def test_a_recording_without_its_index_is_not_written_over(tmp_path: Path) -> None:
    write(tmp_path, [make_tape(1, 50)])
    (tmp_path / "dataset.json").unlink()

    with pytest.raises(BadRecording, match="holds partitions but dataset.json is missing"):
        write(tmp_path, [make_tape(1, 50)])

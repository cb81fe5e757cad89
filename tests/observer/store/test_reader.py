"""Finding markets, walking tapes within bounded memory, and saying what is wrong."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from observer.kit.errors import BadRecording
from observer.records import Tape
from observer.store.reader import Recording
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


def renamed(tape: Tape, **changes: object) -> Tape:
    return replace(tape, market=replace(tape.market, **changes))


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    with RecordingWriter(tmp_path) as writer:
        for i in (3, 1, 0, 2):
            tape = make_tape(1, 60, index=i)
            writer.write_tape(tape)
            writer.write_tape(renamed(tape, market_id=f"eth-{i}", series="a-eth", symbol="ETH"))
    return Recording(tmp_path)


def test_markets_are_sorted_by_series_and_time_and_tapes_by_time(recording: Recording) -> None:
    markets = [(m.series, m.open_ns) for m in recording.markets()]
    walked = [(t.market.open_ns, t.market.series) for t in recording.tapes()]

    assert markets == sorted(markets)
    assert len(markets) == 8
    assert walked == sorted(walked)
    assert len(walked) == 8
    assert [t.market.series for t in recording.tapes("a-eth")] == ["a-eth"] * 4


def test_what_the_reader_hands_out_belongs_to_the_caller(recording: Recording) -> None:
    for tape in [recording.tape("eth-1"), *recording.tapes()]:
        assert tape.rows.base is None  # no view: writing to it, or keeping it, touches nothing else
        assert tape.recv_ns.base is None


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.tape("nobody"), "holds no market 'nobody'; it holds 8. List them with"),
        (lambda r: r.trades("nobody"), "holds no market 'nobody'"),
        (lambda r: next(r.tapes("none")), "holds no series 'none'. It holds: a-eth, btc-updown-15m"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(recording: Recording, ask, message: str) -> None:
    with pytest.raises(BadRecording, match=message):
        ask(recording)


def test_a_market_without_trades_has_none(recording: Recording) -> None:
    assert recording.trades("eth-1") is None


def test_a_folder_without_a_recording_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="holds no recording .* Import one: mlx-rl import"):
        Recording(tmp_path / "nothing")


def test_the_reader_cannot_open_outcomes() -> None:
    code = "import sys, observer.store.reader, observer.venues.replay; print('observer.store.outcomes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_walking_a_recording_holds_a_few_row_groups_and_not_the_recording(tmp_path: Path) -> None:
    tape = make_tape(1, 1700)
    n_windows = 240
    with RecordingWriter(tmp_path) as writer:
        held_writing = 0
        for i in range(n_windows):
            start = make_tape(1, 2, index=i).market
            writer.write_tape(replace(tape, market=start, recv_ns=tape.recv_ns - tape.market.open_ns + start.open_ns))
            held_writing = max(held_writing, pa.total_allocated_bytes())
    whole_bytes = n_windows * tape.rows.nbytes
    tracemalloc.start()
    for _ in Recording(tmp_path).tapes():
        pass
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert held < whole_bytes / 4
    assert held_writing < whole_bytes / 2  # sixteen open hours of four windows each, at most


def test_reading_one_market_opens_its_own_partition_only(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    from observer.store import groups

    opened: list[Path] = []
    real = groups.open_parquet
    monkeypatch.setattr(groups, "open_parquet", lambda path: (opened.append(path), real(path))[1])

    recording.tape("eth-3")

    assert len(opened) == 1
    assert "ticks/venue=test/date=2025-12-29/hour=13" in str(opened[0])

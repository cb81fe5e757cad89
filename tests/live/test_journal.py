"""The journal: what is written reads back, and whatever was done to the file is found."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.journal import Journal, JournalBroken, JournalUnfinished, array, numbers, read, verify
from observer.kit.errors import UsageError


def write(path: Path, n: int = 5) -> str:
    with Journal(path, {"arms": ["a"]}) as journal:
        for i in range(n):
            journal.append("tick", {"i": i, "row": [0.1 + i, None]})
    return journal.last_hash


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    write(path)
    return path


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    last = write(tmp_path / "j.jsonl")
    records = list(read(tmp_path / "j.jsonl"))

    assert [r["kind"] for r in records] == ["header", *["tick"] * 5, "footer"]
    assert records[3]["row"] == [2.1, None]
    assert verify(tmp_path / "j.jsonl", last_hash=last).is_finished
    assert verify(tmp_path / "j.jsonl").lines == 7


def test_every_single_flipped_bit_is_refused(sample: Path, tmp_path: Path) -> None:
    good = sample.read_bytes()
    bad = tmp_path / "bad.jsonl"
    for at in range(len(good)):
        for bit in range(8) if at % 13 == 0 else (at % 8,):  # every byte once, every thirteenth in all its bits
            bad.write_bytes(good[:at] + bytes([good[at] ^ (1 << bit)]) + good[at + 1 :])
            with pytest.raises((JournalBroken, JournalUnfinished)):
                list(read(bad))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_removed_repeated_or_moved_line_is_found(sample: Path, data: st.DataObject) -> None:
    lines = sample.read_bytes().splitlines(keepends=True)
    i = data.draw(st.integers(0, len(lines) - 1))
    j = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["remove", "repeat", "swap"]))
    if how == "remove":
        lines.pop(i)
    elif how == "repeat":
        lines.insert(j, lines[i])
    elif i == j:
        return
    else:
        lines[i], lines[j] = lines[j], lines[i]
    bad = sample.with_name("bad.jsonl")
    bad.write_bytes(b"".join(lines))

    with pytest.raises((JournalBroken, JournalUnfinished)):
        list(read(bad))


def test_a_cut_file_is_unfinished_wherever_it_is_cut_and_its_whole_lines_remain(sample: Path, tmp_path: Path) -> None:
    good = sample.read_bytes()
    first = good.index(b"\n") + 1
    bad = tmp_path / "bad.jsonl"
    for at in range(first, len(good)):
        bad.write_bytes(good[:at])
        with pytest.raises(JournalUnfinished, match="pass --unfinished"):
            list(read(bad))
        whole = good[:at].count(b"\n")
        assert len(list(read(bad, unfinished=True))) == whole
        verdict = verify(bad)
        assert (verdict.lines, verdict.is_finished) == (whole, False)
        assert verdict.torn_bytes == at - good[:at].rfind(b"\n") - 1


def test_a_rewritten_chain_does_not_end_in_the_hash_that_was_printed(tmp_path: Path) -> None:
    last = write(tmp_path / "j.jsonl")
    write(tmp_path / "forged.jsonl", n=4)  # a lawful chain of its own

    with pytest.raises(JournalBroken, match="the file was rewritten"):
        verify(tmp_path / "forged.jsonl", last_hash=last)


def test_a_journal_is_never_written_over(sample: Path) -> None:
    with pytest.raises(UsageError, match="never written over"):
        Journal(sample, {})


def test_another_file_is_not_a_journal(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\n")
    (tmp_path / "empty").write_text("")

    for name in ("x", "empty"):
        with pytest.raises(JournalBroken):
            list(read(tmp_path / name))
    with pytest.raises(UsageError, match="cannot be read"):
        list(read(tmp_path / "none"))


def test_a_session_that_dies_leaves_no_footer(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Journal(tmp_path / "j", {}) as journal:
        journal.append("tick", {"i": 1 / 0})

    assert not verify(tmp_path / "j").is_finished


def test_kill_9_loses_nothing_that_append_returned_for(tmp_path: Path) -> None:
    path, told = tmp_path / "j", tmp_path / "told"
    code = (
        "import sys\nfrom pathlib import Path\nfrom live.journal import Journal\n"
        f"j = Journal(Path({str(path)!r}), {{}})\ntold = open({str(told)!r}, 'wb', buffering=0)\n"
        "for i in range(10**9):\n    j.append('tick', {'i': i})\n    told.write(b'.')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    while not (told.exists() and told.stat().st_size > 300):
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    records = list(read(path, unfinished=True))
    assert len(records) - 1 >= told.stat().st_size
    assert [r["i"] for r in records[1:]] == list(range(len(records) - 1))


def test_a_write_that_falls_short_is_cut_back_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j", {})
    whole, real = (tmp_path / "j").stat().st_size, os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))

    with pytest.raises(JournalBroken, match="wrote 10 of"):
        journal.append("tick", {"i": 1})
    assert (tmp_path / "j").stat().st_size == whole
    journal.close()


@pytest.mark.parametrize(("policy", "forced"), [("orders", 3), ("always", 5), ("never", 0)])
def test_lines_are_forced_to_disk_as_the_policy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, forced: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with Journal(tmp_path / "j", {}, fsync=policy) as journal:  # header and footer are forced under "orders"
        journal.append("tick", {})
        journal.append("order", {}, must_last=True)
        journal.append("tick", {})

    assert len(calls) == forced


@given(st.lists(st.floats(width=64, allow_infinity=False), max_size=20))
def test_numbers_read_back_to_the_same_bits(values: list[float]) -> None:
    import json

    given_ = np.array(values)
    back = array(json.loads(json.dumps(numbers(given_), allow_nan=False)))

    assert np.array_equal(np.isnan(given_), np.isnan(back))
    assert np.array_equal(given_[~np.isnan(given_)].view(np.int64), back[~np.isnan(back)].view(np.int64))

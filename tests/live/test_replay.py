"""Replay: the same bits or the first difference, and a profit that is split into where it came from."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live.arms import arm_from_record, arms_of, rule_arm
from live.cli.replay import ReplaySettings, work
from live.cli.replay import main as replay_main
from live.journal import FOOTER, HEADER, Journal, JournalBroken, JournalUnfinished, read
from live.runner import PaperSettings, run_paper
from mlx_rl.market.law import LawSettings
from observer.kit.errors import BadArtifact
from tests.live.exported import make_exported
from tests.samples.recordings import record
from tests.samples.tapes import make_tape

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def journal(models: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a hybrid session; not to be changed."""
    path = tmp_path_factory.mktemp("journals") / "j.jsonl"
    arms = arms_of("hybrid", models / "base_torch", models / "tf_torch", 0)
    run_paper(arms, PaperSettings(data_dir=data, journal=path, law=LawSettings(size_shares=20)))
    return path


def rewritten(path: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The journal with some lines changed and a lawful chain over them: what only a replay can find."""
    made: Journal | None = None
    for line in read(path):
        change(line)
        body = {k: v for k, v in line.items() if k not in ("n", "prev", "hash", "kind")}
        if line["kind"] == HEADER:
            body.pop("format")
            made = Journal(to, body)
        elif made is not None and line["kind"] != FOOTER:
            made.append(line["kind"], body)
        elif made is not None:
            body.pop("lines")
            made.close(body)
    return to


def test_every_decision_of_both_arms_is_the_same(journal: Path, data: Path) -> None:
    made = work(ReplaySettings(journal=journal, data_dir=data))

    assert made["same"]
    assert made["decisions"] == made["equal"] == 2 * made["ticks"] == 2 * 6 * 240
    assert made["inputs"] == {"checked": 1440, "equal": 1440}
    assert made["first_difference"] is None
    profit = made["profit"]
    assert profit["journalled_usd"] == profit["replayed_usd"] != 0
    assert profit["fills_usd"] == profit["settlement_usd"] == profit["decisions_usd"] == 0


def test_a_changed_last_bit_of_one_logit_is_the_first_difference(journal: Path, tmp_path: Path) -> None:
    where: dict[str, Any] = {}

    def change(line: dict[str, Any]) -> None:
        if line["kind"] == "tick" and line["n"] > 500 and not where:
            where["n"], logits = line["n"], line["arms"]["tf_torch"]["logits"]
            logits[1] = logits[1] * (1 + 2e-16) + 5e-324

    made = work(ReplaySettings(journal=rewritten(journal, tmp_path / "j", change)))

    assert made["equal"] == made["decisions"] - 1
    assert made["first_difference"]["line"] == where["n"]
    assert made["first_difference"]["what"].startswith("arm tf_torch, btc-updown-15m-")


def test_another_fill_is_found_and_priced(journal: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def change(line: dict[str, Any]) -> None:
        if line["kind"] == "settle" and line["net_usd"] is not None and not seen:
            seen.append(line["market"])
            line["net_usd"] += 1.25  # the venue said it filled 1.25 USD better than the law gives

    made = work(ReplaySettings(journal=rewritten(journal, tmp_path / "j", change)))

    assert not made["same"]
    assert made["equal"] == made["decisions"]
    assert made["profit"]["fills_usd"] == pytest.approx(1.25)
    assert made["profit"]["decisions_usd"] == made["profit"]["settlement_usd"] == 0


def test_another_outcome_is_found_and_priced(tmp_path: Path) -> None:
    # 5 shares of Up are bought below 0.40 and held; they pay 5 USD in one recording and nothing in the other.
    tape = make_tape(0, 100, missing_frac=0)
    tape.rows[:, :2] = 0.29, 0.31
    tape.rows[:, 2:4] = 0.69, 0.71
    won, lost = record(tmp_path / "won", [(tape, 1.0)]), record(tmp_path / "lost", [(tape, 0.0)])
    settings = PaperSettings(data_dir=won, journal=tmp_path / "j", law=LawSettings(size_shares=5))
    run_paper([rule_arm("mean_revert")], settings)

    made = work(ReplaySettings(journal=tmp_path / "j", data_dir=lost))

    assert made["profit"]["settlement_usd"] == pytest.approx(5.0)
    assert made["profit"]["journalled_usd"] == pytest.approx(5 - 5 * 0.31)
    assert made["profit"]["replayed_usd"] == pytest.approx(-5 * 0.31)
    assert made["profit"]["fills_usd"] == made["profit"]["decisions_usd"] == 0


def test_other_decisions_are_counted_and_priced(tmp_path: Path) -> None:
    # The header is made to name another seed, so the arm decides otherwise now.
    root = record(tmp_path / "data", [(make_tape(2, 300, missing_frac=0), 1.0)])
    settings = PaperSettings(data_dir=root, journal=tmp_path / "j", law=LawSettings(size_shares=5))
    then = run_paper([rule_arm("random", trade_chance=0.2)], settings)

    def other_seed(line: dict[str, Any]) -> None:
        if line["kind"] == HEADER:
            line["arms"][0]["settings"]["seed"] = 1

    made = work(ReplaySettings(journal=rewritten(tmp_path / "j", tmp_path / "k", other_seed)))
    now = run_paper([rule_arm("random", trade_chance=0.2, seed=1)], settings.model_copy(update={"journal": None}))

    assert made["equal"] < made["decisions"]
    assert made["profit"]["journalled_usd"] == pytest.approx(then["net_usd"])
    assert made["profit"]["replayed_usd"] == pytest.approx(now["net_usd"])
    assert made["profit"]["decisions_usd"] == pytest.approx(then["net_usd"] - now["net_usd"])
    assert made["profit"]["fills_usd"] == 0


def test_inputs_that_are_not_the_recordings_are_counted(journal: Path, data: Path, tmp_path: Path) -> None:
    def change(line: dict[str, Any]) -> None:
        if line["kind"] == "tick" and line["n"] % 200 == 0:
            line["row"][17] = 0.123  # the age of the reference

    changed = rewritten(journal, tmp_path / "j", change)
    n = sum(1 for line in read(changed) if line["kind"] == "tick" and line["n"] % 200 == 0)

    made = work(ReplaySettings(journal=changed, data_dir=data))

    assert made["inputs"]["checked"] - made["inputs"]["equal"] == n > 3
    assert not made["same"]


def test_the_model_of_another_session_is_refused(journal: Path, tmp_path: Path) -> None:
    other = make_exported(tmp_path / "other_torch", "transformer", temporal_dim=8)
    header = next(read(journal))

    with pytest.raises(BadArtifact, match="has weights_sha256 .* the journal was made with"):
        arm_from_record(header["arms"][1], other)


def test_a_flipped_bit_is_refused_before_anything_is_replayed(journal: Path, tmp_path: Path) -> None:
    good = bytearray(journal.read_bytes())
    good[len(good) // 2] ^= 1
    (tmp_path / "j").write_bytes(good)

    with pytest.raises(JournalBroken):
        work(ReplaySettings(journal=tmp_path / "j"))


def test_the_door_exits_1_where_anything_differs(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(line: dict[str, Any]) -> None:
        if line["kind"] == "order":
            line["propensity"] = 0.25

    changed = rewritten(journal, tmp_path / "j", change)

    assert replay_main([str(journal)]) == 0
    assert "SAME; 2880 of 2880 decisions equal bit for bit" in capsys.readouterr().out
    assert replay_main([str(changed)]) == 1
    assert "DIFFERENT" in capsys.readouterr().out
    assert replay_main([str(tmp_path / "none")]) == 2


def test_a_killed_session_replays_up_to_its_last_whole_line(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "j"
    child = subprocess.Popen(
        [sys.executable, "run.py", "random", "--data-dir", str(data), "--journal", str(path), "--speed", "40"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    while not (path.exists() and path.stat().st_size > 30_000):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    with pytest.raises(JournalUnfinished):
        work(ReplaySettings(journal=path))
    made = work(ReplaySettings(journal=path, unfinished=True))
    assert made["same"]
    assert made["ticks"] > 30


def test_an_interrupted_session_leaves_a_finished_journal_that_replays(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "j"
    child = subprocess.Popen(
        [sys.executable, "run.py", "random", "--data-dir", str(data), "--journal", str(path), "--speed", "40"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (path.exists() and path.stat().st_size > 30_000):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)

    assert child.returncode == 130
    assert "interrupted" in said
    assert list(read(path))[-1]["ended"] == "interrupted"
    assert work(ReplaySettings(journal=path))["same"]

"""The recorder's door, with the loopback exchange behind it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.cli.observe import main
from observer.exchange.child import Child, running
from observer.store.segment import read_segment
from observer.store.spool import PROMISE

ROOT = Path(__file__).resolve().parents[3]
ONLY = ("--venues", "polymarket,binance-spot", "--markets", "btc")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Child]:
    """An exchange of two venues and one coin."""
    with running("--venues", "polymarket", "binance-spot", "--coins", "BTC") as child:
        yield child


def start(folder: Path, url: str, *flags: str, as_json: bool = True) -> subprocess.Popen[str]:
    """The door as a process of its own, recording."""
    command = [sys.executable, str(ROOT / "observer.py"), "--local-dir", str(folder), "--exchange", url]
    command += ["--json"] if as_json else []
    return subprocess.Popen(
        [*command, *ONLY, *flags], cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for_batches(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until something is on the disk."""
    for _ in range(400):
        if any(path.stat().st_size > 20_000 for path in folder.glob("spool/*/wal/*.open")):
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("nothing was written")


def children_of(pid: int) -> list[int]:
    """Processes that this one started."""
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


def test_a_dry_run_lists_markets_and_feeds_and_writes_nothing(
    exchange: Child, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*ONLY, "--exchange", exchange.url, "--local-dir", str(tmp_path / "data"), "--dry-run", "--json"])

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert {"btc-updown-5m", "btc-updown-15m"} <= {row["series"] for row in result["listed"]}
    assert {row["symbol"] for row in result["listed"]} == {"BTC"}
    assert {"BTC chainlink", "BTC binance-spot"} <= set(result["feeds"])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--venues", "polymarkt"), "no venue is called 'polymarkt'"),
        (("--exchange", "http://127.0.0.1:1"), "no loopback exchange answers there"),
        (("--url", "polymarket.gama=http://x"), "--url polymarket.gama=http://x: wanted NAME=URL"),
        (("--markets", ","), "--markets is empty"),
        (("--venues", "kalshi"), "KALSHI_KEY_ID"),
        (("--s3-bucket", "s3://mine"), "'s3://s3://mine/observer' is no place in a bucket"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_way_out(
    flags: tuple[str, ...],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KALSHI_KEY_ID", raising=False)

    code = main([*flags, "--local-dir", str(tmp_path / "data")])

    assert code == 2
    assert says in capsys.readouterr().err


def test_a_dry_run_that_would_record_nothing_is_a_misuse(
    exchange: Child, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--venues", "polymarket", "--exchange", exchange.url, "--local-dir", str(tmp_path / "data"), "--dry-run"]

    assert main([*flags, "--markets", "polit1cs"]) == 2
    assert "--markets polit1cs: polymarket list nothing of that now" in capsys.readouterr().err
    assert main([*flags, "--markets", "politics"]) == 0
    assert "politics_fees" in capsys.readouterr().out


def test_a_dry_run_of_a_venue_that_does_not_answer_fails(
    exchange: Child, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--venues", "polymarket", "--exchange", exchange.url, "--local-dir", str(tmp_path / "data"), "--dry-run"]

    assert main([*flags, "--url", "polymarket.gamma=http://127.0.0.1:1"]) == 1
    assert "polymarket cannot be asked what it lists" in capsys.readouterr().err


@pytest.mark.parametrize("wait_s", [0.15, 0.4, 0.8])
def test_sigterm_during_the_start_is_a_stop_like_any_other(exchange: Child, tmp_path: Path, wait_s: float) -> None:
    process = start(tmp_path / "data", exchange.url)
    try:
        assert process.stderr is not None
        time.sleep(wait_s)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    finally:
        process.kill()

    assert process.returncode in (0, -signal.SIGTERM if wait_s < 0.4 else 0)  # before Python runs a line of ours
    assert time.monotonic() - began <= 5


def test_a_run_that_did_not_bring_its_recording_home_says_so_and_fails(
    exchange: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    nowhere = ("--s3-bucket", "mine", "--s3-endpoint-url", "http://127.0.0.1:1")

    place = ("--exchange", exchange.url, "--local-dir", str(tmp_path / "data"))

    code = main([*ONLY, *place, "--duration", "2", "--json", *nowhere])

    said = capsys.readouterr()
    (undone,) = json.loads(said.out)["undone"]
    assert code == 1
    assert "observer.s3" in undone
    assert f"not done: {undone}" in said.err


def test_sigterm_seals_everything_within_five_seconds(exchange: Child, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    process = start(folder, exchange.url)
    try:
        wait_for_batches(folder, process)
        second = start(folder, exchange.url)
        said = second.communicate(timeout=20)[1]
        assert second.returncode == 2
        assert f"already recorded into by process {process.pid}" in said
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
        took = time.monotonic() - began
    finally:
        process.kill()

    assert process.returncode == 0
    assert took <= 5
    assert PROMISE["1s"] in err
    result = json.loads(out)
    assert result["venues"]["polymarket"]["messages"] > 0
    assert result["venues"]["polymarket"]["refused"] == {}
    assert list(folder.glob("spool/*/wal/*.open")) == []
    batches = [batch for path in sorted(folder.glob("spool/*/wal/*.wal")) for batch in read_segment(path)]
    assert sum(len(batch.ticks) for batch in batches) > 0
    log = [json.loads(line) for line in (folder / "logs" / "observer.jsonl").read_text().splitlines()]
    assert all({"at", "level", "from", "text"} <= set(line) for line in log)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which is absent here")
def test_a_killed_recorder_leaves_no_helper_behind_and_is_mended_at_the_next_start(
    exchange: Child, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    process = start(folder, exchange.url)
    wait_for_batches(folder, process)
    helpers = children_of(process.pid)
    process.kill()
    process.communicate()

    assert helpers
    for _ in range(300):
        if not any(Path(f"/proc/{pid}").exists() for pid in helpers):
            break
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in helpers)
    again = start(folder, exchange.url, "--duration", "3", as_json=False)
    out, err = again.communicate(timeout=30)
    assert again.returncode == 0
    assert "recovered" in err
    assert re.search(r"polymarket +\d", out)
    assert re.search(r"tick rows at \d+ ticks, late by .* batches in", out)
    assert list(folder.glob("spool/*/wal/*.open")) == []
    assert list(folder.glob("raw/venue=polymarket/*/*/*.zst"))  # a run that ends by itself ends compacted

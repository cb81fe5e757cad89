"""The runner: its summary adds up, its pace is the one asked for, and its screen shows what matters."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from live.arms import arms_of, rule_arm
from live.runner import PaperSettings, run_paper
from live.screen import Screen
from mlx_rl.market.law import LawSettings
from observer.kit.errors import UsageError
from observer.store.reader import Recording
from tests.live.scripted import buy_then_sell, run, session
from tests.samples.recordings import record
from tests.samples.tapes import make_tape

SMALL = LawSettings(size_shares=5)


def test_the_summary_adds_up(models: Path, data: Path, tmp_path: Path) -> None:
    arms = arms_of("hybrid", models / "base_torch", models / "tf_torch", 0)
    made = run_paper(arms, PaperSettings(data_dir=data, journal=tmp_path / "j", law=SMALL))
    parts = list(made["arms"].values())

    assert (made["windows"], made["without_outcome"], made["ticks"]) == (6, 1, 6 * 240)
    assert sum(arm["windows"] for arm in parts) == 5
    assert sum(arm["net_usd"] for arm in parts) == pytest.approx(made["net_usd"])
    for arm in parts:
        cost = arm["spread_usd"] + arm["fees_usd"] + arm["slippage_usd"]
        assert arm["net_usd"] == pytest.approx(arm["gross_usd"] - cost)
        assert arm["fees_usd"] > 0
    assert 0 < made["agreement_frac"] < 1


def test_the_same_session_twice_is_the_same(models: Path, two_series: Path, tmp_path: Path) -> None:
    arms = arms_of("hybrid", models / "base_torch", models / "tf_torch", 0)
    hashes = []
    for name in ("a", "b"):
        run_paper(arms, PaperSettings(data_dir=two_series, journal=tmp_path / name, law=SMALL))
        lines = (tmp_path / name).read_text().splitlines()[1:]  # the header says when it began
        hashes.append([line.split('"kind"')[1].rsplit(',"hash"')[0] for line in lines])

    assert hashes[0] == hashes[1]


def test_a_model_that_trades_recorded_windows_has_opened_them_and_a_rule_has_not(models: Path, data: Path) -> None:
    log = data / "test_openings.jsonl"
    log.unlink(missing_ok=True)
    run_paper([rule_arm("random")], PaperSettings(data_dir=data, law=SMALL))
    assert not log.exists()

    run_paper(arms_of("hybrid", models / "base_torch", models / "tf_torch", 0), PaperSettings(data_dir=data, law=SMALL))
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["dataset_id"] == Recording(data).dataset_id
    assert json.loads(line)["by"].startswith("run.py ")


def test_another_salt_deals_the_windows_otherwise(models: Path, two_series: Path) -> None:
    arms = arms_of("hybrid", models / "base_torch", models / "tf_torch", 0)
    dealt = {
        tuple(arm["windows"] for arm in run_paper(arms, settings)["arms"].values())
        for salt in "abcdef"
        for settings in [PaperSettings(data_dir=two_series, salt=salt, law=SMALL)]
    }

    assert len(dealt) > 1


def test_speed_paces_the_recording(tmp_path: Path) -> None:
    # 20 ticks 0.25 to 0.75 s apart span about 10 s of recording: at 20 times real time about half a second.
    tape = make_tape(0, 20)
    root = record(tmp_path, [(tape, 1.0)])
    span_s = (tape.recv_ns[-1] - tape.recv_ns[0]) / 1e9

    paced = run_paper([rule_arm("momentum")], PaperSettings(data_dir=root, speed=20, law=SMALL))

    assert paced["seconds"] >= span_s / 20


def test_an_unknown_series_is_refused_with_the_known_ones(two_series: Path) -> None:
    with pytest.raises(UsageError, match="It holds: btc-updown-15m, eth-updown-15m"):
        run_paper([rule_arm("momentum")], PaperSettings(data_dir=two_series, series="doge"))


def test_an_empty_recording_is_refused_with_the_way_to_fill_it(tmp_path: Path) -> None:
    empty = record(tmp_path, [])

    with pytest.raises(
        UsageError, match="holds no market window yet. Record some with `python observer.py --local-dir"
    ):
        run_paper([rule_arm("momentum")], PaperSettings(data_dir=empty))


def test_the_live_table_names_market_arm_position_price_profit_and_action() -> None:
    made, _ = session(buy_then_sell)
    tape = make_tape(0, 14, missing_frac=0)
    run(made, tape)
    shown = io.StringIO()
    Console(file=shown, width=120).print(Screen(made, windows=1, is_terminal=False)._table(int(tape.recv_ns[-1])))

    row = next(line for line in shown.getvalue().splitlines() if tape.market.market_id in line)
    price = (tape.rows[-1, 0] + tape.rows[-1, 1]) / 2
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:4] == [tape.market.market_id, "a", "up", f"{price:.3f}"]
    assert cells[4] == f"{made.net_usd():+.2f}"
    assert cells[5] == "BUY"
    assert "a: 0 windows, +0.00 USD" in shown.getvalue()


def test_a_terminal_gets_a_table_and_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    made, _ = session(buy_then_sell)
    tape = make_tape(0, 14, missing_frac=0)
    with Screen(made, windows=1, is_terminal=True) as screen:
        run(made, tape)
        screen.ticked(int(tape.recv_ns[-1]))
        screen.closed(made.close(tape.market.market_id, 1.0, "test"))

    err = capsys.readouterr().err
    assert "last action" in err
    assert "1/1" not in err

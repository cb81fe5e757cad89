"""`mlx-rl synthetic` writes a recording that reads back as it was made, and refuses what cannot be meant."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from observer.cli.synthetic import main
from observer.store.outcomes import read_outcomes
from observer.store.reader import Recording
from observer.venues.synthetic import SYNTHETIC

FEW = ["--windows", "3", "--ticks-per-window", "40", "--seed", "7"]


@pytest.mark.parametrize("kind", list(SYNTHETIC))
def test_what_is_written_reads_back(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([kind, "--data-dir", str(tmp_path), *FEW, "--json"])
    result = json.loads(capsys.readouterr().out)
    recording = Recording(tmp_path)
    market = SYNTHETIC[kind]
    made = list(market.generate(market.settings(windows=3, ticks_per_window=40, seed=7)))
    outcomes = read_outcomes(tmp_path)

    assert code == 0
    assert result["dataset_id"] == recording.dataset_id
    assert (result["windows"], result["new_windows"], result["ticks"]) == (3, 3, 120)
    assert result["settled_up"] == sum(payoff for _, payoff in made)
    for tape, (want, payoff) in zip(recording.tapes(), made, strict=True):
        assert tape.market == want.market
        assert np.array_equal(tape.recv_ns, want.recv_ns)
        assert np.array_equal(tape.rows, want.rows, equal_nan=True)
        outcome = outcomes[tape.market.market_id]
        assert (outcome.payoff_up, outcome.kind, outcome.source) == (payoff, "synthetic", "seed 7")


def test_the_same_again_changes_nothing_and_another_seed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spike", "--data-dir", str(tmp_path), *FEW]) == 0
    before = Recording(tmp_path).dataset_id
    assert main(["spike", "--data-dir", str(tmp_path), *FEW]) == 0
    assert "0 of them new" in capsys.readouterr().out
    assert main(["spike", "--data-dir", str(tmp_path), *FEW, "--seed", "8"]) == 1
    assert "already holds other ticks" in capsys.readouterr().err
    assert Recording(tmp_path).dataset_id == before


def test_misuse_exits_2_and_names_the_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "name a kind first" in capsys.readouterr().err
    assert main(["spikes", "--data-dir", str(tmp_path)]) == 2
    assert "no synthetic market is called 'spikes'. Known: null, spike, lag, regime" in capsys.readouterr().err
    assert main(["spike", "--jump", "0.01"]) == 2


def test_help_says_what_happens_and_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "No orders are sent" in capsys.readouterr().out
    assert main(["lag", "--help"]) == 0
    assert "seconds by which the reference leads" in capsys.readouterr().out


def test_windows_are_made_one_at_a_time() -> None:
    market = SYNTHETIC["null"]
    endless = market.generate(market.settings(windows=10**9, ticks_per_window=20))

    assert [tape.market.open_ns for tape, _ in islice(endless, 2)] == [1_767_571_200 * 10**9, 1_767_572_100 * 10**9]

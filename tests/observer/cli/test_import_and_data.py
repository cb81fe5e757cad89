"""The doors: import a folder, report on it, verify it; results on stdout, exit codes that can be trusted."""

import json
from pathlib import Path

import pytest

from observer.cli import data, import_
from observer.samples import sample
from tests.samples.sources import MAKERS

SIX = "polymarket_btc15m_6_windows"


def run_import(*args: str | Path) -> int:
    return import_.main([str(arg) for arg in args])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source", dirty=True)
    assert run_import("polymarket_btc15m_1s", "--from", source, "--data-dir", tmp_path / "data") == 0
    return tmp_path / "data"


def test_the_bundled_windows_import_and_a_second_time_says_that_nothing_is_new(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    args = ("polymarket_btc15m_1s", "--from", sample(SIX), "--data-dir", tmp_path)
    assert run_import(*args) == 0
    first = capsys.readouterr().out
    assert run_import(*args) == 0
    again = capsys.readouterr().out

    assert "added 6 windows with 5396 ticks" in first
    assert "nothing new: all of it is already in" in again
    assert "added" not in again


def test_an_import_shows_what_it_refused_and_why(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source", dirty=True)
    run_import("polymarket_btc15m_1s", "--from", source, "--data-dir", tmp_path / "data", "--json")
    result = json.loads(capsys.readouterr().out)
    run_import("polymarket_btc15m_1s", "--from-dir", source, "--data-dir", tmp_path / "other")
    text = capsys.readouterr().out

    assert result["new_tapes"] == 2
    assert {row["reason"] for row in result["report"]["refused"]} >= {"time went backwards"}
    assert "time went backwards" in text
    assert "recording starts late" in text


def test_a_config_file_and_flags_mix(tmp_path: Path) -> None:
    source = MAKERS["binance_l2"](tmp_path / "source")
    (tmp_path / "c.toml").write_text(f'format = "binance_l2"\nfrom_dir = "{source}"\ndata_dir = "nowhere"\n')

    assert run_import("--config", tmp_path / "c.toml", "--data-dir", tmp_path / "data") == 0
    assert (tmp_path / "data" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("args", "code"),
    [(["--help"], 0), (["csv", "--from", "."], 2), (["binance_l2"], 2), (["binance_l2", "--from", "/none"], 2)],
)
def test_import_exit_codes(args: list[str], code: int) -> None:
    assert import_.main(args) == code


def test_a_damaged_source_fails_with_one_plain_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source")
    (source / "ticks.parquet").write_bytes(b"no")

    assert run_import("polymarket_btc15m_1s", "--from", source, "--data-dir", tmp_path / "data") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_report_counts_markets_gaps_refusals_and_outcomes(recording: Path, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    assert data.main(["report", "--data-dir", str(recording), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert data.main(["report", "--data-dir", str(recording)]) == 0
    text = capsys.readouterr().out

    (series,) = result["series"]
    assert (series["markets"], series["ticks"], series["inferred"]) == (2, 112, 2)
    assert series["spacing_s"] == 5.0
    # second window: ticks to 300 s of 900 and 60 gaps-free steps, so a third is covered
    assert result["markets"][1]["covered_frac"] == pytest.approx(1 / 3)
    assert result["markets"][1]["missing_frac"] == 0.0
    assert "payoff" not in json.dumps(result)  # kinds of outcomes only, never how a market ended
    assert "crossed quotes (bid >= ask)" in text
    assert result["dataset_id"] in text


def test_gaps_that_overlap_are_counted_once() -> None:
    from observer.store.coverage import _union_s
    from observer.store.screen import Gap

    second = 10**9
    gaps = [
        Gap("m", 0, 10 * second, "a"),
        Gap("m", 5 * second, 6 * second, "b"),
        Gap("m", 8 * second, 12 * second, "c"),
    ]

    assert _union_s(gaps) == 12.0


def test_the_page_is_self_contained_and_draws_every_series(recording: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "coverage.html"
    assert data.main(["report", "--data-dir", str(recording), "--html", str(page)]) == 0
    text = page.read_text()

    assert "aria-label='coverage of btc-updown-15m'" in text
    assert "#d9534f" in text.split("<svg", 1)[1]  # a gap is drawn
    assert "<script" not in text
    assert "http" not in text
    assert len(text) < 100_000


def test_verify_names_the_damaged_file_and_exits_1(recording: Path, capsys: pytest.CaptureFixture) -> None:
    assert data.main(["verify", "--data-dir", str(recording)]) == 0
    assert "every one as it was written" in capsys.readouterr().out
    part = next(recording.glob("ticks/**/part-*.parquet"))
    damaged = bytearray(part.read_bytes())
    damaged[99] ^= 1
    part.write_bytes(damaged)

    assert data.main(["verify", "--data-dir", str(recording), "--json"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert str(part.relative_to(recording)) in streams.err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([], 2), (["--help"], 0), (["destroy"], 2), (["report", "--help"], 0), (["verify", "--nope"], 2),
        (["report", "--data-dir", "/none"], 1), (["verify", "--data-dir", "/none"], 2),
    ],
)  # fmt: skip
def test_data_exit_codes(args: list[str], code: int) -> None:
    assert data.main(args) == code


def test_a_bundled_recording_names_its_source_and_licence() -> None:
    from observer.kit.errors import UsageError

    text = (sample(SIX) / "ATTRIBUTION.md").read_text()
    assert "MIT" in text
    assert "Borisz42/PolymarketAnalyst" in text
    with pytest.raises(UsageError, match=f"no bundled recording is called 'x'. Known: {SIX}"):
        sample("x")

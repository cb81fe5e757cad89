"""The log: JSON lines, bounded, repeats held back, tracebacks kept."""

import json
import logging
from pathlib import Path

import pytest

from observer.kit import log


def lines(folder: Path) -> list[dict]:
    """The log file's entries."""
    return [json.loads(text) for text in (folder / "observer.jsonl").read_text().splitlines()]


def test_a_message_is_one_json_line_and_one_plain_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with log.Log(tmp_path):
        log.get("stream").warning("%s: %s", "polymarket all", "no data for 15 s")

    (entry,) = lines(tmp_path)
    assert (entry["level"], entry["from"], entry["text"]) == (
        "warning", "observer.stream", "polymarket all: no data for 15 s",
    )  # fmt: skip
    assert entry["at"].endswith("Z")
    assert capsys.readouterr().err == "polymarket all: no data for 15 s\n"


def test_a_traceback_stays_in_its_line(tmp_path: Path) -> None:
    with log.Log(tmp_path):
        try:
            raise ZeroDivisionError("one")
        except ZeroDivisionError:
            log.get("line").exception("decoder failed")

    (entry,) = lines(tmp_path)
    assert entry["text"].startswith("decoder failed\nTraceback")
    assert "ZeroDivisionError: one" in entry["text"]


def test_repeats_about_one_thing_are_held_back_and_others_are_not(tmp_path: Path) -> None:
    with log.Log(tmp_path):
        for n in range(50):
            log.get("stream").warning("%s: try %d", "kalshi", n)
        log.get("stream").warning("%s: try %d", "polymarket", 0)

    texts = [entry["text"] for entry in lines(tmp_path)]
    assert len(texts) == 11
    assert texts[-1] == "polymarket: try 0"


def test_held_back_repeats_are_counted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    held = log.FewRepeats()

    def passes() -> str | None:
        record = logging.LogRecord("observer.x", logging.INFO, "", 0, "again", (), None)
        return record.getMessage() if held.filter(record) else None

    assert sum(passes() is not None for _ in range(30)) == 10
    now[0] = 61.0
    assert passes() == "again (20 more like this were held back)"


def test_the_file_cannot_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MAX_BYTES", 2_000)
    with log.Log(tmp_path):
        for n in range(400):
            log.get("x").info("%s says something of medium length", n)

    files = sorted(tmp_path.iterdir())
    assert len(files) <= 6
    assert sum(file.stat().st_size for file in files) < 6 * 2_200


def test_other_libraries_warnings_are_in_it_too(tmp_path: Path) -> None:
    with log.Log(tmp_path):
        logging.getLogger("picows.observer").error("WS parser error")

    assert lines(tmp_path)[0]["from"] == "picows.observer"


def test_news_is_written_and_details_are_not(tmp_path: Path) -> None:
    with log.Log(tmp_path):
        log.get("site").info("a market")
        log.get("site").debug("a frame")

    assert [entry["text"] for entry in lines(tmp_path)] == ["a market"]


def test_the_table_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MAX_TEXTS", 10)
    held = log.FewRepeats()
    for n in range(1000):
        assert held.filter(logging.LogRecord("observer.x", logging.INFO, "", 0, "%s", (n,), None))

    assert len(held._seen) <= 10


def test_nothing_is_left_of_it_at_the_end(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    with log.Log(tmp_path):
        pass

    assert logging.getLogger().handlers == before

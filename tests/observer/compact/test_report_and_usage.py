"""What `data report` and `data du` say of a live recording, against what was played."""

import json
from pathlib import Path

import pytest

from observer.cli import compact as compact_door
from observer.cli import data
from observer.compact.compactor import compact
from observer.compact.tally import count, lateness_ms, summed
from observer.kit.clock import NS_PER_MS
from observer.kit.errors import BadRecording
from observer.store.archive import EVENTS, RAW, archived_hours, read_archive, read_hour
from observer.store.batch import LOST, PRICE, Disconnected, Dropped, Lateness
from tests.observer.compact.scripted import REFUSE, START_NS, ScriptedRecorder, two_books, window
from tests.observer.compact.test_compactor import RUN_A, play, second


def played(root: Path, *, close_s: float = 60) -> ScriptedRecorder:
    """A minute with a bit of everything that a report tells."""
    recorder = ScriptedRecorder(root, RUN_A)
    listing = two_books(window("m", 0, close_s))
    feed = recorder.feed("spot", "spot-x")
    play(recorder, 20, listing)
    recorder.frame(listing.instruments[0], (REFUSE, "bad price"))
    recorder.frame(listing.instruments[0], (REFUSE, "bad price"))
    recorder.frame(listing.instruments[1], (LOST, "a message was missed"))
    recorder.frame(feed, (PRICE, 5))
    number = recorder.intake.add_connection("test", "another", "ws://test", ())
    recorder.intake.notes += [
        Disconnected(number, second(21), "no data for 30 s", False), Disconnected(number, second(21), "replaced", True),
        Dropped("raw", 7, second(22), second(23), "disk filling"),
    ]  # fmt: skip
    recorder.intake.clock_step(5)
    recorder.run(24, listing.instruments[0])
    recorder.book(listing.instruments[1])
    recorder.run(70, *listing.instruments)
    recorder.stop()
    return recorder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    recorder = played(folder)
    compact(folder, START_NS)
    (folder / "sent.json").write_text(json.dumps({v: [len(p) for _, p in f] for v, f in recorder.frames.items()}))
    late = [note.late_ns for batch in recorder.batches for note in batch.notes if isinstance(note, Lateness)]
    (folder / "late.json").write_text(json.dumps(late))
    return folder


def asked(*args: str | Path, capsys: pytest.CaptureFixture) -> dict:
    assert data.main([*map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_report_counts_what_was_played(root: Path, capsys: pytest.CaptureFixture) -> None:
    found = asked("report", "--data-dir", root, capsys=capsys)["recorder"]
    sent = json.loads((root / "sent.json").read_text())

    venues = {row["venue"]: row for row in found["venues"]}
    assert {name: row["frames"] for name, row in venues.items()} == {name: len(sizes) for name, sizes in sent.items()}
    assert venues["test"]["payload_bytes"] == sum(sent["test"])
    assert (venues["test"]["refused"], venues["test"]["reconnects"], venues["test"]["gaps"]) == (2, 1, 1)
    assert found["refused"] == [{"venue": "test", "reason": "bad price", "frames": 2}]
    assert found["closed"] == [{"venue": "test", "reason": "no data for 30 s", "times": 1}]
    (gap,) = found["gaps"]
    assert (gap["venue"], gap["reason"], gap["spans"]) == ("test", "a message was missed", 1)
    assert 3.9 < gap["seconds"] < 5
    assert found["dropped"] == [{"what": "raw", "reason": "disk filling", "rows": 7}]
    assert found["clock_steps"] == 1


def test_lateness_is_that_of_the_ticks_within_a_step(root: Path, capsys: pytest.CaptureFixture) -> None:
    found = asked("report", "--data-dir", root, capsys=capsys)["recorder"]
    late = sorted(json.loads((root / "late.json").read_text()))

    assert found["ticks"] == len(late) == 140
    for name, rank in (("p50", 69), ("p99", 138), ("max", 139)):
        true_ms = late[rank] / NS_PER_MS
        assert true_ms <= found[f"late_ms_{name}"] <= 1.051 * true_ms + 0.001, name


def test_table_and_page_show_it(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    page = tmp_path / "page.html"
    assert data.main(["report", "--data-dir", str(root), "--html", str(page)]) == 0
    text, html = capsys.readouterr().out, page.read_text()

    for part in ("recorded live from 2027-01-15T07:00", "bad price", "no data for 30 s", "disk filling", "spot-x"):
        assert part in text, part
    for part in ("Recorded live", "bad price", "no data for 30 s", "disk filling", "a message was missed"):
        assert part in html, part
    assert "<script" not in html


def test_a_recording_whose_first_window_is_open_has_a_report_and_a_size(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    played(tmp_path, close_s=900)
    compact(tmp_path, START_NS)

    found = asked("report", "--data-dir", tmp_path, capsys=capsys)
    size = asked("du", "--data-dir", tmp_path, capsys=capsys)

    assert (found["markets_total"], found["dataset_id"]) == (0, "none yet: no window has closed")
    assert found["recorder"]["ticks"] == 140
    assert data.main(["report", "--data-dir", str(tmp_path)]) == 0
    assert size["waiting_bytes"] == sum(p.stat().st_size for p in tmp_path.rglob("spool/**/*") if p.is_file())
    assert size["market_days"] == 0
    assert size["month_usd_per_month"] > 0


def test_an_imported_recording_has_no_live_part(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from tests.samples.recordings import make_recording

    make_recording(tmp_path, 2)

    assert asked("report", "--data-dir", tmp_path, capsys=capsys)["recorder"] is None
    tables = {row["table"]: row for row in asked("du", "--data-dir", tmp_path, capsys=capsys)["tables"]}
    assert set(tables) == {"ticks", "markets", "outcomes", "index"}


def test_every_byte_is_in_one_table_and_the_month_is_what_the_hour_says(
    root: Path, capsys: pytest.CaptureFixture
) -> None:
    found = asked("du", "--data-dir", root, "--usd-per-gb-month", "2", capsys=capsys)

    mine = {"sent.json", "late.json"}
    there = {p for p in root.rglob("*") if p.is_file() and ".compact" not in p.parts and p.name not in (".lock",)}
    assert found["bytes"] == sum(p.stat().st_size for p in there if p.name not in mine) + _size(root, mine)
    tables = {row["table"]: row for row in found["tables"]}
    assert {"raw", "events", "ticks", "book", "trades", "markets", "gaps"} <= set(tables)
    assert found["market_days"] == pytest.approx(59.5 / 86_400)  # from the first tick to the last
    assert found["days"] == pytest.approx(70 / 86_400, rel=0.01)
    assert tables["ticks"]["bytes_per_market_day"] == pytest.approx(tables["ticks"]["bytes"] / found["market_days"])
    assert tables["ticks"]["bytes_per_row"] == pytest.approx(tables["ticks"]["bytes"] / tables["ticks"]["rows"])
    assert found["month_bytes"] == pytest.approx(found["bytes"] / found["days"] * 30)
    assert found["month_usd_per_month"] == pytest.approx(found["month_bytes"] / 2**30 * 2)


def _size(root: Path, names: set[str]) -> int:
    """The test's own notes lie beside the index and are counted with it."""
    return sum((root / name).stat().st_size for name in names)


def test_du_shows_a_table_and_the_month(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert data.main(["du", "--data-dir", str(root)]) == 0
    text = capsys.readouterr().out

    assert "bytes/market-day" in text
    assert "USD for each month it is kept (0.023 USD per GB-month)" in text


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["du", "--data-dir", "/none"], 2), (["du", "--usd-per-gb-month", "-1"], 2), (["du", "--help"], 0),
        (["rebuild", "--help"], 0), (["rebuild", "--data-dir", "/none"], 2),
    ],
)  # fmt: skip
def test_exit_codes(args: list[str], code: int) -> None:
    assert data.main(args) == code


def test_rebuild_makes_a_recording_in_another_folder_or_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert data.main(["rebuild", "--data-dir", str(tmp_path), "--into", str(tmp_path / "new")]) == 2
    assert "holds no raw frames to read again" in capsys.readouterr().err


def test_the_compact_door_seals_what_a_crash_left_open(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recorder = ScriptedRecorder(tmp_path, RUN_A)
    play(recorder, 30, two_books(window("m", 0, 900)))
    recorder.write()  # and no more: the segment stays open
    recorder.log._segment.close()

    assert compact_door.main(["--local-dir", str(tmp_path), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert compact_door.main(["--local-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out

    assert (done["segments"], done["open"], done["held"]) == (1, 0, 1)
    assert "1 windows wait, the first closes 2027-01-15T07:15:00.000Z" in text
    assert compact_door.main(["--local-dir", str(tmp_path / "none")]) == 2


def test_counts_add_up_over_files() -> None:
    one: dict = {}
    count(one, "gaps", "silence", "spans")
    count(one, "gaps", "silence", "ns", n=5)

    assert summed([one, one, {"frames": 3}]) == {"gaps": {"silence": {"spans": 2, "ns": 10}}, "frames": 3}
    assert lateness_ms({}, 0.5) != lateness_ms({}, 0.5)  # NaN


def test_damaged_manifests_of_archives_are_refused(root: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    manifest = next(copy.glob("raw/venue=test/**/manifest.json"))
    whole = manifest.read_bytes()
    manifest.write_bytes(whole.replace(b'"rows"', b'"r0ws"', 1))
    with pytest.raises(BadRecording, match="is damaged, or of another format"):
        archived_hours(copy, RAW)
    manifest.unlink()
    with pytest.raises(BadRecording, match="is missing. Restore it, or compact again"):
        archived_hours(copy, RAW)
    (copy / EVENTS / "archive.json").write_bytes(b"{}")
    with pytest.raises(BadRecording, match="is damaged, or of another format"):
        read_archive(copy, EVENTS)
    from observer.store.archive import _sealed

    manifest.write_bytes(_sealed({"files": {"x": {"sha256": ""}}}))
    with pytest.raises(BadRecording, match="is not a manifest of an archive"):
        read_hour(manifest)

"""Every importer passes the family's check, and the folder and the table name the same members."""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import observer.importers
from observer.importers import IMPORTERS
from observer.importers.check import ContractBroken, check_importer
from observer.importers.job import ImportDir, bring_in
from observer.kit.errors import UsageError
from observer.store.refusals import ImportReport
from observer.store.writer import RecordingWriter
from tests.samples.sources import MAKERS


@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "dirty"])
@pytest.mark.parametrize("name", list(IMPORTERS))
def test_every_importer_keeps_the_contract(name: str, dirty: bool, tmp_path: Path) -> None:
    source = MAKERS[name](tmp_path / "source", dirty=dirty)
    (tmp_path / "scratch").mkdir()

    check_importer(IMPORTERS[name], source, tmp_path / "scratch")


def test_folder_and_table_agree() -> None:
    modules = [import_module(f"observer.importers.{m.name}") for m in pkgutil.iter_modules(observer.importers.__path__)]
    members = {m.__name__.rsplit(".", 1)[1] for m in modules if hasattr(m, "import_dir")}

    assert members == set(IMPORTERS) == set(MAKERS)
    assert all(IMPORTERS.table[name] == f"observer.importers.{name}:import_dir" for name in members)


def _miscounting(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    IMPORTERS["polymarket_btc15m_1s"](source, writer, report)
    report.refused.clear()


def _restless(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    IMPORTERS["polymarket_btc15m_1s"](source, writer, report)
    writer.write_log("noise", {"at": np.random.default_rng().integers(1 << 60).item()})


def _meddling(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    IMPORTERS["polymarket_btc15m_1s"](source, writer, report)
    (source / "done").write_text("imported")


def _blind(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    if (source / "ticks.parquet").exists():
        IMPORTERS["polymarket_btc15m_1s"](source, writer, report)


def _placebound(source: Path, writer: RecordingWriter, report: ImportReport) -> None:
    from tests.samples.tapes import make_tape

    IMPORTERS["polymarket_btc15m_1s"](source, writer, report)
    tape = make_tape(1, 10, index=400)
    tape.rows[0, 4] = 1 + sum(map(ord, writer.root.name))
    writer.write_tape(tape)
    report.seen["tick"] += 10
    report.kept["tick"] += 10


@pytest.mark.parametrize(
    ("import_dir", "message"),
    [
        (_miscounting, "saw 120 tick records, but kept 112 and refused 0"),
        (_restless, "changes something the second time"),
        (_meddling, "changes its source"),
        (_blind, "takes an empty folder for a recording"),
        (_placebound, "gives another dataset elsewhere"),
    ],
)
def test_the_check_catches_a_bad_importer(import_dir: ImportDir, message: str, tmp_path: Path) -> None:
    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source", dirty=True)
    (tmp_path / "scratch").mkdir()

    with pytest.raises(ContractBroken, match=message):
        check_importer(import_dir, source, tmp_path / "scratch")


def test_an_unknown_format_or_folder_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no importer is called 'csv'. Known: polymarket_btc15m_1s"):
        bring_in("csv", tmp_path, tmp_path / "data")
    with pytest.raises(UsageError, match="is no folder. Pass --from"):
        bring_in("binance_l2", tmp_path / "nothing", tmp_path / "data")


def _drop(name: str) -> Callable[[Path], None]:
    return lambda source: (source / name).unlink()


def _rename(source: Path) -> None:
    (source / "spot_btcusdt").rename(source / "something")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("polymarket_btc15m_1s", _drop("markets.parquet"), "lacks markets.parquet. Pass --from the folder that holds"),
        ("polymarket_btc15m_top_1s", _drop("ticks.parquet"), "lacks ticks.parquet"),
        ("kalshi_crypto15m", _drop("markets.parquet"), "lacks markets.parquet"),
        ("kalshi_crypto15m", _drop("tape_2025-12-29/trades.parquet"), "lacks trades.parquet"),
        ("polymarket_us_quotes_2min", _drop("markets.parquet"), "lacks markets.parquet"),
        ("binance_l2", _rename, "something: cannot tell the instrument. Name the folder like spot_btcusdt"),
    ],
)
def test_an_incomplete_folder_is_misuse(name: str, spoil: Callable, message: str, tmp_path: Path) -> None:
    source = MAKERS[name](tmp_path / "source")
    spoil(source)

    with pytest.raises(UsageError, match=message):
        bring_in(name, source, tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("polymarket_us_quotes_2min", "holds neither quotes/<day>.parquet nor quotes.parquet"),
        ("kalshi_crypto15m", "holds neither minute_quotes.parquet nor a tape_"),
        ("binance_l2", "holds no folder with book_ticker.parquet"),
        ("ancestor_gzjson", "holds no <condition id>/obs_"),
    ],
)
def test_a_folder_of_another_format_is_misuse(name: str, message: str, tmp_path: Path) -> None:
    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source")

    with pytest.raises(UsageError, match=message):
        bring_in(name, source, tmp_path / "data")


def _without_column(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["up_bid"]), path)


def _without_time(path: Path) -> None:
    import pyarrow as pa

    table = pq.read_table(path)
    times = table.column("ts").to_pylist()
    times[3] = None
    pq.write_table(table.set_column(0, "ts", pa.array(times, table.schema.field("ts").type)), path)


def _with_plain_time(path: Path) -> None:
    import pyarrow as pa

    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "ts", table.column("ts").cast(pa.int64())), path)


def _in_cents(path: Path) -> None:
    import pyarrow.compute as pc

    table = pq.read_table(path)
    for name in ("up_bid", "up_ask", "down_bid", "down_ask"):
        table = table.set_column(table.column_names.index(name), name, pc.multiply(table.column(name), 100.0))
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "is not a readable Parquet file"),
        (_without_column, "ticks.parquet lacks column up_bid. It holds ts"),
        (_without_time, "column ts lacks 1 times"),
        (_with_plain_time, "column ts is int64; wanted a timestamp"),
        (_in_cents, "look like cents: divide them by 100 and import again"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_written(spoil: Callable, message: str, tmp_path: Path) -> None:
    from observer.kit.errors import BadRecording

    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source")
    spoil(source / "ticks.parquet")

    with pytest.raises(BadRecording, match=message):
        bring_in("polymarket_btc15m_1s", source, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock"]

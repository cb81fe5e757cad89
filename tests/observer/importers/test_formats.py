"""What each format's numbers become, worked out by hand, and what is refused of its dirty rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observer.importers.job import bring_in
from observer.kit.clock import NS_PER_S
from observer.records import (
    BUY_USD,
    DOWN_ASK,
    DOWN_BID,
    MAX_TRADE_USD,
    N_TRADES,
    REFERENCE,
    SELL_USD,
    UP_ASK,
    UP_ASK_DEPTH5,
    UP_BID,
    UP_BID_DEPTH5,
    UP_BID_SIZE,
)  # fmt: skip
from observer.store import refusals
from observer.store.outcomes import read_outcomes
from observer.store.reader import Recording
from tests.samples.shared_data import shared
from tests.samples.sources import DIRTY, MAKERS, OPEN_NS, WINDOW_NS

FIRST = f"btc-updown-15m-{OPEN_NS // NS_PER_S}"


def imported(name: str, tmp_path: Path, *, dirty: bool = False) -> tuple[Recording, dict[str, Any]]:
    source = MAKERS[name](tmp_path / "source", dirty=dirty)
    result = bring_in(name, source, tmp_path / "data")
    return Recording(tmp_path / "data"), result["report"]


def refused(report: dict[str, Any], kind: str) -> dict[str, int]:
    return {row["reason"]: row["count"] for row in report["refused"] if row["kind"] == kind}


def test_polymarket_1s_carries_depth_and_the_wallets_flow(tmp_path: Path) -> None:
    recording, report = imported("polymarket_btc15m_1s", tmp_path)
    first, second = recording.tapes()
    trades = recording.trades(FIRST)
    outcomes = read_outcomes(recording.root)

    # ticks stand at 5, 10, … s; Up 10 × 0.50 at 17 s falls to 20 s, as does Down 5 × 0.40 at 20 s;
    # Up 2 × 0.60 at 21 s falls to 25 s
    assert first.rows[3, [BUY_USD, SELL_USD, N_TRADES, MAX_TRADE_USD]].tolist() == [5.0, 2.0, 2.0, 5.0]
    assert first.rows[4, [BUY_USD, SELL_USD, N_TRADES, MAX_TRADE_USD]].tolist() == [1.2, 0.0, 1.0, 1.2]
    assert (second.rows[:, BUY_USD] == 0).all()  # the wallet was recorded that day and did not trade
    assert np.isnan(first.rows[:, UP_BID_SIZE]).all()
    assert first.rows[0, UP_BID_DEPTH5] == 100.0
    assert np.isnan(first.rows[40, [UP_ASK, UP_ASK_DEPTH5]]).all()
    assert trades is not None
    assert trades.side_known is False
    assert [(o.payoff_up, o.kind) for o in outcomes.values()] == [(1.0, "inferred"), (0.0, "inferred")]
    assert first.market.fees.name == "polymarket-crypto-v0"
    assert report["missing_quotes"] == 1


def test_days_without_the_wallets_fills_have_no_flow_rather_than_none(tmp_path: Path) -> None:
    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source")
    (source / "wallet_trades.parquet").unlink()
    bring_in("polymarket_btc15m_1s", source, tmp_path / "data")

    assert all(np.isnan(tape.rows[:, BUY_USD]).all() for tape in Recording(tmp_path / "data").tapes())


@pytest.mark.parametrize("name", ["polymarket_btc15m_1s", "polymarket_btc15m_top_1s"])
def test_every_spoilt_row_is_refused_under_its_reason(name: str, tmp_path: Path) -> None:
    recording, report = imported(name, tmp_path, dirty=True)

    assert refused(report, "tick") == DIRTY
    assert report["kept"]["tick"] == 120 - sum(DIRTY.values())
    assert {gap.reason for gap in recording.gaps()} >= {refusals.CROSSED, refusals.BAD_PRICE, refusals.NO_TICKS}


def test_rows_and_fills_without_their_window_are_refused(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    source = MAKERS["polymarket_btc15m_1s"](tmp_path / "source")
    markets, ticks = source / "markets.parquet", source / "ticks.parquet"
    pq.write_table(pq.read_table(markets).slice(1), markets)  # the first window is not described
    result = bring_in("polymarket_btc15m_1s", source, tmp_path / "one")
    MAKERS["polymarket_btc15m_1s"](source)
    pq.write_table(pq.read_table(ticks).slice(60), ticks)  # the first window has fills and no ticks
    other = bring_in("polymarket_btc15m_1s", source, tmp_path / "two")

    assert refused(result["report"], "tick") == {refusals.NO_MARKET: 60}
    assert refused(result["report"], "trade") == {refusals.NO_WINDOW: 3}
    assert refused(other["report"], "trade") == {refusals.NO_WINDOW: 3}


def test_polymarket_top_takes_an_ask_of_one_for_no_offer(tmp_path: Path) -> None:
    recording, report = imported("polymarket_btc15m_top_1s", tmp_path)
    first = next(recording.tapes())

    assert np.isnan(first.rows[40, UP_ASK])
    assert np.isnan(first.rows[:, [UP_BID_SIZE, BUY_USD]]).all()
    assert report["missing_quotes"] == 1


def test_kalshi_minutes_mirror_the_no_side_and_settle_officially(tmp_path: Path) -> None:
    recording, report = imported("kalshi_crypto15m", tmp_path)
    minutes = recording.tape("KXBTC15M-25DEC290815-15")
    market = minutes.market

    assert (market.series, market.symbol, market.strike) == ("KXBTC15M", "BTC", 87_000.5)
    assert market.fees.name == "kalshi-quadratic"
    assert minutes.recv_ns[-1] == market.close_ns == OPEN_NS + WINDOW_NS
    assert np.allclose(minutes.rows[0, DOWN_BID], 1 - minutes.rows[0, UP_ASK])
    assert np.isnan(minutes.rows[13, [UP_BID, DOWN_ASK]]).all()  # a bid of 0
    assert np.isnan(minutes.rows[14, [UP_ASK, DOWN_BID]]).all()  # an ask of 1
    assert report["missing_quotes"] == 4
    outcome = read_outcomes(recording.root)["KXBTC15M-25DEC290815-15"]
    assert (outcome.payoff_up, outcome.kind) == (1.0, "official")


def test_kalshi_tape_builds_the_ladder_and_the_flow(tmp_path: Path) -> None:
    recording, _ = imported("kalshi_crypto15m", tmp_path)
    tape = recording.tape("KXETH15M-25DEC290815-15")

    assert tape.ladder is not None
    # first snapshot: yes bids 0.41 × 3, 0.40 × 7; no bids 0.55 × 20, 0.54 × 30, so asks 0.45 × 20, 0.46 × 30
    assert tape.ladder.price[0, :, :2].tolist() == [[0.41, 0.40], [0.45, 0.46], [0.55, 0.54], [0.59, 0.60]]
    assert tape.ladder.size[0, :, :2].tolist() == [[3, 7], [20, 30], [20, 30], [3, 7]]
    assert tape.rows[0, 0:4].tolist() == [0.41, 0.45, 0.55, 0.59]
    assert tape.rows[0, 8:12].tolist() == [10.0, 50.0, 50.0, 10.0]
    # a taker of yes pays 0.45 × 10 = 4.50 for Up; a taker of no pays (1 − 0.41) × 3 = 1.77 against it
    assert np.allclose(tape.rows[1, [BUY_USD, SELL_USD, N_TRADES]], [4.5, 1.77, 2])
    assert tape.market.strike is None
    assert "KXETH15M-25DEC290815-15" not in read_outcomes(recording.root)


def test_kalshi_refuses_quotes_of_a_ticker_it_does_not_describe(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    source = MAKERS["kalshi_crypto15m"](tmp_path / "source")
    pq.write_table(pq.read_table(source / "markets.parquet").slice(1), source / "markets.parquet")

    report = bring_in("kalshi_crypto15m", source, tmp_path / "data")["report"]

    assert refused(report, "tick") == {refusals.NO_MARKET: 15}


def test_polymarket_us_keeps_rows_as_stored_and_names_what_it_did_not_follow(tmp_path: Path) -> None:
    recording, report = imported("polymarket_us_quotes_2min", tmp_path)
    one, two = recording.tape("aec-one"), recording.tape("cpi-two")
    day_ns = 86_400 * NS_PER_S

    assert (len(one), len(two)) == (12, 8)
    assert one.rows[0, [UP_BID, UP_ASK, DOWN_BID, DOWN_ASK]].tolist() == [0.2, 0.25, 0.75, 0.8]
    assert np.isnan(one.rows[1, [UP_ASK, DOWN_BID]]).all()
    assert one.market.open_ns % day_ns == 0
    assert one.market.close_ns - one.market.open_ns == 3 * day_ns
    assert report["gaps"] == {refusals.COLLECTOR_DOWN: 2, refusals.DAY_NOT_RECORDED: 1}
    # cpi-two was seen last at 23:30 of the first day and first at 00:30 of the third
    assert [(g.end_ns - g.start_ns) / day_ns for g in recording.gaps() if g.reason == refusals.DAY_NOT_RECORDED] == [
        25 / 24
    ]
    assert {k: (o.payoff_up, o.kind) for k, o in read_outcomes(recording.root).items()} == {
        "aec-one": (1.0, "official")
    }


def test_polymarket_us_refuses_quotes_of_a_market_it_does_not_describe(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    source = MAKERS["polymarket_us_quotes_2min"](tmp_path / "source")
    pq.write_table(pq.read_table(source / "markets.parquet").slice(1), source / "markets.parquet")
    (source / "sweeps.parquet").unlink()

    report = bring_in("polymarket_us_quotes_2min", source, tmp_path / "data")["report"]

    assert refused(report, "tick") == {refusals.NO_MARKET: 12}
    assert refusals.COLLECTOR_DOWN not in report["gaps"]


def test_binance_becomes_a_reference_feed_by_kind_of_market(tmp_path: Path) -> None:
    recording, report = imported("binance_l2", tmp_path)
    feed = recording.reference("BTC", "binance-spot", 0, 2**62)

    assert recording.references() == [("BTC", "binance-spot"), ("ETH", "binance-usdm")]
    # bid 60000 + i, ask 60001 + i
    assert feed.price.tolist() == [60_000.5 + i for i in range(10)]
    assert len([m for m in recording.manifests if m.table == "reference"]) == 4  # two feeds, two hours each
    assert report["kept"] == {"reference": 20, "trade": 8}
    assert recording.markets() == []


def test_binance_refuses_late_and_crossed_tickers_and_empty_trades(tmp_path: Path) -> None:
    _, report = imported("binance_l2", tmp_path, dirty=True)

    assert refused(report, "reference") == {refusals.BACKWARDS: 2, refusals.CROSSED: 2}
    assert refused(report, "trade") == {refusals.BAD_TRADE: 2}


def test_the_older_observers_files_give_up_quotes_of_up_and_a_reference(tmp_path: Path) -> None:
    recording, report = imported("ancestor_gzjson", tmp_path)
    tape = recording.tape("0xabc")

    assert (tape.market.series, tape.market.open_ns) == ("btc-updown-15m", OPEN_NS)
    assert tape.rows[0, [UP_BID, UP_ASK]].tolist() == [0.5, 0.52]
    assert tape.rows[0, REFERENCE] == 87_000.5
    assert np.isnan(tape.rows[:, [DOWN_BID, DOWN_ASK]]).all()
    assert np.isnan(tape.rows[10:, [UP_BID, UP_ASK]]).all()  # 0 and 1 stand for an empty side
    assert report["seen"] == {"file": 2, "tick": 14}


def test_the_older_observers_damaged_files_and_foreign_rows_are_refused(tmp_path: Path) -> None:
    _, report = imported("ancestor_gzjson", tmp_path, dirty=True)

    assert refused(report, "file") == {refusals.DAMAGED: 2}
    assert refused(report, "tick") == {refusals.OTHER_MARKET: 1, refusals.BEFORE_OPEN: 1, refusals.BAD_TIME: 1}


def test_a_folder_of_the_older_observer_without_one_good_row_gives_nothing(tmp_path: Path) -> None:
    from tests.samples.sources import observation, write_observations

    write_observations(tmp_path / "s" / "0x1" / "obs_20251229_130000.json.gz", "0x1", [observation(1, "0x2")])
    write_observations(tmp_path / "s" / "0x3" / "obs_20251229_130000.json.gz", "0x3", [observation(-9, "0x3")])

    report = bring_in("ancestor_gzjson", tmp_path / "s", tmp_path / "data")["report"]

    assert refused(report, "tick") == {refusals.OTHER_MARKET: 1, refusals.BEFORE_OPEN: 1}
    assert Recording(tmp_path / "data").markets() == []


@pytest.mark.parametrize(
    ("name", "folder", "windows", "ticks", "outcomes"),
    [
        ("polymarket_btc15m_1s", "polymarket_btc15m_1s", 80, 63_470, 75),
        # 627 of 15,047 rows have a token whose bid is not below its ask
        ("polymarket_btc15m_top_1s", "polymarket_btc15m_top_1s", 17, 14_420, 16),
        ("polymarket_us_quotes_2min", "small/polymarket_us_64_markets", 64, 13_190, 56),
        ("kalshi_crypto15m", "kalshi_crypto15m/tape_2026-08-06", 6, 150, 0),
    ],
)
def test_the_recorded_data_comes_in_whole(
    name: str, folder: str, windows: int, ticks: int, outcomes: int, tmp_path: Path
) -> None:
    result = bring_in(name, shared(folder), tmp_path)

    assert (result["new_tapes"], result["new_ticks"]) == (windows, ticks)
    assert len(read_outcomes(tmp_path)) == outcomes


def test_the_recorded_binance_feed_comes_in_whole(tmp_path: Path) -> None:
    report = bring_in("binance_l2", shared("small/binance_usdm_btcusdt_90s"), tmp_path)["report"]

    assert report["kept"] == {"reference": 14_411, "trade": 3_297}
    assert Recording(tmp_path).references() == [("BTC", "binance-usdm")]

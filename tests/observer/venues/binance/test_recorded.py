"""Recorded streams, read as if live: the book must be the recorded one, level for level and id for id."""

import heapq

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from observer.book import ASK, BID
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE
from observer.ports import Instrument
from observer.records import BUY, SELL
from observer.venues.binance.decoder import BinanceDecoder
from observer.venues.binance.rules import SPOT, USDM
from tests.observer.venues.binance.recorded import Folder, Recorded
from tests.samples.recording_line import RecordingLine
from tests.samples.shared_data import shared

RECORDER_IS_SLOW_BY_NS = 2 * NS_PER_S  # its clock ran behind the venue's; a time ahead of ours would be refused
FOLDERS = {"spot_btcusdt": 400, "usdm_btcusdt": 400, "spot_ethusdt": 60, "usdm_ethusdt": 60, "cm_btcusd_perp": 60}


class Replay:
    """A recorded folder, played through a decoder."""

    def __init__(self, name: str, seconds: float) -> None:
        self.folder = Folder(shared(f"binance_l2/{name}"), seconds)
        self.instrument = Instrument("binance", self.folder.symbol, "", 0, "X")
        self.line = RecordingLine()
        self.decoder = BinanceDecoder([self.instrument], self.line, SPOT if self.folder.kind == "spot" else USDM)

    def read(self, frame: Recorded) -> None:
        self.line.recv_ns = frame.recv_ns + RECORDER_IS_SLOW_BY_NS
        assert self.decoder.message(frame.payload)

    def answer(self, snapshot: Recorded) -> None:
        self.line.recv_ns = snapshot.recv_ns + RECORDER_IS_SLOW_BY_NS
        self.decoder.snapshot(self.instrument, snapshot.payload)

    def best(self) -> tuple[int, int, int, int]:
        """Best bid, its size, best ask, its size."""
        book = self.instrument.book
        bid, ask = book.best(BID), book.best(ASK)
        return bid, book.size_at(BID, bid), ask, book.size_at(ASK, ask)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_book_is_the_recorded_one_at_every_event(name: str) -> None:
    """By update id against the venue's own best prices, and by time against the ten best levels rebuilt by others."""
    replay = Replay(name, FOLDERS[name])
    folder, snapshot = replay.folder, replay.folder.snapshot()
    tickers, top = folder.tickers(), folder.top10()
    events = [(frame.recv_ns, 1, frame) for frame in folder.depth()]
    grid = [(int(at_ns), 2, i) for i, at_ns in enumerate(top["ts_recv_ns"])]
    n_best = n_ten = 0

    for _, kind, what in heapq.merge([(snapshot.recv_ns, 0, snapshot)], events, grid, key=lambda step: step[:2]):
        if isinstance(what, int):
            assert all(replay.instrument.book.top(side, 10) == _levels(top, side, what) for side in (BID, ASK))
            n_ten += 1
        elif kind == 0:
            replay.answer(what)
        else:
            replay.read(what)
            update_id = msgspec.json.decode(what.payload)["data"]["u"]
            last = int(np.searchsorted(tickers["update_id"], update_id, side="right")) - 1
            if replay.instrument.book.is_valid and 0 <= last < len(tickers["bid"]) - 1:
                names = ("bid", "bid_size", "ask", "ask_size")
                assert replay.best() == tuple(round(tickers[name][last] * SCALE) for name in names)
                n_best += 1

    assert n_best > 0.97 * len(events)
    assert n_ten == len(grid) > 500
    assert replay.line.counts()["book"] == 1
    assert replay.line.counts()["lost"] == 0
    assert replay.line.counts()["refuse"] == 0


@pytest.mark.parametrize("name", ["spot_btcusdt", "usdm_btcusdt"])
def test_a_recorded_event_that_is_left_out_is_missed_at_the_next_one(name: str) -> None:
    replay = Replay(name, 8)
    frames, snapshot = list(replay.folder.depth()), replay.folder.snapshot()
    for frame in frames[:20]:
        replay.read(frame)
    replay.answer(snapshot)
    assert replay.instrument.book.is_valid

    replay.read(frames[21])

    assert replay.line.counts()["lost"] == 1
    assert not replay.instrument.book.is_valid


@pytest.mark.parametrize("name", ["spot_btcusdt", "usdm_btcusdt"])
def test_recorded_trades_have_their_takers_side(name: str) -> None:
    replay = Replay(name, 30)
    frames = list(replay.folder.trades())

    for frame, _ in frames:
        replay.read(frame)

    sides = [args[0] for args in replay.line.of("trade")]
    assert len(sides) > 500
    assert sides == [SELL if side == "sell" else BUY for _, side in frames]


def test_a_taker_that_buys_pays_the_ask() -> None:
    """The side as we read it, against the best prices recorded just before: no convention, a fact (88 % of trades)."""
    replay = Replay("spot_btcusdt", 300)
    tickers = replay.folder.tickers()
    n_right = n_told = 0

    for frame, _ in replay.folder.trades():
        replay.line.clear()
        replay.read(frame)
        side, price, *_ = replay.line.of("trade")[0]
        before = int(np.searchsorted(tickers["ts_recv_ns"], frame.recv_ns, side="left")) - 1
        if before >= 0:
            bid, ask = (round(tickers[name][before] * SCALE) for name in ("bid", "ask"))
            if price in (bid, ask):
                n_told += 1
                n_right += (side == BUY) == (price == ask)

    assert n_told > 1000
    assert n_right > 0.8 * n_told


def test_raw_frames_of_2021_to_2026_are_read_or_named() -> None:
    """What is no book and no trade is counted by name; nothing raises and nothing is refused."""
    new = pq.read_table(shared("raw_ws_samples/polymarket_binance_coinbase_2026-04.parquet")).to_pylist()
    old = pq.read_table(shared("raw_ws_samples/cryptofeed_multi_venue_2021_2022.parquet")).to_pylist()
    frames = {
        "spot": [row for row in new if row["source"] == "binance"]
        + [row for row in old if row["venue"] == "binance_spot"],
        "usdm": [row for row in old if row["venue"] == "binance_futures"],
    }
    seen: dict[str, dict[str, int]] = {}

    for product, rows in frames.items():
        bodies = [msgspec.json.decode(row["payload"].encode())["data"] for row in rows]
        symbols = sorted({body["s"] for body in bodies})
        instruments = [Instrument("binance", symbol, "", 0, symbol) for symbol in symbols]
        line = RecordingLine()
        decoder = BinanceDecoder(instruments, line, SPOT if product == "spot" else USDM)
        n_data = 0
        for row in rows:
            line.recv_ns = int(row["ts_recv"].timestamp() * 1e9) + 2 * NS_PER_S
            n_data += decoder.message(row["payload"].encode())
        assert not line.of("refuse")
        assert n_data == sum(body.get("e") in ("depthUpdate", "trade") for body in bodies)
        seen[product] = {what: n for (what,), n in _counted(line.of("unknown"))}
        assert len(line.of("trade")) == sum(body.get("e") == "trade" for body in bodies)

    assert seen["spot"] == {"event without a type": 84, "aggTrade": 2, "kline": 2}  # 84: bookTicker names itself not
    assert seen["usdm"] == {"bookTicker": 463, "aggTrade": 74, "kline": 56}


def _counted(calls: list[tuple[str, ...]]) -> list[tuple[tuple[str, ...], int]]:
    return [(call, calls.count(call)) for call in dict.fromkeys(calls)]


def _levels(top: dict[str, np.ndarray], side: int, row: int) -> list[tuple[int, int]]:
    name = "ask" if side else "bid"
    return [(round(top[f"{name}_px_{i}"][row] * SCALE), round(top[f"{name}_sz_{i}"][row] * SCALE)) for i in range(10)]

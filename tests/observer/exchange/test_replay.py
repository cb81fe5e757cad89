"""A replayed recording: whoever samples it half a second later sees the recorded quotes, trades and outcomes again."""

import json
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observer.exchange.child import running
from observer.exchange.server import Exchange
from observer.exchange.settings import ExchangeSettings
from observer.exchange.venues.polymarket.market_socket import MarketSession
from observer.importers.job import bring_in
from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording, ToolkitError, UsageError
from observer.records import DOWN_ASK, UP_BID, UP_BID_DEPTH5, Ladder
from observer.samples import sample
from observer.store.outcomes import read_outcomes
from observer.store.reader import Recording
from observer.store.trades import flow_columns
from observer.store.writer import RecordingWriter
from tests.observer.exchange.readers import PolymarketReader
from tests.observer.exchange.stage import KeptPeer, Stage
from tests.samples.recordings import make_recording
from tests.samples.tapes import make_tape

LEAD_NS = 10 * NS_PER_S


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six bundled windows as a recording."""
    root = tmp_path_factory.mktemp("six") / "data"
    bring_in("polymarket_btc15m_1s", sample("polymarket_btc15m_6_windows"), root)
    return root


def staged(folder: Path) -> tuple[Stage, KeptPeer]:
    """A venue that plays the recording, and a connection that reads every window of it."""
    first = Recording(folder).markets()[0]
    stage = Stage("polymarket", start_ns=first.open_ns - LEAD_NS, replay=folder, coins=())
    peer = stage.peer("market")
    session = MarketSession(stage.venue.socket, peer)
    tokens = [token for listed in stage.venue.board.markets() for token in listed.tokens]
    session.message(json.dumps({"type": "market", "assets_ids": tokens}))
    peer.begin(session)
    return stage, peer


def best_and_depth(reader: PolymarketReader, tokens: tuple[str, str]) -> list[float]:
    """The four best prices, then the four sums over five levels; NaN where a side is empty."""
    sides = [(levels, s) for token in tokens for s, levels in enumerate(reader.books[token])]
    best = [float((max, min)[s](levels)) if levels else np.nan for levels, s in sides]
    depth = [
        float(sum((levels[p] for p in sorted(levels, reverse=not s)[:5]), Decimal(0))) if levels else np.nan
        for levels, s in sides
    ]
    return best + depth


def test_a_sampler_sees_every_recorded_quote_of_every_window(folder: Path) -> None:
    stage, peer = staged(folder)
    reader, ticks = PolymarketReader(), 0

    for tape in Recording(folder).tapes():
        tokens = stage.venue.board.slug(tape.market.market_id).tokens
        for t, recv_ns in enumerate(tape.recv_ns):
            stage.floor.agenda.run_until(int(recv_ns) + NS_PER_S // 2)
            reader.read_all(peer.messages())
            seen = np.array(best_and_depth(reader, tokens))
            recorded = tape.rows[t, [*range(UP_BID, DOWN_ASK + 1), *range(UP_BID_DEPTH5, UP_BID_DEPTH5 + 4)]]
            recorded[4:][np.isnan(recorded[:4])] = np.nan  # a side without a quote has no depth either
            np.testing.assert_allclose(seen, recorded, atol=1e-9)
            ticks += 1

    assert ticks == 5_396


def test_the_recorded_trades_are_told_at_their_times(folder: Path) -> None:
    stage, peer = staged(folder)
    tape = next(iter(Recording(folder).tapes()))
    trades = Recording(folder).trades(tape.market.market_id)
    assert trades is not None
    reader = PolymarketReader()

    stage.floor.agenda.run_until(tape.market.close_ns)
    reader.read_all(peer.messages())

    told = reader.trades
    assert [int(m["timestamp"]) * 10**6 for m in told] == trades.recv_ns.tolist()
    usd = sum(float(m["price"]) * float(m["size"]) for m in told)
    assert usd == pytest.approx(flow_columns(np.array([tape.market.close_ns]), trades)[0, :2].sum())


def test_windows_end_as_they_were_recorded_to_end(folder: Path) -> None:
    stage, _ = staged(folder)
    outcomes = read_outcomes(folder)

    stage.run(6 * 900 + 200)

    for listed in stage.venue.board.markets():
        assert listed.is_closed(stage.now_ns)
        assert listed.payoff_up() == outcomes[listed.slug].payoff_up


def test_a_ladder_is_played_level_by_level(tmp_path: Path) -> None:
    """A recording with depth: the book is the ladder itself."""
    tape = make_tape(3, 50, missing_frac=0.0)
    price = np.full((len(tape), 4, 10), np.nan)
    size = np.full((len(tape), 4, 10), np.nan)
    for side in range(4):
        step = -0.01 if side % 2 == 0 else 0.01
        for k in range(3):
            price[:, side, k] = np.round(tape.rows[:, UP_BID + side] + k * step, 6)
            size[:, side, k] = 5.0 + k
    tape = replace(tape, market=replace(tape.market, venue="polymarket"), ladder=Ladder(price, size))
    with RecordingWriter(tmp_path / "data") as writer:
        writer.write_tape(tape)
    stage, peer = staged(tmp_path / "data")
    reader = PolymarketReader()

    stage.floor.agenda.run_until(int(tape.recv_ns[-1]))
    reader.read_all(peer.messages())

    (listed,) = stage.venue.board.markets()
    up = reader.shown(listed.tokens[0])
    wanted = [
        [Decimal(str(round(p, 6))), Decimal(str(s))] for p, s in zip(price[-1, 0, :3], size[-1, 0, :3], strict=True)
    ]
    assert up[0] == [level for level in wanted if 0 < level[0] < 1]


def test_a_window_played_at_two_hundred_times_speed_over_a_socket_keeps_up(folder: Path) -> None:
    with running("--replay", str(folder), "--speed", "200", "--lead-s", "0.2") as child:
        deadline_ns = Recording(folder).markets()[0].close_ns
        while child.get("/clock")["now_ns"] < deadline_ns:
            time.sleep(0.2)
        behind: Any = child.get("/clock")["behind_ns"]

    assert behind < 200 * NS_PER_S  # a second of real time: it is not falling behind, the machine may be busy


def test_a_folder_without_polymarket_windows_is_refused(tmp_path: Path) -> None:
    other = make_recording(tmp_path / "other", windows=1, n_ticks=5)

    with pytest.raises(UsageError, match="no polymarket windows"):
        Exchange(ExchangeSettings(replay=other))
    with pytest.raises(BadRecording, match="nothing holds no recording"):
        Exchange(ExchangeSettings(replay=tmp_path / "nothing"))
    with pytest.raises(UsageError, match="polymarket alone"):
        Exchange(ExchangeSettings(replay=other, venues=("kraken",)))
    with pytest.raises(ToolkitError, match="no polymarket windows"), running("--replay", str(other)):
        pass

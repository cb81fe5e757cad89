"""The same seed and start make the same frames, whoever else is connected and whenever they came."""

import json
from typing import Any

import pytest

from observer.exchange.venues.binance.socket import BinanceSession
from observer.exchange.venues.coinbase import CoinbaseSession
from observer.exchange.venues.kraken import KrakenSession
from observer.exchange.venues.polymarket.market_socket import MarketSession
from tests.observer.exchange.stage import OPEN_S, KeptPeer, Stage


def polymarket(stage: Stage, peer: KeptPeer) -> Any:
    session = MarketSession(stage.venue.socket, peer)
    tokens = stage.venue.board.slug(f"btc-updown-15m-{OPEN_S}").tokens
    session.message(json.dumps({"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}))
    return session


def binance(stage: Stage, peer: KeptPeer) -> Any:
    return BinanceSession(stage.venue._socket, peer, "", ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker"])


def coinbase(stage: Stage, peer: KeptPeer) -> Any:
    session = CoinbaseSession(stage.venue, peer)
    stage.venue.sessions.append(session)
    session.message('{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}')
    return session


def kraken(stage: Stage, peer: KeptPeer) -> Any:
    session = KrakenSession(stage.venue, peer)
    stage.venue.sessions.append(session)
    session.message('{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":25}}')
    return session


VENUES = {"polymarket": polymarket, "binance-spot": binance, "coinbase": coinbase, "kraken": kraken}


def frames(name: str, seed: int, early_readers: int) -> list[str]:
    stage = Stage(name, seed=seed)
    for _ in range(early_readers):
        early = stage.peer("x")
        early.begin(VENUES[name](stage, early))
    stage.run(20)
    peer = stage.peer("x")
    peer.begin(VENUES[name](stage, peer))
    stage.run(20)
    return peer.texts()


@pytest.mark.parametrize("name", VENUES)
def test_the_frames_depend_on_the_seed_alone(name: str) -> None:
    first, second, third = frames(name, 1, 0), frames(name, 1, 2), frames(name, 2, 0)

    assert len(first) > 50
    assert first == second
    assert first[1:] != third[1:]


def test_hours_leave_nothing_behind_but_the_days_windows() -> None:
    """A venue that runs for weeks in virtual time must not grow."""
    stage = Stage("polymarket", moves_hz=0.02)
    board = stage.venue.board
    peer = stage.peer("market")
    session = MarketSession(stage.venue.socket, peer)
    peer.begin(session)

    def sizes() -> tuple[int, ...]:
        """What is listed, watched, read and planned."""
        socket = stage.venue.socket
        return len(board.events), len(socket._watched), len(socket._readers), len(stage.floor.agenda._entries)

    def live(windows: int) -> None:
        for _ in range(windows):
            listed = [m for m in board.markets() if m.event.start_ns <= stage.now_ns < m.event.end_ns and m.event.asset]
            tokens = [token for market in listed for token in market.tokens if token not in session.keys]
            session.message(json.dumps({"type": "market", "assets_ids": tokens}))
            stage.run(900)
            peer.texts()
            session.message(json.dumps({"operation": "unsubscribe", "assets_ids": sorted(session.keys)}))

    live(26)  # closed windows are forgotten after six hours
    then_sizes = sizes()
    live(12)

    for then, now in zip(then_sizes, sizes(), strict=True):
        assert now <= then + 3

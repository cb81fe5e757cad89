"""The flood: lawful frames, round after round the same, at the pace that was asked for."""

import asyncio
import json
from collections import Counter

from websockets.asyncio.client import ClientConnection, connect

from observer.exchange.child import Child, running
from observer.exchange.server import Exchange
from observer.exchange.settings import ExchangeSettings
from observer.exchange.venues.polymarket.flood import FRAMES_PER_MARKET
from observer.venues.urls import at_exchange
from tests.observer.exchange.readers import PolymarketReader

FLAGS = ("--venues", "polymarket", "--coins", "BTC", "--seed", "4", "--start", "2026-11-20T14:01:00Z", "--flood", "3")


def tokens(child: Child) -> list[str]:
    markets = child.get("/polymarket/gamma/markets", tag_slug="politics", limit=100)
    return [token for market in markets for token in json.loads(market["clobTokenIds"])]


async def flooded(url: str, wanted: list[str]) -> ClientConnection:
    ws = await connect(at_exchange(url, "polymarket.market"), max_size=None, compression=None, ping_interval=None)
    await ws.send(json.dumps({"type": "market", "assets_ids": wanted}))
    return ws


async def first(url: str, wanted: list[str], n: int) -> list[str]:
    ws = await flooded(url, wanted)
    found = [str(await asyncio.wait_for(ws.recv(), 10)) for _ in range(n)]
    ws.transport.abort()
    return found


def test_a_reader_of_two_rounds_has_right_books_at_every_frame() -> None:
    round_size, reader, kinds = 3 * (FRAMES_PER_MARKET + 1), PolymarketReader(), Counter()
    with running(*FLAGS) as child:
        frames = asyncio.run(first(child.url, tokens(child), 2 * round_size))

    for frame in frames:
        value = json.loads(frame)
        for event in value if isinstance(value, list) else [value]:
            kinds[event["event_type"]] += 1
            reader.read(event)  # checks the best prices that each change tells

    assert frames[:round_size] == frames[round_size:]
    assert kinds["price_change"] > 10 * kinds["last_trade_price"] > 0
    assert kinds["book"] == 2 * kinds["last_trade_price"] + 2 * 3 * 2  # and the first books of each round


def test_the_flood_is_the_same_from_the_same_seed() -> None:
    def frames() -> list[str]:
        with running(*FLAGS) as child:
            return asyncio.run(first(child.url, tokens(child), 200))

    assert frames() == frames()


def test_a_flood_can_be_paced() -> None:
    async def count() -> int:
        settings = ExchangeSettings(venues=("polymarket",), coins=("BTC",), flood=2, flood_rate=500.0)
        async with Exchange(settings) as exchange:
            board = exchange.venues["polymarket"].board  # type: ignore[attr-defined]
            wanted = [token for listed in board.markets() for token in listed.tokens]
            ws = await flooded(exchange.url, wanted)
            await asyncio.sleep(1.0)
            (peer,) = exchange.floor.peers.values()
            sent = peer.n_data
            ws.transport.abort()
            return sent

    assert 100 < asyncio.run(count()) <= 550

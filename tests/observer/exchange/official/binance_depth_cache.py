"""Runs in an environment of its own: python-binance keeps a spot book from the exchange at argv[1]."""

import asyncio
import json
import sys
import urllib.request

from binance import AsyncClient, BinanceSocketManager
from binance.ws.depthcache import DepthCacheManager

BASE = sys.argv[1]
AsyncClient.API_URL = f"{BASE}/binance-spot/rest/api"
BinanceSocketManager.STREAM_URL = BASE.replace("http", "ws", 1) + "/binance-spot/ws/"


def still(value: bool) -> None:
    body = json.dumps({"still": value}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{BASE}/control/still", body, method="POST"))


async def main() -> None:
    client = await AsyncClient.create()
    manager = DepthCacheManager(
        client, "BTCUSDT", limit=5000, conv_type=str, ws_interval=100, bm=BinanceSocketManager(client)
    )
    async with manager as socket:
        for _ in range(30):
            cache = await socket.recv()
        still(True)
        try:
            while True:
                cache = await asyncio.wait_for(socket.recv(), 0.7)
        except TimeoutError:
            pass
    price = await client.get_symbol_ticker(symbol="BTCUSDT")
    info = await client.get_symbol_info("BTCUSDT")
    await client.close_connection()
    with urllib.request.urlopen(f"{BASE}/control/books?venue=binance-spot&key=BTCUSDT") as answer:
        (book,) = json.load(answer)["books"]
    truth = {side: dict(book[side]) for side in ("bids", "asks")}
    print(
        json.dumps(
            {"truth": truth, "bids": cache._bids, "asks": cache._asks, "price": price, "filters": len(info["filters"])}
        )
    )
    still(False)


asyncio.run(main())

"""Runs in an environment of its own: python-kraken-sdk keeps a book of the exchange at argv[1] and checks its sums."""

import asyncio
import json
import sys
import urllib.request

from kraken.spot import SpotOrderBookClient

BASE = sys.argv[1]


class Books(SpotOrderBookClient):
    """Counts updates and mismatches; the base class checks the checksum of each update."""

    WS_URL = BASE.replace("http", "ws", 1) + "/kraken/ws"
    updates = mismatches = 0

    async def on_book_update(self, pair: str, message: dict) -> None:
        self.updates += 1
        self.mismatches += "error" in message or not self.get(pair=pair)["valid"]


class Pairs:
    """Stands in for the SDK's REST part, whose base address can have no path."""

    def get_asset_pairs(self, pair: str) -> dict:
        with urllib.request.urlopen(f"{BASE}/kraken/rest/0/public/AssetPairs?pair={pair}") as answer:
            return json.load(answer)["result"]


async def main() -> None:
    client = Books(depth=10)
    client._SpotOrderBookClient__market = Pairs()
    await client.start()
    await client.add_book(pairs=["BTC/USD"])
    await asyncio.sleep(5)
    print(json.dumps({"updates": client.updates, "mismatches": client.mismatches}), flush=True)
    await client.close()


asyncio.run(main())

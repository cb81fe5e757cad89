"""Runs in an environment of its own: the official Polymarket SDK against the exchange at argv[1]."""

import asyncio
import contextlib
import dataclasses
import json
import sys

from polymarket import PRODUCTION, AsyncPublicClient
from polymarket._internal.environment import create_environment, get_environment_config
from polymarket.streams import CryptoPricesSpec, MarketSpec

BASE = sys.argv[1]
WS = BASE.replace("http", "ws", 1)


async def main() -> None:
    config = dataclasses.replace(
        get_environment_config(PRODUCTION), clob_url=f"{BASE}/polymarket/clob", gamma_url=f"{BASE}/polymarket/gamma",
        clob_market_ws_url=f"{WS}/polymarket/market/ws/market", rtds_ws_url=f"{WS}/polymarket/rtds",
    )  # fmt: skip
    client = AsyncPublicClient(create_environment(name="loopback", config=config))
    events, pages = [], 0
    async for page in client.list_events(series_ids=10192, closed=False, page_size=20):
        events += page.items
        pages += 1
    market = events[0].markets[0]
    yes, no = (side.position_id or side.token_id for side in (market.outcomes.yes, market.outcomes.no))
    book = await client.get_order_book(asset_id=yes)
    several = await client.get_order_books(asset_ids=[yes, no])
    mid = await client.get_midpoint(asset_id=yes)
    kinds, prices = {}, {}
    handle = await client.subscribe(
        [
            MarketSpec(asset_ids=[yes, no], custom_feature_enabled=True),
            CryptoPricesSpec(topic="prices.crypto.chainlink"),
        ]
    )

    async def listen() -> None:
        async for event in handle:
            kinds[event.type] = kinds.get(event.type, 0) + 1
            if event.topic == "prices.crypto.chainlink":
                prices[event.payload.symbol] = str(event.payload.value)

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(listen(), 6)
    await handle.close()
    versions = sorted({str(m.version) for e in events for m in e.markets})
    print(
        json.dumps(
            {
                "events": len(events), "pages": pages, "slug": events[0].slug, "versions": versions,
                "hash": book.hash, "bids": len(book.bids), "several": len(several), "mid": str(mid), "kinds": kinds,
                "prices": prices, "tick": str(market.trading.minimum_tick_size),
            }
        )
    )  # fmt: skip


asyncio.run(main())

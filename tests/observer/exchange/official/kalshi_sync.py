"""Runs in an environment of its own: the generated Kalshi SDK against the exchange at argv[1], key file argv[2].

The last version for this Python still expects prices in whole cents, which the venue has given up since; so markets
are read as plain JSON here, and only requests and signatures are the SDK's own.
"""

import json
import sys

import kalshi_python_sync as kalshi
from kalshi_python_sync.auth import KalshiAuth

base, key_file = sys.argv[1:3]
client = kalshi.KalshiClient(kalshi.Configuration(host=f"{base}/kalshi/rest/trade-api/v2"))
market_api = kalshi.MarketApi(client)
raw = market_api.get_markets_without_preload_content(series_ticker="KXBTC15M", status="open")
ticker = json.loads(raw.data)["markets"][0]["ticker"]
book = json.loads(market_api.get_market_orderbook_without_preload_content(ticker).data)
status = kalshi.ExchangeApi(client).get_exchange_status()
with open(key_file) as file:
    headers = KalshiAuth("mine", file.read()).create_auth_headers("GET", "/trade-api/ws/v2")
print(json.dumps({"ticker": ticker, "book": book, "trading": status.trading_active, "headers": headers}))

"""One protocol each. A venue is one folder or file here and one line in this table.

Each builds itself with `open_venue(floor, world, settings)` and puts its routes below `/<venue>/`.
"""

from observer.kit.registry import Registry

VENUES = Registry(
    "exchange venue",
    {
        "polymarket": "observer.exchange.venues.polymarket:Polymarket",
        "kalshi": "observer.exchange.venues.kalshi:Kalshi",
        "binance-spot": "observer.exchange.venues.binance:BinanceSpot",
        "binance-usdm": "observer.exchange.venues.binance:BinanceUsdm",
        "coinbase": "observer.exchange.venues.coinbase:Coinbase",
        "kraken": "observer.exchange.venues.kraken:Kraken",
        "hyperliquid": "observer.exchange.venues.hyperliquid:Hyperliquid",
    },
)

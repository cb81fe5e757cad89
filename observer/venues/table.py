"""The venues that can be recorded: one file or package each, and one line here.

A member is a class that takes the addresses (`observer.venues.urls`) and implements `observer.ports.Venue`; every
member passes `observer.venues.check`. Nothing is imported until a venue is asked for.
"""

from observer.kit.registry import Registry

VENUES = Registry(
    "venue",
    {
        "polymarket": "observer.venues.polymarket:Polymarket",
        "binance-spot": "observer.venues.binance:spot",
        "binance-usdm": "observer.venues.binance:usdm",
        "coinbase": "observer.venues.coinbase:Coinbase",
        "kalshi": "observer.venues.kalshi:Kalshi",
        "kraken": "observer.venues.kraken:Kraken",
        "hyperliquid": "observer.venues.hyperliquid:Hyperliquid",
    },
)

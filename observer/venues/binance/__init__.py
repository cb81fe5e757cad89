"""Binance spot and USD-M futures: reference prices of the underlyings. One depth procedure serves both."""

from observer.venues.binance.venue import spot, usdm

__all__ = ["spot", "usdm"]

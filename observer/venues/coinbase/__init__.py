"""Coinbase Advanced Trade: reference prices of the underlyings."""

from observer.venues.coinbase.venue import Coinbase

__all__ = ["Coinbase"]

"""Kalshi: quarter-hour crypto markets, the most traded of everything else, and the indices that settle the former."""

from observer.venues.kalshi.venue import Kalshi

__all__ = ["Kalshi"]

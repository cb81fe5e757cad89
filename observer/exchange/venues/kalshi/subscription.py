"""What a connection can subscribe to, one subscription of it, and the errors that commands get."""

from dataclasses import dataclass, field
from typing import Any

from observer.exchange.venues.kalshi.index import INDEX_CHANNELS

BOOK, TICKER, TRADE, LIFECYCLE = "orderbook_delta", "ticker", "trade", "market_lifecycle_v2"
_PRIVATE = ("fill", "user_order", "market_position", "order_group_updates")  # accepted and silent: no orders here yet
CHANNELS = (BOOK, TICKER, TRADE, LIFECYCLE, *INDEX_CHANNELS, *_PRIVATE)
ERRORS = {
    1: "Unable to process message", 2: "Params required", 3: "Channels required", 4: "Subscription IDs required",
    5: "Unknown command", 6: "Already subscribed", 7: "Unknown subscription ID", 8: "Unknown channel name",
    11: "Invalid parameter", 12: "Exactly one subscription ID is required", 13: "Unsupported action",
    14: "Market ticker required", 15: "Action required", 16: "Market not found", 25: "Subscription buffer overflow",
}  # fmt: skip


@dataclass(eq=False)
class Subscription:
    """One channel of one connection; `names` are tickers or index ids, empty where everything is meant."""

    sid: int
    channel: str
    names: set[str]
    in_yes: bool
    seq: int = 0
    numbered: bool = field(init=False)

    def __post_init__(self) -> None:
        self.numbered = self.channel == BOOK or self.channel in INDEX_CHANNELS


def names_in(params: dict[str, Any], one: str, many: str) -> list[str]:
    """The names that a command gives under the one key or the other."""
    found: list[str] = list(params.get(many) or ())
    if params.get(one):
        found.append(params[one])
    return found

"""The underlyings: where a made-up price begins, how it moves, and on which grid each venue quotes it.

Grids are scaled integers (1e-9 USD). A venue that does not list a coin is not in its row.
"""

from dataclasses import dataclass

from observer.kit.decimals import scaled


@dataclass(frozen=True, slots=True)
class Coin:
    """One underlying.

    Attributes:
        name: upper-case symbol.
        slug: how Polymarket's slugs call it.
        word: how titles call it.
        usd: price at the start.
        vol: standard deviation of a year's log return.
        lot: smallest size step on every venue, scaled.
        grids: venue -> price step, scaled.
    """

    name: str
    slug: str
    word: str
    usd: float
    vol: float
    lot: int
    grids: dict[str, int]


def _coin(name: str, word: str, usd: float, vol: float, lot: str, *grids: str) -> Coin:
    venues = ("binance-spot", "binance-usdm", "coinbase", "kraken", "hyperliquid")
    return Coin(
        name, name.lower(), word, usd, vol, scaled(lot),
        {venue: scaled(grid) for venue, grid in zip(venues, grids, strict=True) if grid},
    )  # fmt: skip


COINS: dict[str, Coin] = {
    coin.name: coin
    for coin in (
        _coin("BTC", "Bitcoin", 97_000.0, 0.50, "0.00001", "0.01", "0.1", "0.01", "0.1", "1"),
        _coin("ETH", "Ethereum", 3_400.0, 0.65, "0.0001", "0.01", "0.01", "0.01", "0.01", "0.1"),
        _coin("SOL", "Solana", 185.0, 0.80, "0.001", "0.01", "0.01", "0.01", "0.01", "0.01"),
        _coin("XRP", "XRP", 2.30, 0.80, "0.1", "0.0001", "0.0001", "0.0001", "0.00001", "0.0001"),
        _coin("DOGE", "Dogecoin", 0.21, 0.90, "1", "0.00001", "0.00001", "0.00001", "0.0000001", "0.00001"),
        _coin("BNB", "BNB", 870.0, 0.60, "0.001", "0.01", "0.01", "", "0.01", "0.1"),
        _coin("HYPE", "Hyperliquid", 38.0, 1.00, "0.01", "", "0.001", "", "0.01", "0.001"),
        _coin("ZEC", "Zcash", 480.0, 1.20, "0.001", "0.01", "0.01", "0.01", "0.01", "0.1"),
    )
}

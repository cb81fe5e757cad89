"""Binance as a reference feed: which symbols, which sockets, which REST calls.

Spot carries everything on one base. USD-M was split in 2026: books and trades on `/public`, mark and index prices on
`/market`; a stream asked for on the wrong one is acknowledged and stays silent. Streams are named in the URL, so
nothing is subscribed to, and a name that Binance does not know is silent too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from observer.ports import Ended, Instrument, Line, Listing, Rest, RestError, Selection, StreamPlan
from observer.venues.binance.budget import Budget
from observer.venues.binance.decoder import INDEX, MARK, BinanceDecoder
from observer.venues.binance.rules import SPOT, USDM, Rule

_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "ZEC")
_REFUSALS = {403, 418, 451}  # whoever is refused by REST need not try a socket
SILENCE_S = 15.0
LIFE_S = 23 * 3600.0  # the venue closes a connection after 24 h
MAX_MESSAGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Product:
    """What sets spot and USD-M apart."""

    name: str
    rest_path: str
    books_path: str  # below the socket address
    prices_path: str  # "" where there are no mark prices
    coins: tuple[str, ...]
    depth_levels: int
    burst: int  # snapshots; with `per_minute` they stay below the venue's weight limit
    per_minute: int
    rule: Rule


# Weight 250 a snapshot of 6000 a minute: 24. Weight 20 of 2400: 120, of which 100 are taken.
SPOT_PRODUCT = Product("binance-spot", "/api/v3", "", "", _COINS, 5000, 12, 10, SPOT)
USDM_PRODUCT = Product("binance-usdm", "/fapi/v1", "/public", "/market", (*_COINS, "HYPE"), 1000, 40, 60, USDM)


class Binance:
    """Implements `observer.ports.Venue` for one product.

    Args:
        product: `SPOT_PRODUCT` or `USDM_PRODUCT`.
        urls: addresses by name (`observer.venues.urls`).
    """

    def __init__(self, product: Product, urls: dict[str, str]) -> None:
        self.name = product.name
        self._product = product
        self._rest_url = urls[f"{product.name}.rest"] + product.rest_path
        self._ws_url = urls[f"{product.name}.ws"]
        self._budget = Budget(product.burst, product.per_minute)
        self._is_served = False

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Nothing to list. Asks once whether this location is served, so that a refusal is said in plain words.

        Raises:
            RestError: Binance refuses this address; `observer.rest.Blocked` names the way out.
        """
        if not self._is_served:
            try:
                await rest.get(f"{self._rest_url}/ping")
            except RestError as error:
                if error.status in _REFUSALS:
                    raise
            self._is_served = True  # or not to be reached just now, which the sockets find out by themselves
        return []

    def feeds(self, selection: Selection) -> list[Instrument]:
        """The coins' books against USDT, and on USD-M their mark and index prices."""
        feeds: list[Instrument] = []
        for coin in self._product.coins:
            if selection.wants_symbol(coin):
                key = f"{coin}USDT"
                feeds.append(Instrument(self.name, key, "", 0, coin, self.name))
                if self._product.prices_path:
                    feeds.append(Instrument(self.name, key + MARK, "", 0, coin, f"{self.name}-mark"))
                    feeds.append(Instrument(self.name, key + INDEX, "", 0, coin, f"{self.name}-index"))
        return feeds

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One socket for all books and trades, one for all mark and index prices."""
        books = [instrument for instrument in instruments if "@" not in instrument.key]
        prices = [instrument for instrument in instruments if "@" in instrument.key]
        plans: list[StreamPlan] = []
        if books:
            streams = [f"{ins.key.lower()}@{what}" for ins in books for what in ("depth@100ms", "trade")]
            plans.append(self._stream("books", self._product.books_path, streams, books))
        if prices:
            symbols = dict.fromkeys(ins.key.partition("@")[0].lower() for ins in prices)
            streams = [f"{symbol}@markPrice@1s" for symbol in symbols]
            plans.append(self._stream("prices", self._product.prices_path, streams, prices))
        return plans

    def _stream(self, name: str, path: str, streams: list[str], instruments: list[Instrument]) -> StreamPlan:
        return StreamPlan(
            name,
            f"{self._ws_url}{path}/stream?streams={'/'.join(streams)}",
            tuple(instruments),
            silence_s=SILENCE_S,
            life_s=LIFE_S,
            max_message_bytes=MAX_MESSAGE_BYTES,
        )

    def decoder(self, plan: StreamPlan, line: Line) -> BinanceDecoder:
        """A fresh decoder."""
        return BinanceDecoder(plan.instruments, line, self._product.rule)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book by REST; waits for its turn, because the venue counts."""
        if "@" in instrument.key:
            raise RestError(f"{self.name}: {instrument.key} is a bare price and has no book")
        await self._budget.take()
        params = {"symbol": instrument.key, "limit": str(self._product.depth_levels)}
        return await rest.get(f"{self._rest_url}/depth", params)

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """No market ends here."""
        return Ended(None)


def spot(urls: dict[str, str]) -> Binance:
    """Binance spot."""
    return Binance(SPOT_PRODUCT, urls)


def usdm(urls: dict[str, str]) -> Binance:
    """Binance USD-M perpetual futures."""
    return Binance(USDM_PRODUCT, urls)

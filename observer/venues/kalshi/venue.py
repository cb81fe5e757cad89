"""Kalshi as a venue: what to record, over which connections, and how a market ended.

Every connection is signed, those for public data too, so recording needs an API key (`signing`); listing and asking
how a market ended do not.
"""

from collections.abc import Sequence

from observer.ports import Decoder, Ended, Instrument, Line, Listing, Rest, Selection, StreamPlan
from observer.venues.kalshi.decoder import KalshiDecoder
from observer.venues.kalshi.discovery import Discovery
from observer.venues.kalshi.listing import VENUE, coin_of
from observer.venues.kalshi.payoff import payoff_up
from observer.venues.kalshi.rest import KalshiRest
from observer.venues.kalshi.signing import Signer, signer_from
from observer.venues.kalshi.subscriptions import (
    BOOKS,
    FAST_INDEX,
    INDEX,
    LIFECYCLE,
    TRADES,
    Subscription,
    Subscriptions,
)

# The indices that settle the crypto markets, by coin; the venue relays them from CF Benchmarks.
INDICES: dict[str, str] = {"BTC": "BRTI", **{coin: f"{coin}USD_RTI" for coin in ("ETH", "SOL", "XRP", "DOGE")}}
SOURCE = "kalshi-cf"
_MARKETS_A_CONNECTION = 200
_FINAL = ("finalized", "settled")


class Kalshi:
    """Implements `observer.ports.Venue`.

    Args:
        urls: where the venue is reached (`observer.venues.urls`).
        signer: signs connections; None takes the key from the environment when the first connection is planned.
    """

    name = VENUE

    def __init__(self, urls: dict[str, str], signer: Signer | None = None) -> None:
        self._rest_url, self._ws_url = urls["kalshi.rest"], urls["kalshi.ws"]
        self._signer = signer
        self._discovery = Discovery(self._rest_url)

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Windows that are open or open soon."""
        return await self._discovery.listings(rest, selection, now_ns)

    def feeds(self, selection: Selection) -> list[Instrument]:
        """The settlement indices of the coins that are asked for."""
        return [
            Instrument(VENUE, index, "", 0, coin, SOURCE)
            for coin, index in INDICES.items()
            if selection.wants_symbol(coin)
        ]

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One connection for the quarter-hour markets, one for every 200 others, one for the indices.

        Raises:
            UsageError: there is no key to sign connections with.
        """
        if not instruments:
            return []
        markets = sorted((i for i in instruments if i.market_id), key=lambda i: i.key)
        short = tuple(i for i in markets if coin_of(i.key.partition("-")[0]))
        long = tuple(i for i in markets if i not in short)
        chunks = [long[i : i + _MARKETS_A_CONNECTION] for i in range(0, len(long), _MARKETS_A_CONNECTION)]
        plans = [
            self._plan("quarter-hour", short, 60.0),
            *(self._plan(f"long-{n}", chunk, 300.0) for n, chunk in enumerate(chunks)),
            self._plan("index", tuple(i for i in instruments if not i.market_id), 15.0),
        ]
        return [plan for plan in plans if plan.instruments]

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A decoder for one connection."""
        return KalshiDecoder(line, plan.instruments, Subscriptions(_wanted(plan.instruments)))

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """A market's book by REST."""
        return await KalshiRest(rest, self._rest_url).order_book(instrument.key)

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """How a market ended, once nothing can be disputed any more."""
        row = await KalshiRest(rest, self._rest_url).market(listing.condition_id)
        if row.status not in _FINAL:
            return Ended(None)
        payoff = payoff_up(row.result or "", row.settlement_value_dollars or "")
        return Ended(payoff, source=f"kalshi: {row.status}, result {row.result or 'none'}")

    def require_key(self) -> Signer:
        """The key's signer; for whoever wants to know before anything is recorded whether there is a key.

        Raises:
            UsageError: there is none, with what to set.
        """
        if self._signer is None:
            self._signer = signer_from()
        return self._signer

    def _plan(self, name: str, instruments: tuple[Instrument, ...], silence_s: float) -> StreamPlan:
        return StreamPlan(
            name, self._ws_url, instruments, subscribe=Subscriptions(_wanted(instruments)).frames,
            headers=self.require_key().headers, silence_s=silence_s,
        )  # fmt: skip


def _wanted(instruments: Sequence[Instrument]) -> list[Subscription]:
    """What to subscribe to for these instruments; the same for a plan and for the decoders that read it."""
    tickers = tuple(i.key for i in instruments if i.market_id)
    indices = [i.key for i in instruments if not i.market_id]
    wanted: list[Subscription] = []
    if tickers:
        # No-leg prices, as REST has them, said aloud because the venue means to change what silence means.
        books = {"use_yes_price": False, "send_initial_snapshot": True}
        wanted += [Subscription(BOOKS, tickers, books), Subscription(TRADES, tickers), Subscription(LIFECYCLE)]
    if indices:
        # The slow feed adds the running averages that the markets settle by; they are kept raw.
        wanted += [Subscription(channel, params={"index_ids": indices}) for channel in (FAST_INDEX, INDEX)]
    return wanted

"""Coinbase Advanced Trade as a reference feed: the coins against the dollar, for places that Binance does not serve."""

import json
from collections.abc import Sequence

from observer.ports import Ended, Instrument, Line, Listing, Rest, Selection, StreamPlan
from observer.venues.coinbase.decoder import CoinbaseDecoder

# Only coins that Coinbase has listed for years: a product it does not know spoils the subscription.
COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ZEC")
CHANNELS = ("level2", "market_trades", "heartbeats")  # quiet channels are closed unless heartbeats come too
SILENCE_S = 20.0
MAX_MESSAGE_BYTES = 32 << 20
# Eight messages a second are allowed to one address, and all connections may open in the same one.
SUBSCRIBE_GAP_S = 1.0


class Coinbase:
    """Implements `observer.ports.Venue`.

    Args:
        urls: addresses by name (`observer.venues.urls`).
    """

    name = "coinbase"

    def __init__(self, urls: dict[str, str]) -> None:
        self._rest_url, self._ws_url = urls["coinbase.rest"], urls["coinbase.ws"]

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Nothing to list."""
        return []

    def feeds(self, selection: Selection) -> list[Instrument]:
        """The coins against the dollar."""
        wanted = [coin for coin in COINS if selection.wants_symbol(coin)]
        return [Instrument(self.name, f"{coin}-USD", "", 0, coin, self.name) for coin in wanted]

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One connection a product, so that a hole costs one book; each channel is subscribed to by itself."""
        return [
            StreamPlan(
                instrument.key,
                self._ws_url,
                (instrument,),
                subscribe=tuple(_subscribe(channel, instrument.key) for channel in CHANNELS),
                silence_s=SILENCE_S,
                subscribe_gap_s=SUBSCRIBE_GAP_S,
                max_message_bytes=MAX_MESSAGE_BYTES,
            )
            for instrument in instruments
        ]

    def decoder(self, plan: StreamPlan, line: Line) -> CoinbaseDecoder:
        """A fresh decoder."""
        return CoinbaseDecoder(plan.instruments, line)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book by REST, to look at; it cannot be put in order with the stream."""
        return await rest.get(f"{self._rest_url}/market/product_book", {"product_id": instrument.key})

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """No market ends here."""
        return Ended(None)


def _subscribe(channel: str, product: str) -> bytes:
    frame = {"type": "subscribe", "product_ids": [product], "channel": channel}
    return json.dumps(frame, separators=(",", ":")).encode()

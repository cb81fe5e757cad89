"""Kraken spot, WebSocket v2, as a reference feed."""

from collections.abc import Sequence

from observer.ports import Decoder, Ended, Instrument, Line, Listing, Rest, Selection, StreamPlan
from observer.venues.kraken.book import DEPTH
from observer.venues.kraken.decoder import VENUE, KrakenDecoder, command

COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "ZEC", "NEAR")


class Kraken:
    """Implements `observer.ports.Venue`; a reference feed without markets.

    Args:
        urls: where the venue is reached (`observer.venues.urls`).
    """

    name = VENUE

    def __init__(self, urls: dict[str, str]) -> None:
        self._rest_url, self._ws_url = urls["kraken.rest"], urls["kraken.ws"]

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Nothing: there are no binary markets here."""
        return []

    def feeds(self, selection: Selection) -> list[Instrument]:
        """Every coin against the dollar."""
        return [Instrument(VENUE, f"{coin}/USD", "", 0, coin, VENUE) for coin in COINS if selection.wants_symbol(coin)]

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One connection for all."""
        if not instruments:
            return []
        symbols = sorted(instrument.key for instrument in instruments)
        subscribe = tuple(command("subscribe", channel, symbols, i + 1) for i, channel in enumerate(("book", "trade")))
        return [StreamPlan("spot", self._ws_url, tuple(instruments), subscribe=subscribe, max_message_bytes=4 << 20)]

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A decoder for one connection."""
        return KrakenDecoder(line, plan.instruments)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book by REST, for the archive: its sizes are rounded."""
        pair = instrument.key.replace("/", "").replace("BTC", "XBT").replace("DOGE", "XDG")
        return await rest.get(f"{self._rest_url}/0/public/Depth", {"pair": pair, "count": str(DEPTH)})

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """Nothing ends here."""
        return Ended(None)

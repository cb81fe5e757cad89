"""Hyperliquid perpetuals as a reference feed.

A connection without traffic is closed after a minute, so we ping.
"""

import json
from collections.abc import Sequence
from typing import Any

from observer.ports import Decoder, Ended, Instrument, Line, Listing, Rest, Selection, StreamPlan
from observer.venues.hyperliquid.decoder import HyperliquidDecoder
from observer.venues.hyperliquid.frames import CHANNELS

VENUE = "hyperliquid"
COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "HYPE", "ZEC", "NEAR")
PING = b'{"method":"ping"}'


class Hyperliquid:
    """Implements `observer.ports.Venue`; a reference feed without markets.

    Args:
        urls: where the venue is reached (`observer.venues.urls`).
    """

    name = VENUE

    def __init__(self, urls: dict[str, str]) -> None:
        self._rest_url, self._ws_url = urls["hyperliquid.rest"], urls["hyperliquid.ws"]

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Nothing: there are no binary markets here."""
        return []

    def feeds(self, selection: Selection) -> list[Instrument]:
        """The perpetual of every coin."""
        return [Instrument(VENUE, coin, "", 0, coin, VENUE) for coin in COINS if selection.wants_symbol(coin)]

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One connection for all; the venue allows ten."""
        if not instruments:
            return []
        coins = sorted(instrument.key for instrument in instruments)
        subscribe = tuple(
            _command({"method": "subscribe", "subscription": {"type": channel, "coin": coin}})
            for coin in coins
            for channel in CHANNELS
        )
        return [
            StreamPlan(
                "perpetuals", self._ws_url, tuple(instruments), subscribe=subscribe, ping=PING, ping_every_s=30.0,
                silence_s=15.0, max_message_bytes=4 << 20,
            )
        ]  # fmt: skip

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A decoder for one connection."""
        return HyperliquidDecoder(line, plan.instruments)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The book by REST."""
        asked = _command({"type": "l2Book", "coin": instrument.key})
        return await rest.post(self._rest_url, asked, {"Content-Type": "application/json"})

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """Nothing ends here."""
        return Ended(None)


def _command(words: dict[str, Any]) -> bytes:
    return json.dumps(words, separators=(",", ":")).encode()

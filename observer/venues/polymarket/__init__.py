"""Polymarket (the international venue): rolling crypto windows, other markets by category, settlement prices.

| part | file |
| --- | --- |
| which markets there are | `gamma` (the catalogue), `coins`, `rolling`, `long`, `listing` |
| what the market socket says | `words`, `market_stream` |
| the prices markets settle on | `rtds` |
| how a market ended | `outcomes` |
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from observer.ports import Decoder, Ended, Instrument, Line, Listing, Rest, RestError, Selection, StreamPlan
from observer.venues.polymarket import outcomes, rtds
from observer.venues.polymarket.coins import span_of, wanted
from observer.venues.polymarket.gamma import Gamma
from observer.venues.polymarket.listing import VENUE
from observer.venues.polymarket.long import Long
from observer.venues.polymarket.market_stream import CUT, MarketStream
from observer.venues.polymarket.rolling import Rolling

MAX_ASSETS = 200  # beyond about 500 the venue sends no books at all
_BUSY = ("BTC", "ETH")
_SILENCE_BUSY_S, _SILENCE_THIN_S, _SILENCE_LONG_S = 15.0, 60.0, 120.0
_LIFE_S = 600.0


class Polymarket:
    """Implements `observer.ports.Venue`.

    Args:
        urls: addresses by name (`observer.venues.urls`).
    """

    name = VENUE

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._gamma = Gamma(urls["polymarket.gamma"])
        self._rolling, self._long = Rolling(self._gamma), Long(self._gamma)

    async def discover(self, rest: Rest, selection: Selection, now_ns: int) -> list[Listing]:
        """Rolling windows of the coins, and hours of the most traded other markets."""
        self._long.begin(rest, selection.words, now_ns)
        rolling = await self._rolling.discover(rest, selection.words, now_ns)
        try:
            return rolling + await self._long.windows(now_ns)
        except RestError as error:
            if not rolling:
                raise
            self._gamma.remark(f"other markets could not be read ({error})")
            return rolling

    def feeds(self, selection: Selection) -> list[Instrument]:
        """Chainlink's prices, its two TWAPs and Binance's price as Polymarket passes it on, for each coin."""
        if not self._urls["polymarket.rtds"]:
            return []
        return rtds.feeds(self.name, list(dict.fromkeys(coin for coin, _ in wanted(selection.words))))

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        """One connection for the prices, one or more for each length of window."""
        prices = [instrument for instrument in instruments if not instrument.token]
        groups: dict[str, list[Instrument]] = {}
        for instrument in sorted((i for i in instruments if i.token), key=lambda i: (i.market_id, i.token)):
            group = "long" if CUT in instrument.market_id else span_of(instrument.market_id)
            groups.setdefault(group, []).append(instrument)
        plans = [rtds.plan(self._urls["polymarket.rtds"], prices)] if prices else []
        for group in sorted(groups):
            for number, part in enumerate(_parts(groups[group], MAX_ASSETS)):
                plans.append(self._market_plan(group, f"market-{group}{f'-{number + 1}' if number else ''}", part))
        return plans

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        """A decoder of market frames, or of prices."""
        stream = rtds.ReferenceStream if plan.name == rtds.STREAM else MarketStream
        return stream(plan.instruments, line)

    async def snapshot(self, rest: Rest, instrument: Instrument) -> bytes:
        """The token's book."""
        return await rest.get(f"{self._urls['polymarket.clob']}/book", {"token_id": instrument.key})

    async def outcome(self, rest: Rest, listing: Listing) -> Ended:
        """How a market ended, once the venue says that it is resolved."""
        return await outcomes.outcome(rest, self._gamma, self._urls["polymarket.clob"], listing)

    def _market_plan(self, group: str, name: str, instruments: Sequence[Instrument]) -> StreamPlan:
        """A connection; how long it may be silent depends on how busy what it carries is."""
        is_busy = any(instrument.symbol in _BUSY for instrument in instruments)
        silence_s = _SILENCE_LONG_S if group == "long" else _SILENCE_BUSY_S if is_busy else _SILENCE_THIN_S
        asked = {
            "type": "market",
            "assets_ids": list(dict.fromkeys(instrument.key for instrument in instruments)),
            "custom_feature_enabled": True,
            "initial_dump": True,
        }
        return StreamPlan(
            name, self._urls["polymarket.market"], tuple(instruments), (msgspec.json.encode(asked),),
            ping=b"PING", ping_every_s=10.0, silence_s=silence_s, life_s=_LIFE_S,
        )  # fmt: skip


def _parts(instruments: Sequence[Instrument], size: int) -> Iterator[Sequence[Instrument]]:
    for start in range(0, len(instruments), size):
        yield instruments[start : start + size]

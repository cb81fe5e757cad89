"""From a market of the catalogue to a listing: tokens, window, fees, settlement rule.

A market longer than four hours is cut into windows of at most one UTC hour, `<slug>#2026-11-25T14`, all with the same
instrument keys. A window ends where the market ends, and what is traded after the planned end is a window of its own
(`#2026-11-25T19:30`). The outcome belongs to the window that ends when the market is planned to end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite

import msgspec

from observer.kit.clock import NS_PER_S, parse_iso
from observer.ports import Instrument, Listing
from observer.records import DOWN, UP, FeeSchedule
from observer.records import Market as Window
from observer.venues.fees import FREE, POLYMARKET_CRYPTO, schedule_on
from observer.venues.polymarket.gamma import Event, Market, texts
from observer.venues.polymarket.market_stream import CUT

VENUE = "polymarket"
TICK_NS = NS_PER_S // 2
LOT_SHARES = 0.01
HOUR_NS = 3600 * NS_PER_S
_SHORTEST_NS = 60 * NS_PER_S
_MAX_RULE_CHARS = 1_000
_POSITION_HOLE = ((1 << 64) - 1) << 40  # bits of a V2 position id that are zero
_DEAREST_RATE = 0.05  # of the categories whose rate the venue publishes, crypto aside


class NotListed(ValueError):
    """A market that cannot be recorded, and why.

    Attributes:
        is_early: True where that may be over in a minute: a new market's token ids come late.
    """

    def __init__(self, why: str, *, is_early: bool = False) -> None:
        super().__init__(why)
        self.is_early = is_early


@dataclass(frozen=True, slots=True)
class Family:
    """What a listing is part of: `symbol` is the underlying, `tags` are lower-case words."""

    series: str
    symbol: str
    tags: tuple[str, ...]


def listing_of(
    event: Event, market: Market, family: Family, *, market_id: str, open_ns: int, close_ns: int, ends_ns: int
) -> Listing:
    """The listing of one window of a market.

    Raises:
        NotListed: no tokens yet, a protocol version that is not known, or fields that cannot be right.
    """
    up, down = tokens_of(market)
    is_crypto = "crypto" in family.tags
    strike = event.event_metadata.price_to_beat if event.event_metadata else None
    tick = market.order_price_min_tick_size or 0.01
    if not 0 < tick < 1:
        raise NotListed(f"its price step is {tick}")
    window = Window(
        market_id=market_id, venue=VENUE, series=family.series, symbol=family.symbol, open_ns=open_ns,
        close_ns=close_ns, tick_ns=TICK_NS, price_tick=tick, lot_shares=LOT_SHARES,
        fees=fees_of(market, open_ns, is_crypto=is_crypto), settlement_rule=rule_of(event, market),
        strike=strike if strike is not None and isfinite(strike) and strike > 0 else None, source=VENUE,
    )  # fmt: skip
    instruments = tuple(
        Instrument(VENUE, key, market_id, token, family.symbol) for key, token in ((up, UP), (down, DOWN))
    )
    return Listing(window, instruments, tags=family.tags, condition_id=market.condition_id, ends_ns=ends_ns)


def tokens_of(market: Market) -> tuple[str, str]:
    """The ids of Up (or Yes, or the first outcome) and Down.

    Raises:
        NotListed: they are not there yet, or not two different ones, or of an unknown version.
    """
    version = (market.version or "v1").lower()
    if version not in ("v1", "v2"):
        raise NotListed(f"its protocol version is {market.version!r}; v1 and v2 are known")
    try:
        outcomes = texts(market.outcomes)
        ids = texts(market.clob_token_ids if version == "v1" else market.position_ids)
    except msgspec.MsgspecError as error:
        raise NotListed(f"its outcomes or tokens are no list ({error})") from error
    if not ids or "" in ids:
        raise NotListed("it has no token ids yet", is_early=True)
    if len(outcomes) != 2 or len(ids) != 2 or ids[0] == ids[1] or not all(i.isascii() and i.isdigit() for i in ids):
        raise NotListed(f"it has {len(outcomes)} outcomes and {len(ids)} tokens; wanted two of each")
    if version == "v2":
        _check_positions(ids)
    first, second = (outcome.strip().lower() for outcome in outcomes)
    is_turned = (first, second) in (("down", "up"), ("no", "yes"))
    return (ids[1], ids[0]) if is_turned else (ids[0], ids[1])


def fees_of(market: Market, open_ns: int, *, is_crypto: bool) -> FeeSchedule:
    """What a taker pays: as the market states it, else by the dated table."""
    if market.fees_enabled is False:
        return FREE
    stated = market.fee_schedule
    if stated is None:
        if is_crypto:
            return schedule_on("polymarket-crypto", open_ns)
        if market.fees_enabled is None:
            return FREE
        return FeeSchedule("polymarket-unstated", "quadratic", _DEAREST_RATE, from_ns=open_ns)
    if not (isfinite(stated.rate) and 0 <= stated.rate < 1 and isfinite(stated.exponent) and stated.exponent >= 0):
        raise NotListed(f"its fee rate is {stated.rate} with exponent {stated.exponent}")
    for known in POLYMARKET_CRYPTO:
        is_same = (known.kind, known.rate, known.exponent) == ("quadratic", stated.rate, stated.exponent)
        if is_same and known.from_ns <= open_ns < known.to_ns:
            return known
    kind = market.fee_type or "stated"
    return FeeSchedule(f"polymarket-{kind}-{stated.rate:g}", "quadratic", stated.rate, stated.exponent, from_ns=open_ns)


def rule_of(event: Event, market: Market) -> str:
    """How it settles: the look-back of a TWAP, the source, and the venue's own words."""
    source = market.resolution_source or event.resolution_source or ""
    twap = event.crypto_market_config
    parts = [
        f"TWAP of the last {twap.twap_lookback_seconds} s" if twap and twap.twap_enabled else "",
        f"source {source}" if source else "",
        " ".join((market.description or "").split())[:_MAX_RULE_CHARS],
    ]
    return "; ".join(part for part in parts if part) or "not stated"


def time_of(text: str | None) -> int | None:
    """Nanoseconds of an ISO time such as `2026-07-24T00:00:00Z` or `2026-07-24 00:00:16+00`; None where there is none.

    Raises:
        NotListed: something else.
    """
    if not text:
        return None
    try:
        return parse_iso(text)
    except ValueError as error:
        raise NotListed(f"{text[:40]!r} is no time") from error


def hours_of(slug: str, ends_ns: int, now_ns: int, ahead_ns: int) -> Iterator[tuple[str, int, int]]:
    """(id, open, close) of the windows of a long market that are open or open within `ahead_ns`."""
    hour_ns = now_ns // HOUR_NS * HOUR_NS
    for start_ns in (hour_ns, hour_ns + HOUR_NS):
        end_ns = start_ns + HOUR_NS
        cuts = [start_ns, ends_ns, end_ns] if start_ns < ends_ns < end_ns else [start_ns, end_ns]
        for open_ns, close_ns in pairwise(cuts):
            if close_ns > now_ns and open_ns <= now_ns + ahead_ns and close_ns - open_ns >= _SHORTEST_NS:
                yield f"{slug}{CUT}{_hour_text(open_ns)}", open_ns, close_ns


def _hour_text(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // NS_PER_S, UTC)
    return moment.strftime("%Y-%m-%dT%H" if ns % HOUR_NS == 0 else "%Y-%m-%dT%H:%M")


def _check_positions(ids: list[str]) -> None:
    """V2 position ids carry their outcome in the last byte: 0 first, 1 second."""
    for index, text in enumerate(ids):
        number = int(text)
        if number & _POSITION_HOLE or number & 0xFF != index:
            raise NotListed(f"{text[:20]}... is no position id of outcome {index}")

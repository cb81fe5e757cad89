"""How a market ended, by the venue's word and no other: 1, 0 or a half per Up share.

The catalogue is asked first and counts once it says that the market is resolved; while it is closed its prices are
those of the last trade. Then the exchange is asked, where one token is marked as the winner.
"""

import msgspec
from msgspec import Struct

from observer.kit.decimals import SCALE, BadNumber, scaled
from observer.ports import Ended, Listing, Rest, RestError
from observer.records import UP
from observer.venues.polymarket.gamma import Gamma, Market, texts
from observer.venues.polymarket.listing import NotListed, tokens_of
from observer.venues.polymarket.market_stream import CUT

_PAYOFFS: dict[tuple[int, ...], float] = {(SCALE, 0): 1.0, (0, SCALE): 0.0, (SCALE // 2, SCALE // 2): 0.5}
_V2_DIGITS, _ID_DIGITS = 62, 64
UNKNOWN = Ended(None)


class _Token(Struct):
    token_id: str
    winner: bool = False


class _ClobMarket(Struct):
    tokens: list[_Token]
    closed: bool = False


_read_clob = msgspec.json.Decoder(_ClobMarket).decode


async def outcome(rest: Rest, gamma: Gamma, clob_url: str, listing: Listing) -> Ended:
    """How the market of a window ended; unknown for a window that was cut out of the middle of one."""
    if listing.ends_ns not in (0, listing.market.close_ns):
        return UNKNOWN
    market = await gamma.market(rest, listing.market.market_id.partition(CUT)[0])
    if market is not None:
        payoff = payoff_of(market, listing)
        if payoff is not None:
            return Ended(payoff, source="polymarket gamma")
    if not listing.condition_id:
        return UNKNOWN
    try:
        body = await rest.get(f"{clob_url}/markets/{clob_id(listing.condition_id)}")
    except RestError as error:
        if error.status == 404:
            return UNKNOWN
        raise
    return _winner(_read_clob(body), listing)


def payoff_of(market: Market, listing: Listing) -> float | None:
    """What an Up share pays by the catalogue, None while it is not resolved."""
    is_resolved = market.uma_resolution_status in ("resolved", "settled") or market.resolution_status == "resolved"
    if not (market.closed and is_resolved):
        return None
    try:
        prices = tuple(scaled(text) for text in texts(market.outcome_prices))
        up, _ = tokens_of(market)
        ids = texts(market.position_ids if (market.version or "v1").lower() == "v2" else market.clob_token_ids)
    except (msgspec.MsgspecError, BadNumber, NotListed):
        return None
    payoff = _PAYOFFS.get(prices)
    if payoff is None or up != _up_key(listing):
        return None
    return payoff if ids[0] == up else 1.0 - payoff


def clob_id(condition_id: str) -> str:
    """The condition id as the exchange wants it: V2 ids are a byte short and padded with zeros."""
    digits = condition_id.removeprefix("0x")
    return f"0x{digits.ljust(_ID_DIGITS, '0')}" if len(digits) == _V2_DIGITS else condition_id


def _winner(market: _ClobMarket, listing: Listing) -> Ended:
    winners = [token.token_id for token in market.tokens if token.winner]
    keys = {instrument.key for instrument in listing.instruments}
    if not market.closed or len(winners) != 1 or winners[0] not in keys:
        return UNKNOWN
    return Ended(1.0 if winners[0] == _up_key(listing) else 0.0, source="polymarket clob")


def _up_key(listing: Listing) -> str:
    return next(instrument.key for instrument in listing.instruments if instrument.token == UP)

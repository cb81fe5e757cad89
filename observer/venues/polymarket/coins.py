"""The coins whose windows roll, and how their windows are named.

A 5-minute, 15-minute or 4-hour window is found by its slug, which holds its start. The 4-hour grid follows New York,
so it lies on 00, 04, 08 ... UTC in summer and on 01, 05, 09 ... in winter; both are asked for, and one does not exist.
Hourly slugs are spelled in New York time, so hourly windows are found through their series instead.
"""

import re
from collections.abc import Iterator

COINS: tuple[str, ...] = ("btc", "eth", "sol", "xrp", "doge", "bnb", "hype", "zec")
SPANS_S: dict[str, int] = {"5m": 300, "15m": 900, "1h": 3600, "4h": 14_400}
HOURLY_SERIES: dict[str, str] = {
    "btc": "btc-up-or-down-hourly",
    "eth": "eth-up-or-down-hourly",
    "sol": "solana-up-or-down-hourly",
    "xrp": "xrp-up-or-down-hourly",
    "doge": "doge-up-or-down-hourly",
    "bnb": "bnb-up-or-down-hourly",
    "hype": "hype-up-or-down-hourly",
}
COIN_OF_TAG: dict[str, str] = {
    "bitcoin": "btc", "ethereum": "eth", "solana": "sol", "ripple": "xrp", "dogecoin": "doge", "hyperliquid": "hype",
    "zcash": "zec", **{coin: coin for coin in COINS},
}  # fmt: skip
TAGS = ("crypto", "up-or-down")
_GRID_OFFSETS_S = {"5m": (0,), "15m": (0,), "4h": (0, 3600)}
_SLUG = re.compile(r"([a-z]+)-updown-(5m|15m|4h)-(\d+)")


def wanted(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """(coin, span) of the families that a selection asks for: everything where it is empty."""
    return [
        (coin, span)
        for coin in COINS
        for span in SPANS_S
        if (not words or {coin, span, *TAGS} & set(words)) and (span != "1h" or coin in HOURLY_SERIES)
    ]


def slugs(coin: str, span: str, now_s: int, ahead_s: int) -> Iterator[str]:
    """The slugs of the windows that are open at `now_s` or open within `ahead_s`; for 5m, 15m and 4h."""
    length = SPANS_S[span]
    for offset in _GRID_OFFSETS_S[span]:
        start = (now_s - offset) // length * length + offset
        yield f"{coin}-updown-{span}-{start}"
        if start + length <= now_s + ahead_s:
            yield f"{coin}-updown-{span}-{start + length}"


def family_of(slug: str) -> tuple[str, str, int] | None:
    """(coin, span, start in seconds) of a slug that holds them, else None."""
    match = _SLUG.fullmatch(slug)
    return (match[1], match[2], int(match[3])) if match else None


def span_of(market_id: str) -> str:
    """The span of a rolling window by its id; hourly ids are spelled out and hold no span."""
    family = family_of(market_id)
    return family[1] if family else "1h"

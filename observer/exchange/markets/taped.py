"""Books made out of recorded ticks, so that whoever samples them sees the recorded best prices again.

Where the recording holds a ladder, the book is that ladder. Where it holds the best price and the sum over five
levels, five equal levels are laid out from the best price, and they sum to what was recorded. Where no size was
recorded, the best level holds one share.
"""

from collections.abc import Iterator

from observer.book import ASK, BID
from observer.exchange.markets.binary import Binary
from observer.exchange.wire import to_scaled
from observer.kit.decimals import SCALE
from observer.records import DOWN, UP, UP_BID, UP_BID_DEPTH5, UP_BID_SIZE, Tape

_LOT = SCALE // 100
_CENT = SCALE // 100
_LEVELS = 5
_DECIMALS = 6  # recorded floats are exact to this many
SIDES = ((UP, BID), (UP, ASK), (DOWN, BID), (DOWN, ASK))  # in the order of `records.SIDES`


def levels_at(tape: Tape, t: int, side: int) -> list[tuple[int, int]]:
    """(price, size) of one of the four sides at tick `t`, best first; empty where nothing was quoted."""
    best = tape.rows[t, UP_BID + side]
    if best != best:
        return []
    if tape.ladder is not None:
        prices, sizes = tape.ladder.price[t, side], tape.ladder.size[t, side]
        found = [(_price(p), _size(s)) for p, s in zip(prices, sizes, strict=True) if p == p and s == s and s > 0]
        if found:
            return found
    return _laid_out(
        _price(best), float(tape.rows[t, UP_BID_SIZE + side]), float(tape.rows[t, UP_BID_DEPTH5 + side]),
        -1 if SIDES[side][1] == BID else 1, to_scaled(tape.market.price_tick),
    )  # fmt: skip


def changes_at(tape: Tape, t: int, market: Binary) -> list[tuple[int, int, int, int]]:
    """What turns the market's books into those of tick `t`: what goes first, what comes after."""
    gone: list[tuple[int, int, int, int]] = []
    come: list[tuple[int, int, int, int]] = []
    for place, (token, side) in enumerate(SIDES):
        wanted = dict(levels_at(tape, t, place))
        for price, _ in market.books[token].top(side, 1_000):
            if price not in wanted:
                gone.append((token, side, price, 0))
        come += [(token, side, price, size) for price, size in wanted.items()]
    return gone + come


def _laid_out(best: int, size: float, depth: float, outwards: int, tick: int) -> list[tuple[int, int]]:
    step = outwards * (_CENT if best % _CENT == 0 else tick)
    prices = [price for price in _walk(best, step) if 0 < price < SCALE]
    known, total = _size(size) if size > 0 else 0, _size(depth) if depth > 0 else 0
    if total <= known:
        return [(best, known or total or SCALE)]
    if known:
        behind = max(min(len(prices) - 1, (total - known) // _LOT), 0)
        if not behind:
            return [(best, known)]
        return [(best, known), *_split(prices[1 : behind + 1], total - known)]
    return _split(prices[: max(total // _LOT, 1)], total)


def _split(prices: list[int], total: int) -> list[tuple[int, int]]:
    """Equal shares of `total` at each price; the first also holds what does not divide."""
    each = total // len(prices) // _LOT * _LOT
    return [(prices[0], total - each * (len(prices) - 1)), *((price, each) for price in prices[1:])]


def _walk(first: int, step: int) -> Iterator[int]:
    return (first + i * step for i in range(_LEVELS))


def _price(usd: float) -> int:
    return to_scaled(round(float(usd), _DECIMALS))


def _size(shares: float) -> int:
    return to_scaled(round(float(shares), _DECIMALS))

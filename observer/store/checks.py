"""The laws of stored data. What breaks one is refused with the reason; nothing here changes a number.

`check_tape` is the writer's door and refuses a whole tape. An importer meets dirty rows, so it first goes
through `observer.store.screen`, which refuses row by row and counts.
"""

import re

import numpy as np
from numpy.typing import NDArray

from observer.kit.clock import iso
from observer.kit.errors import BadRecording
from observer.records import (
    BOOK_LEVELS,
    BUY,
    BUY_USD,
    DOWN,
    DOWN_ASK_DEPTH5,
    MAX_TRADE_USD,
    N_COLUMNS,
    REFERENCE,
    REFERENCE_AGE_S,
    SELL,
    SIDES,
    UP,
    UP_BID_SIZE,
    Market,
    Tape,
)
from observer.store.trades import Trades

PRICE_COLUMNS = slice(0, len(SIDES))
SIZE_COLUMNS = slice(UP_BID_SIZE, DOWN_ASK_DEPTH5 + 1)
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Half of a book's recorded sizes above this, all of them whole: nobody quotes so; raw units of 1e-6 share look so.
_LEAST_PAIR = 0.2  # USD that both tokens cost together; about 1 in any market
_RAW_UNITS = 1e6


def check_tape(tape: Tape) -> None:
    """Refuse a tape that breaks a law of the store.

    Raises:
        BadRecording: names the market, what was found, what was wanted and the way out.
    """
    name = tape.market.market_id
    complaint = (
        market_complaint(tape.market)
        or _shape_complaint(tape)
        or _time_complaint(tape)
        or unit_complaint(tape.rows[:, PRICE_COLUMNS], tape.rows[:, SIZE_COLUMNS])
        or _row_complaint(tape)
        or _ladder_complaint(tape)
    )
    if complaint:
        raise BadRecording(f"market {name}: {complaint}")


def market_complaint(market: Market) -> str | None:
    """What is wrong with a market's description, or None."""
    if not market.market_id or "@" in market.market_id:
        return f"market id {market.market_id!r}; it must not be empty nor hold an @."
    if not _FOLDER_NAME.fullmatch(market.venue):
        return f"venue {market.venue!r} cannot name a folder. Use letters, digits, dot, dash and underscore."
    if market.close_ns <= market.open_ns:
        return f"closes at {iso(market.close_ns)}, not after it opens at {iso(market.open_ns)}."
    if market.tick_ns <= 0:
        return f"nominal tick spacing of {market.tick_ns} ns; it must be above zero."
    if market.strike is not None and not market.strike > 0:
        return f"strike of {market.strike}; wanted USD above zero, or None where the venue states none."
    return None


def unit_complaint(prices: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
    """What the numbers say about their units, or None. Prices are USD per share, sizes shares."""
    top = float(np.nanmax(prices, initial=-np.inf))
    if top > 1:
        found = f"prices up to {top:g}; wanted USD per share between 0 and 1."
        if top <= 100:
            return f"{found} They look like cents: divide them by 100 and import again."
        return f"{found} They look like fixed-point units: divide them by the source's scale and import again."
    quoted = sizes[np.isfinite(sizes) & (sizes > 0)]
    if len(quoted) and float(np.median(quoted)) > _RAW_UNITS and bool(np.all(np.abs(quoted - np.rint(quoted)) < 1e-3)):
        return (
            f"half of the sizes are above {float(np.median(quoted)):,.0f} and all are whole; wanted shares. "
            "They look like units of 1e-6 share: divide them by 1e6 and import again."
        )
    return None


def window_unit_complaint(prices: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
    """As `unit_complaint`, by what is usual in a window: one price that is wrong is a bad row and no other unit.

    Args:
        prices: (T, 4) bid and ask of Up, bid and ask of Down.
        sizes: any shape.
    """
    quoted = prices[~np.isnan(prices)]
    if len(quoted) and float(np.median(quoted)) <= 1:
        prices = np.minimum(prices, 1.0)
    if complaint := unit_complaint(prices, sizes):
        return complaint
    pair = prices.sum(axis=1) / 2  # mid of Up plus mid of Down
    pair = pair[np.isfinite(pair)]
    if len(pair) and float(np.median(pair)) < _LEAST_PAIR:
        return (
            f"Up and Down together cost {float(np.median(pair)):g}; wanted about 1 USD. They look like hundredths of a "
            "price: multiply them by the source's scale and import again."
        )
    return None


def crossed(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T,) True where a token's bid is not below its own ask."""
    return (rows[:, 0] >= rows[:, 1]) | (rows[:, 2] >= rows[:, 3])


def bad_price(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T,) True where a quoted price is not strictly between 0 and 1."""
    prices = rows[:, PRICE_COLUMNS]
    return np.any((prices <= 0) | (prices >= 1), axis=1)


def bad_size(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T,) True where a size or depth is negative or infinite."""
    sizes = rows[:, SIZE_COLUMNS]
    return np.any((sizes < 0) | np.isinf(sizes), axis=1)


def check_trades(trades: Trades, market: Market) -> None:
    """Refuse a market's trades that break a law of the store; raises `BadRecording`."""
    complaint = None
    if len(trades) and (trades.recv_ns[0] < market.open_ns or trades.recv_ns[-1] > market.close_ns):
        complaint = (
            f"trades from {iso(trades.recv_ns[0])} to {iso(trades.recv_ns[-1])} do not lie in the window "
            f"{iso(market.open_ns)} to {iso(market.close_ns)}. Leave out what lies outside it."
        )
    elif not bool(np.isin(trades.token, (UP, DOWN)).all()):
        complaint = "a trade names neither the Up nor the Down token."
    else:
        complaint = unit_complaint(trades.price, trades.size) or _trade_complaint(trades)
    if complaint:
        raise BadRecording(f"market {market.market_id}: {complaint}")


def check_instrument_trades(instrument: str, trades: Trades) -> None:
    """Refuse an underlying's trades that break a law of the store; raises `BadRecording`."""
    if complaint := _trade_complaint(trades):
        raise BadRecording(f"instrument {instrument}: {complaint}")


def check_reference(symbol: str, source: str, recv_ns: NDArray[np.int64], price: NDArray[np.float64]) -> None:
    """Refuse reference prices that break a law of the store; raises `BadRecording`."""
    complaint = None
    if not _FOLDER_NAME.fullmatch(source) or not symbol or "@" in symbol:
        complaint = "its source cannot name a folder or its symbol is empty. Use letters, digits, dot and dash."
    elif len(recv_ns) == 0 or len(recv_ns) != len(price):
        complaint = f"{len(recv_ns)} times for {len(price)} prices; wanted as many of each, and at least one."
    elif bool(np.any(np.diff(recv_ns) < 0)):
        complaint = "its time goes backwards. Sort by arrival, or refuse the late rows."
    elif not bool(np.all(np.isfinite(price) & (price > 0))):
        complaint = "a price is missing, infinite or not above zero. Leave such rows out."
    if complaint:
        raise BadRecording(f"reference {symbol} of {source!r}: {complaint}")


def _shape_complaint(tape: Tape) -> str | None:
    n = len(tape.recv_ns)
    if n == 0:
        return "holds no tick. Leave the market out."
    if tape.rows.shape != (n, N_COLUMNS) or tape.rows.dtype != np.float64 or tape.recv_ns.dtype != np.int64:
        return (
            f"rows {tape.rows.shape} {tape.rows.dtype} with {n} times of {tape.recv_ns.dtype}; "
            f"wanted ({n}, {N_COLUMNS}) float64 with int64."
        )
    want = (n, len(SIDES), BOOK_LEVELS)
    if tape.ladder is not None and not tape.ladder.price.shape == tape.ladder.size.shape == want:
        return f"a ladder of {tape.ladder.price.shape} and {tape.ladder.size.shape}; wanted {want} twice."
    return None


def _time_complaint(tape: Tape) -> str | None:
    market, recv_ns = tape.market, tape.recv_ns
    back = np.flatnonzero(np.diff(recv_ns) <= 0)
    if len(back):
        i = int(back[0])
        return (
            f"tick {i + 1} at {iso(recv_ns[i + 1])} is not after tick {i} at {iso(recv_ns[i])}. "
            "Leave out repeated and late ticks."
        )
    outside = int(np.sum((recv_ns < market.open_ns) | (recv_ns > market.close_ns)))
    if outside:
        return (
            f"{outside} of {len(recv_ns)} ticks, {iso(recv_ns[0])} to {iso(recv_ns[-1])}, lie outside the window "
            f"{iso(market.open_ns)} to {iso(market.close_ns)}. Check whether the window's start was taken for its end."
        )
    return None


def _row_complaint(tape: Tape) -> str | None:
    rows = tape.rows
    for broken, text in (
        (bad_price(rows), "a price not between 0 and 1 (a missing quote is NaN)"),
        (bad_size(rows), "a negative or infinite size"),
        (crossed(rows), "crossed quotes (bid >= ask)"),
        (np.any(rows[:, BUY_USD : MAX_TRADE_USD + 1] < 0, axis=1), "a negative trade flow"),
        ((rows[:, REFERENCE] <= 0) | (rows[:, REFERENCE_AGE_S] < 0), "a reference price or age below zero"),
        (np.any(np.isinf(rows), axis=1), "an infinite number"),
    ):
        hit = np.flatnonzero(broken)
        if len(hit):
            return (
                f"{len(hit)} ticks, the first at {iso(int(tape.recv_ns[hit[0]]))}, hold {text}. Leave such ticks out."
            )
    return None


def _ladder_complaint(tape: Tape) -> str | None:
    if tape.ladder is None:
        return None
    complaint = unit_complaint(tape.ladder.price, tape.ladder.size)
    if complaint:
        return f"in the ladder, {complaint}"
    touch = tape.ladder.price[:, :, 0]
    quotes = tape.rows[:, PRICE_COLUMNS]
    if not np.array_equal(touch, quotes, equal_nan=True):
        return "the ladder's best level differs from the quotes. Build both from one book."
    outwards = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]  # bids fall, asks rise
    if bool(np.any(np.diff(tape.ladder.price, axis=2) * outwards <= 0)):
        return "the ladder's levels do not run from the best price outwards. Sort them."
    return None


def _trade_complaint(trades: Trades) -> str | None:
    if bool(np.any(np.diff(trades.recv_ns) < 0)):
        return "the time of its trades goes backwards. Sort them by arrival."
    if not bool(np.isin(trades.side, (BUY, SELL)).all()):
        return "a trade is neither a buy nor a sell."
    numbers = np.concatenate([trades.price, trades.size])
    if not bool(np.all(np.isfinite(numbers) & (numbers > 0))):
        return "a trade's price or size is missing, infinite or not above zero. Leave such trades out."
    return None

"""Kalshi's books: bids for yes and bids for no, seen as the one book of yes that they are.

A bid for no at q is an offer of yes at 1 − q, of the same size.
"""

from observer.book import ASK, BID
from observer.kit.decimals import SCALE, SCALED, BadNumber, scaled
from observer.ports import Instrument, Level

LevelText = tuple[str, str]  # price, contracts
_MAX_SIZE = 2**62


class BadBook(ValueError):
    """A book, or a change of one, that cannot be; its text is a fixed reason."""


class TickerBook:
    """The totals of one market as one connection's messages add up.

    Attributes:
        instrument: the market's Up book as the recorder knows it; its key is the ticker.
        is_known: False until a snapshot, and after `forget`.
    """

    __slots__ = ("_asks", "_bids", "instrument", "is_known")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.is_known = False
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def replace(self, bids: list[Level], asks: list[Level]) -> None:
        """Take a snapshot."""
        self._bids, self._asks = dict(bids), dict(asks)
        self.is_known = True

    def forget(self) -> None:
        """Know nothing until the next snapshot."""
        self._bids, self._asks = {}, {}
        self.is_known = False

    def change(self, side_text: str, price_text: str, change_text: str) -> tuple[int, int, int]:
        """Add a signed change to a level.

        Returns:
            Side, price and new total of the level in the book of yes.

        Raises:
            BadBook: a price outside (0, 1), or a total below zero or beyond any real size.
            BadNumber: text that is no decimal number.
        """
        price = SCALED[price_text]
        if not 0 < price < SCALE:
            raise BadBook("price outside 0 and 1")
        change = -SCALED[change_text[1:]] if change_text[:1] == "-" else SCALED[change_text]
        if side_text == "yes":
            side, sizes = BID, self._bids
        else:
            side, sizes, price = ASK, self._asks, SCALE - price
        total = sizes.get(price, 0) + change
        if total > 0:
            if total > _MAX_SIZE:
                raise BadBook("level above any real size")
            sizes[price] = total
        elif total == 0:
            sizes.pop(price, None)
        else:
            raise BadBook("level below zero")
        return side, price, total


def whole_book(yes: list[LevelText], no: list[LevelText]) -> tuple[list[Level], list[Level]]:
    """Bids and offers of yes, best first, without empty levels.

    Raises:
        BadBook: a price outside (0, 1) or twice, or a bid at or above an offer.
        BadNumber: text that is no decimal number.
    """
    bids = sorted(((scaled(price), scaled(size)) for price, size in yes), reverse=True)
    asks = sorted((SCALE - scaled(price), scaled(size)) for price, size in no)
    for levels in (bids, asks):
        if levels and not (0 < levels[0][0] < SCALE and 0 < levels[-1][0] < SCALE):
            raise BadBook("price outside 0 and 1")
        if len({price for price, _ in levels}) < len(levels):
            raise BadBook("price there twice")
    bids, asks = [level for level in bids if level[1]], [level for level in asks if level[1]]
    if bids and asks and bids[0][0] >= asks[0][0]:
        raise BadBook("crossed book")
    return bids, asks


def index_price(text: str) -> int:
    """An index value; one that is printed finer than 1e-9 is cut there. Raises `BadNumber` or, for zero, `BadBook`."""
    whole, point, part = text.partition(".")
    if part and not part.isdigit():
        raise BadNumber(f"{text[:32]!r} is not a plain decimal number")
    price = scaled(f"{whole}{point}{part[:9]}")
    if not price:
        raise BadBook("index value of zero")
    return price

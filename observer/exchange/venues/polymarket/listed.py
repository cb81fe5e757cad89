"""Polymarket's things: series, events, markets, and how their ids look."""

from collections.abc import Callable
from dataclasses import dataclass, field

from observer.exchange.markets.binary import Binary
from observer.exchange.wire import identifier
from observer.kit.clock import NS_PER_S
from observer.records import DOWN, UP

# A market that was just made is not everywhere yet.
HYDRATION_NS = 120 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Tag:
    """A word that events are found by."""

    number: int
    label: str
    slug: str


@dataclass(frozen=True, slots=True)
class Series:
    """A family of rolling events."""

    number: int
    slug: str
    title: str
    recurrence: str


@dataclass(frozen=True, slots=True)
class Fees:
    """A market's taker fees, as Gamma tells them."""

    kind: str
    rate: float
    exponent: int = 1
    rebate: float = 0.2


@dataclass(eq=False)
class Event:
    """A question, or several under one title.

    Attributes:
        made_ns: when it was listed.
        start_ns, end_ns: the window of a rolling event; otherwise when it was listed, and when it ends.
        asset, span: "btc" and "15m" for rolling crypto events, else "".
    """

    number: int
    slug: str
    title: str
    made_ns: int
    start_ns: int
    end_ns: int
    tags: tuple[Tag, ...]
    series: Series | None = None
    asset: str = ""
    span: str = ""
    description: str = ""
    markets: "list[Listed]" = field(default_factory=list)


@dataclass(eq=False)
class Listed:
    """One market.

    Attributes:
        outcomes: names of the tokens Up and Down.
        version: "v1" or "v2" of the protocol, which decides how ids look.
        source: who settles it; "" where people do (UMA).
        closes_ns: when its result is known and its books go; some time after the event's end.
        make: builds its books when somebody first asks.
        strike, final: what the window began and ended at; None while (or where) not known.
        payoff_up: what a share of Up pays, None before the end. Read it only after `closes_ns`.
        is_announced: whether `market_resolved` is sent; the real feed forgets some.
    """

    number: int
    slug: str
    question: str
    event: Event
    outcomes: tuple[str, str]
    version: str
    source: str
    fees: Fees
    closes_ns: int
    make: "Callable[[Listed], Binary]"
    strike: Callable[[], float | None] = lambda: None
    final: Callable[[], float | None] = lambda: None
    payoff_up: Callable[[], float | None] = lambda: None
    is_negative_risk: bool = False
    is_announced: bool = True
    condition_id: str = ""
    tokens: tuple[str, str] = ("", "")
    _market: Binary | None = None

    def __post_init__(self) -> None:
        self.condition_id = condition_id(self.slug, self.version)
        self.tokens = (token_id(self.slug, UP, self.version), token_id(self.slug, DOWN, self.version))

    @property
    def market(self) -> Binary:
        """Its books, made when they are first needed."""
        if self._market is None:
            self._market = self.make(self)
        return self._market

    def token(self, which: int) -> str:
        """The id of token `records.UP` or `records.DOWN`."""
        return self.tokens[0 if which == UP else 1]

    def which(self, token: str) -> int:
        """`records.UP` or `records.DOWN`."""
        return UP if token == self.tokens[0] else DOWN

    def is_hydrated(self, now_ns: int) -> bool:
        """Whether the order book side of the venue knows it yet."""
        return now_ns >= self.event.made_ns + HYDRATION_NS

    def is_closed(self, now_ns: int) -> bool:
        """Whether its result is known."""
        return now_ns >= self.closes_ns


def condition_id(slug: str, version: str) -> str:
    """32 bytes in hex, or 31 for protocol V2."""
    return "0x" + identifier("condition", slug)[: 62 if version == "v2" else 64]


def token_id(slug: str, which: int, version: str) -> str:
    """A long decimal number. In protocol V2 it shows its module (top byte) and its outcome (last byte)."""
    number = int(identifier("token", slug, which), 16)
    if version == "v1":
        return str(number)
    body = int(identifier("position", slug), 16) & ~(((1 << 64) - 1) << 40) & ~(0xFF << 248) & ~0xFF
    return str(body | (1 << 248) | (0 if which == UP else 1))

"""The kinds of rolling crypto windows: how long, on which grid, what their slugs look like, what settles them.

Five- and fifteen-minute windows start on multiples of their length in UTC; hourly ones on the hour, with a date in
words for a slug; four-hour ones on New York's clock, so their UTC starts move by an hour twice a year. The hourly ones
settle on Binance's candle, all others on the average of the oracle's last minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from observer.exchange.markets.coins import Coin
from observer.exchange.venues.polymarket.listed import Series, Tag
from observer.kit.clock import NS_PER_S

_NEW_YORK = ZoneInfo("America/New_York")
_HOUR_NS = 3_600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Span:
    """One kind of window.

    Attributes:
        name: as slugs and configurations call it.
        seconds: its length.
        series_number: of BTC's series; other coins' follow.
        series_name: the last part of the series' slug.
        tag: what events carry.
        is_candle: whether it settles on Binance's candle.
    """

    name: str
    seconds: int
    series_number: int
    series_name: str
    tag: Tag
    is_candle: bool = False

    @property
    def width_ns(self) -> int:
        """Its length, ns."""
        return self.seconds * NS_PER_S

    def opening(self, ns: int) -> int:
        """When the window that is open at `ns` opened."""
        if self.name != "4h":
            return ns // self.width_ns * self.width_ns
        local = datetime.fromtimestamp(ns // NS_PER_S, UTC).astimezone(_NEW_YORK)
        start = local.replace(hour=local.hour // 4 * 4, minute=0, second=0, fold=0)
        return int(start.timestamp()) * NS_PER_S

    def after(self, open_ns: int) -> int:
        """When the next window opens."""
        later_ns = open_ns + self.width_ns
        while self.opening(later_ns) <= open_ns:  # an hour that New York lives twice
            later_ns += _HOUR_NS
        return self.opening(later_ns)

    def openings(self, first_ns: int, last_ns: int) -> Iterator[int]:
        """Every opening from the window that is open at `first_ns` to `last_ns`."""
        open_ns = self.opening(first_ns)
        while open_ns <= last_ns:
            yield open_ns
            open_ns = self.after(open_ns)

    def slug(self, coin: Coin, open_ns: int) -> str:
        """The slug of a window's event and market."""
        if self.name != "1h":
            return f"{coin.slug}-updown-{self.name}-{open_ns // NS_PER_S}"
        start = _local(open_ns)
        day = f"{start:%B}".lower() + f"-{start.day}-{start.year}"
        return f"{coin.word.lower()}-up-or-down-{day}-{start.hour % 12 or 12}{start:%p}".lower() + "-et"

    def title(self, coin: Coin, open_ns: int) -> str:
        """The title, in New York's time; it repeats when the clock is set back."""
        start, end = _local(open_ns), _local(open_ns + self.width_ns)
        return f"{coin.word} Up or Down - {start:%B} {start.day}, {_hour(start)}-{_hour(end)} ET"

    def series(self, place: int, coin: Coin) -> Series:
        """The series of the `place`-th coin."""
        slug = f"{coin.slug}-up-or-down-{self.series_name}"
        return Series(self.series_number + place * 7, slug, f"{coin.name} Up or Down {self.series_name}", self.name)

    def source(self, coin: Coin) -> str:
        """Where the result is read."""
        if self.is_candle:
            return f"https://www.binance.com/en/trade/{coin.name}_USDT"
        return f"https://data.chain.link/streams/{coin.slug}-usd"

    def rule(self, coin: Coin) -> str:
        """What makes it Up."""
        if self.is_candle:
            return (
                f'Resolves to "Up" if the close of the {coin.name}/USDT 1 hour candle on Binance that begins at the '
                'time in the title is greater than or equal to its open, otherwise to "Down".'
            )
        return (
            f'Resolves to "Up" if the time-weighted average {coin.word} price at the end of the range is greater than '
            f'or equal to that at its beginning, otherwise to "Down". Source: Chainlink {coin.name}/USD.'
        )


SPANS: dict[str, Span] = {
    span.name: span
    for span in (
        Span("5m", 300, 10684, "5m", Tag(102892, "5M", "5M")),
        Span("15m", 900, 10192, "15m", Tag(102467, "15M", "15M")),
        Span("1h", 3_600, 10114, "hourly", Tag(102175, "1H", "1H"), is_candle=True),
        Span("4h", 14_400, 10331, "4h", Tag(102531, "4h", "4h")),
    )
}


def _local(ns: int) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // NS_PER_S)).astimezone(_NEW_YORK)


def _hour(when: datetime) -> str:
    return f"{when.hour % 12 or 12}:{when:%M%p}"

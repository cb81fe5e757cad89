"""Markets that have closed and whose outcome is still to come; kept over a restart, asked for ever more rarely."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from observer.kit import log
from observer.kit.clock import NS_PER_S
from observer.ports import Instrument, Listing
from observer.store.market_rows import market_from, market_row

FIRST_ASK_S = 20
_LOG = log.get("outcomes")
_LONGEST_S = 600
_GIVE_UP_S = 3 * 86_400


@dataclass(slots=True)
class PendingMarket:
    """A market without an outcome yet."""

    listing: Listing
    next_ns: int
    wait_s: int = FIRST_ASK_S


class Pending:
    """What is still to be asked, as a table and as the file that survives us.

    Args:
        path: the file; read at once where it exists. One that cannot be read is set aside: it must not keep the
            recorder from starting, and outcomes can be asked for later (`mlx-rl data report` says which are missing).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.markets: dict[str, PendingMarket] = {}
        self.is_changed = False
        if path.exists():
            for listing in _read(path):
                self._add(listing)
            self.is_changed = False

    def add(self, listing: Listing) -> None:
        """Ask about this market once it has closed; only the last of the windows cut from one market has an outcome."""
        if listing.ends_ns in (0, listing.market.close_ns):
            self._add(listing)

    def known(self, market_id: str) -> None:
        """The outcome has come."""
        if self.markets.pop(market_id, None) is not None:
            self.is_changed = True

    def due(self, venue: str, now_ns: int) -> list[PendingMarket]:
        """Markets to ask about now; each is asked after ever longer waits, and no longer after three days."""
        asked: list[PendingMarket] = []
        for market_id, market in list(self.markets.items()):
            if market.listing.market.venue != venue or now_ns < market.next_ns:
                continue
            if now_ns - market.listing.market.close_ns > _GIVE_UP_S * NS_PER_S:
                _LOG.warning("%s: no outcome of %s three days after its close; not asked again", venue, market_id)
                self.known(market_id)
                continue
            market.next_ns = now_ns + market.wait_s * NS_PER_S
            market.wait_s = min(2 * market.wait_s, _LONGEST_S)
            asked.append(market)
        return asked

    def to_bytes(self) -> bytes:
        """The file's content; also takes back `is_changed`."""
        self.is_changed = False
        return msgspec.json.encode([_row(market.listing) for market in self.markets.values()])

    def _add(self, listing: Listing) -> None:
        market = listing.market
        if market.market_id not in self.markets:
            self.markets[market.market_id] = PendingMarket(listing, market.close_ns + FIRST_ASK_S * NS_PER_S)
            self.is_changed = True


def _row(listing: Listing) -> dict[str, Any]:
    return {
        "market": market_row(listing.market),
        "condition_id": listing.condition_id,
        "tags": listing.tags,
        "instruments": [(i.venue, i.key, i.market_id, i.token, i.symbol) for i in listing.instruments],
    }


def _read(path: Path) -> list[Listing]:
    """The markets of an earlier run; none where its file is damaged or of a version that wrote other fields."""
    try:
        return [_listing_from(row) for row in msgspec.json.decode(path.read_bytes())]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        aside = path.with_suffix(".bad")
        path.replace(aside)
        _LOG.error("%s cannot be read (%r): set aside as %s; its outcomes are not asked for", path, error, aside.name)
        return []


def _listing_from(row: dict[str, Any]) -> Listing:
    instruments = tuple(Instrument(*fields) for fields in row["instruments"])
    return Listing(market_from(row["market"]), instruments, tags=tuple(row["tags"]), condition_id=row["condition_id"])

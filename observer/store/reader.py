"""Reading a recording as it was known at a time, and not a nanosecond later.

    recording = Recording("data")
    for tape in recording.tapes("btc-updown-15m"):
        ...
    seen = recording.as_of(market_id, now_ns)   # ticks with recv_ns <= now_ns, nothing else

Opening a recording reads its manifests only. A tape is found through them, so reading one market decodes one
row group; walking all tapes keeps a few row groups in memory, never the recording. This module cannot open
the outcomes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording
from observer.records import REFERENCE as REFERENCE_COLUMN
from observer.records import Market, Tape
from observer.store.columns import trades_from
from observer.store.groups import Feeds, Groups, Place, Tapes
from observer.store.manifest import Manifest, load
from observer.store.market_rows import market_from
from observer.store.reference import MAX_AGE_S, Prices, by_preference, fill_reference
from observer.store.schemas import BOOK, GAPS, MARKETS, REFERENCE, TICKS, TRADES, Table
from observer.store.screen import Gap
from observer.store.tables import read_merged
from observer.store.trades import Trades

# Decoded row groups that a walk over all tapes keeps: enough for a few venues recorded side by side.
_KEPT_GROUPS = 4


class Recording:
    """A recording on disk.

    Args:
        data_dir: the folder that holds `dataset.json`.

    Raises:
        BadRecording: there is no recording, or its manifests are damaged.
    """

    root: Path
    dataset_id: str

    def __init__(self, data_dir: Path | str) -> None:
        self.root = Path(data_dir)
        index, self.manifests = load(self.root)
        self.dataset_id = index.dataset_id
        self._places: dict[str, dict[str, Place]] = {}
        for manifest in self.manifests:
            places = self._places.setdefault(manifest.table, {})
            places.update({key: (manifest, item) for key, item in manifest.items.items()})
        self._markets: dict[str, Market] | None = None

    def markets(self) -> list[Market]:
        """Every market of the recording, sorted by series and opening time."""
        return sorted(self._by_id().values(), key=lambda m: (m.series, m.open_ns, m.market_id))

    def market(self, market_id: str) -> Market:
        """One market; raises `BadRecording` for an id that is not in the recording."""
        known = self._by_id()
        if market_id not in known:
            raise BadRecording(
                f"{self.root} holds no market {market_id!r}; it holds {len(known)}. "
                f"List them with: mlx-rl data report --data-dir {self.root} --json"
            )
        return known[market_id]

    def n_ticks(self, market_id: str) -> int:
        """How many ticks a market has, from the manifests alone; raises `BadRecording` for an unknown market."""
        return self._places[TICKS.name][self.market(market_id).market_id][1].rows

    def tape(self, market_id: str) -> Tape:
        """A market's whole window; raises `BadRecording` for an unknown market or a damaged file."""
        return self._tape(self.market(market_id), Tapes(self.root, 1), self._feeds(1))

    def tapes(self, series: str | None = None) -> Iterator[Tape]:
        """Every tape, or one series', in time order (opening time, then series and id), one at a time.

        Raises:
            BadRecording: no such series, or a damaged file.
        """
        markets = [m for m in self._by_id().values() if series is None or m.series == series]
        if series is not None and not markets:
            known = sorted({m.series for m in self._by_id().values()})
            raise BadRecording(f"{self.root} holds no series {series!r}. It holds: {', '.join(known)}.")
        tapes, feeds = Tapes(self.root, _KEPT_GROUPS), self._feeds(_KEPT_GROUPS)
        for market in sorted(markets, key=lambda m: (m.open_ns, m.series, m.market_id)):
            yield self._tape(market, tapes, feeds)

    def as_of(self, market_id: str, now_ns: int) -> Tape:
        """What was known of a market at `now_ns`: its ticks with recv_ns <= now_ns."""
        return self.tape(market_id).until(now_ns)

    def trades(self, market_id: str) -> Trades | None:
        """A market's recorded trades in order of arrival, or None where its source had none."""
        place = self._places.get(TRADES.name, {}).get(self.market(market_id).market_id)
        if place is None:
            return None
        group = Groups(self.root, 1, lambda table: table).of(place)
        return trades_from(group.slice(place[1].first, place[1].rows))

    def references(self) -> list[tuple[str, str]]:
        """(symbol, source) of every recorded reference feed."""
        return self._feeds(1).names()

    def reference(self, symbol: str, source: str, start_ns: int, end_ns: int) -> Prices:
        """Prices of an underlying that arrived in [start_ns, end_ns]; empty where there are none."""
        return self._feeds(1).between(symbol, source, start_ns, end_ns)

    def gaps(self) -> list[Gap]:
        """Every span from which nothing usable was recorded, by market and time."""
        gaps = [Gap(**row) for row in self._rows_of(GAPS)]
        return sorted(gaps, key=lambda gap: (gap.market_id, gap.start_ns, gap.end_ns, gap.reason))

    def partitions(self, table: Table) -> list[Manifest]:
        """The manifests of one table."""
        return [manifest for manifest in self.manifests if manifest.table == table.name]

    def _rows_of(self, table: Table) -> list[dict]:
        return [row for manifest in self.partitions(table) for row in read_merged(self.root, manifest)]

    def _by_id(self) -> dict[str, Market]:
        if self._markets is None:
            self._markets = {row["market_id"]: market_from(row) for row in self._rows_of(MARKETS)}
        return self._markets

    def _feeds(self, keep: int) -> Feeds:
        return Feeds(self.root, keep, self._places.get(REFERENCE.name, {}))

    def _tape(self, market: Market, tapes: Tapes, feeds: Feeds) -> Tape:
        recv_ns, rows = tapes.ticks(self._places[TICKS.name][market.market_id])
        place = self._places.get(BOOK.name, {}).get(market.market_id)
        ladder = None if place is None else tapes.ladder(place)
        if np.isnan(rows[:, REFERENCE_COLUMN]).any():
            start_ns, end_ns = int(recv_ns[0]) - int(MAX_AGE_S * NS_PER_S), int(recv_ns[-1])
            sources = by_preference([source for symbol, source in feeds.names() if symbol == market.symbol])
            found = [feeds.between(market.symbol, source, start_ns, end_ns) for source in sources]
            fill_reference(recv_ns, rows, [prices for prices in found if len(prices.recv_ns)])
        return Tape(market, recv_ns, rows, ladder)

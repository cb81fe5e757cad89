"""Row groups, decoded one at a time, and the reference feeds found through them."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from observer.records import Ladder
from observer.store.columns import ladder_from, rows_from
from observer.store.manifest import Item, Manifest, folder_of
from observer.store.reference import Prices
from observer.store.tables import open_parquet, read_group

T = TypeVar("T")
Place = tuple[Manifest, Item]
Columns = tuple[NDArray[np.int64], NDArray[np.float64]]


class Groups(Generic[T]):
    """Decodes row groups, keeping the last few used.

    Args:
        root: the recording.
        keep: how many decoded groups to hold.
        decode: what to make of a group.
    """

    def __init__(self, root: Path, keep: int, decode: Callable[[pa.Table], T]) -> None:
        self._root, self._keep, self._decode = root, keep, decode
        self._groups: OrderedDict[tuple[Path, int], T] = OrderedDict()
        self._file: tuple[Path, pq.ParquetFile] | None = None

    def of(self, place: Place) -> T:
        """The whole decoded group in which the item lies; the caller must copy what it hands on."""
        manifest, item = place
        path = folder_of(self._root, manifest.key) / item.file
        key = (path, item.group)
        if key not in self._groups:
            if self._file is None or self._file[0] != path:
                self._file = (path, open_parquet(path))
            while len(self._groups) >= self._keep:
                self._groups.popitem(last=False)
            self._groups[key] = self._decode(read_group(self._file[1], path, item.group))
        self._groups.move_to_end(key)
        return self._groups[key]


def decode_ticks(table: pa.Table) -> Columns:
    """Clock and (T, C) rows of a group of ticks."""
    return table.column("recv_ns").to_numpy(), rows_from(table)


def decode_prices(table: pa.Table) -> Columns:
    """Clock and prices of a group of reference prices."""
    return table.column("recv_ns").to_numpy(), table.column("price").to_numpy()


class Tapes:
    """Ticks and depth of single markets, as copies that the caller owns."""

    def __init__(self, root: Path, keep: int) -> None:
        self._ticks = Groups(root, keep, decode_ticks)
        self._book = Groups(root, keep, ladder_from)

    def ticks(self, place: Place) -> Columns:
        """Clock and rows of one tape."""
        recv_ns, rows = self._ticks.of(place)
        part = slice(place[1].first, place[1].first + place[1].rows)
        return recv_ns[part].copy(), rows[part].copy()

    def ladder(self, place: Place) -> Ladder:
        """Recorded depth of one tape."""
        whole = self._book.of(place)
        part = slice(place[1].first, place[1].first + place[1].rows)
        return Ladder(whole.price[part].copy(), whole.size[part].copy())


class Feeds:
    """The recorded reference feeds: which there are, and their prices over a span."""

    def __init__(self, root: Path, keep: int, items: dict[str, Place]) -> None:
        self._groups = Groups(root, keep, decode_prices)
        self._chunks: dict[tuple[str, str], list[Place]] = {}
        for key, place in sorted(items.items(), key=lambda pair: pair[1][1].min_ns):
            symbol = key.removeprefix(f"{place[0].partition}/").rsplit("@", 1)[0]
            source = place[0].partition.split("/", 1)[0].removeprefix("venue=")
            self._chunks.setdefault((symbol, source), []).append(place)

    def names(self) -> list[tuple[str, str]]:
        """(symbol, source) of every feed."""
        return sorted(self._chunks)

    def between(self, symbol: str, source: str, start_ns: int, end_ns: int) -> Prices:
        """Prices that arrived in [start_ns, end_ns], in order of arrival."""
        times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        prices: list[NDArray[np.float64]] = [np.empty(0)]
        for place in self._chunks.get((symbol, source), []):
            item = place[1]
            if item.min_ns <= end_ns and item.max_ns >= start_ns:
                recv_ns, price = self._groups.of(place)
                chunk = recv_ns[item.first : item.first + item.rows]
                first = item.first + int(np.searchsorted(chunk, start_ns, side="left"))
                last = item.first + int(np.searchsorted(chunk, end_ns, side="right"))
                times.append(recv_ns[first:last])
                prices.append(price[first:last])
        return Prices(np.concatenate(times), np.concatenate(prices))

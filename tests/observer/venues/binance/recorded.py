"""The recorded books of Binance, as the frames and REST answers they once were."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from observer.kit.clock import NS_PER_MS

DECIMALS = {"spot": (2, 8), "usdm": (2, 3), "cm": (2, 0)}  # of prices and sizes on the wire


class Recorded(NamedTuple):
    """One message: when it came, and what it said."""

    recv_ns: int
    payload: bytes


class Folder:
    """One instrument's recording, e.g. `usdm_btcusdt`, up to `seconds` after its first event."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.kind = path.name.partition("_")[0]
        self.symbol = path.name.partition("_")[2].upper()
        self._price, self._size = (f"%.{digits}f" for digits in DECIMALS[self.kind])
        first_ns = int(self._column("depth_diff", "ts_recv_ns")[0])
        self.until_ns = first_ns + int(seconds * 1e9)

    def snapshot(self) -> Recorded:
        """The REST answer of the recording."""
        table = self._table("depth_snapshot")
        sides = {
            side: ",".join(
                f'["{self._price % price}","{self._size % size}"]'
                for price, size in zip(
                    table["price"][table["side"] == side], table["size"][table["side"] == side], strict=True
                )
            )
            for side in ("bid", "ask")
        }
        body = f'{{"lastUpdateId":{table["last_update_id"][0]},"bids":[{sides["bid"]}],"asks":[{sides["ask"]}]}}'
        return Recorded(int(table["ts_recv_ns"][0]), body.encode())

    def depth(self) -> Iterator[Recorded]:
        """The depth events, wrapped as a combined stream wraps them."""
        table = self._table("depth_diff")
        starts = np.flatnonzero(np.diff(table["last_update_id"], prepend=-1))
        ends = np.append(starts[1:], len(table["side"]))
        is_bid = table["side"] == "bid"
        texts = [
            f'["{self._price % price}","{self._size % size}"]'
            for price, size in zip(table["price"].tolist(), table["size"].tolist(), strict=True)
        ]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            made_ms = int(table["ts_exch"][start]) // NS_PER_MS
            more = f',"T":{made_ms},"pu":{table["prev_update_id"][start]}' if self.kind != "spot" else ""
            bids = ",".join(texts[i] for i in range(start, end) if is_bid[i])
            asks = ",".join(texts[i] for i in range(start, end) if not is_bid[i])
            yield Recorded(
                int(table["ts_recv_ns"][start]),
                (
                    f'{{"stream":"{self.symbol.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":{made_ms},'
                    f'"s":"{self.symbol}","U":{table["first_update_id"][start]},"u":{table["last_update_id"][start]}'
                    f'{more},"b":[{bids}],"a":[{asks}]}}}}'
                ).encode(),
            )

    def trades(self) -> Iterator[tuple[Recorded, str]]:
        """The trades as frames, each with the recorded taker side."""
        table = self._table("trades")
        for i in range(len(table["price"])):
            made_ms = int(table["ts_exch"][i]) // NS_PER_MS
            kind = f',"X":"{table["order_type"][i]}"' if "order_type" in table else ""
            is_maker = "true" if table["aggressor"][i] == "sell" else "false"
            yield (
                Recorded(
                    int(table["ts_recv_ns"][i]),
                    (
                        f'{{"stream":"{self.symbol.lower()}@trade","data":{{"e":"trade","E":{made_ms},"T":{made_ms},'
                        f'"s":"{self.symbol}","t":{table["trade_id"][i]},"p":"{self._price % table["price"][i]}",'
                        f'"q":"{self._size % table["size"][i]}"{kind},"m":{is_maker}}}}}'
                    ).encode(),
                ),
                table["aggressor"][i],
            )

    def tickers(self) -> dict[str, NDArray[np.float64]]:
        """Best prices by update id: columns `update_id`, `bid`, `bid_size`, `ask`, `ask_size`."""
        return self._table("book_ticker")

    def top10(self) -> dict[str, NDArray[np.float64]]:
        """The top ten levels on a 100 ms grid: `ts_recv_ns`, `bid_px_0`, ..."""
        return self._table("book_top10_100ms")

    def _table(self, name: str) -> dict[str, NDArray[np.float64]]:
        table = pq.read_table(self.path / f"{name}.parquet")
        found = {column: self._numpy(table[column]) for column in table.column_names}
        keep = found["ts_recv_ns"] <= self.until_ns
        return {column: values[keep] for column, values in found.items()}

    def _column(self, name: str, column: str) -> NDArray[np.float64]:
        return self._numpy(pq.read_table(self.path / f"{name}.parquet", columns=[column])[column])

    @staticmethod
    def _numpy(column) -> NDArray[np.float64]:
        values = column.to_numpy()
        return values.astype("datetime64[ns]").astype(np.int64) if values.dtype.kind == "M" else values

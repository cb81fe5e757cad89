"""The one way into a recording: checked, all or nothing, and the same twice.

    with RecordingWriter("data") as writer:
        writer.write_tape(tape)
        writer.write_outcome(tape.market.market_id, 1.0, "official", "venue")
    print(writer.summary)

Nothing is visible until the block ends well; if it raises, the recording is as it was. Writing what is
already there changes no byte and is counted as unchanged. Writing something else under a known name is refused.
One market's rows must fit in memory; a recording need not.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from observer.kit.clock import iso
from observer.kit.errors import BadRecording
from observer.records import UNKNOWN_NS, Tape
from observer.store import columns, content
from observer.store.checks import (
    check_instrument_trades,
    check_reference,
    check_tape,
    check_trades,
)
from observer.store.commit import commit
from observer.store.files import FolderLock, to_json_bytes
from observer.store.manifest import HOUR_NS, partition_of
from observer.store.market_rows import market_row, plain_market
from observer.store.outcomes import Kind, Outcome, check_outcome
from observer.store.parts import PartsInProgress
from observer.store.schemas import BOOK, GAPS, MARKETS, OUTCOMES, REFERENCE, TICKS, TRADES, Table
from observer.store.state import State
from observer.store.trades import Trades


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """What one writer did.

    Attributes:
        new_tapes, unchanged_tapes: windows added, and windows that were already there, equal.
        new_ticks: rows added to `ticks`.
        new_items: tapes, ladders and chunks added, over all tables; `unchanged_items` were already there.
        changed: whether any byte of the recording changed.
        dataset_id: after the write.
    """

    new_tapes: int
    unchanged_tapes: int
    new_ticks: int
    new_items: int
    unchanged_items: int
    changed: bool
    dataset_id: str


class RecordingWriter:
    """Writes tapes, references, gaps and outcomes into the recording at `root`; a context manager.

    Args:
        root: the data folder; made if it does not exist.
        connection: id of the connection the records came through, stored with trades and reference prices.

    Raises:
        UsageError: another process is writing to it (on entry).
        BadRecording: the recording is damaged (on entry), or what is written breaks a law of the store.
    """

    summary: WriteSummary

    def __init__(self, root: Path | str, *, connection: str = "import") -> None:
        self.root = Path(root)
        self.connection = connection
        self._lock = FolderLock(self.root)
        self._incoming = self.root / ".incoming"
        self._new: dict[str, int] = {}
        self._unchanged: dict[str, int] = {}
        self._new_ticks = 0

    def __enter__(self) -> "RecordingWriter":
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock.take()
        try:
            shutil.rmtree(self._incoming, ignore_errors=True)  # a killed writer's; the lock says that it is gone
            self._incoming.mkdir()
            self._state = State.read(self.root)
            self._parts = PartsInProgress(self._incoming)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                index, changed = commit(self._state, self._parts.close_all(), self._incoming)
                self.summary = WriteSummary(
                    new_tapes=self._new.get(TICKS.name, 0),
                    unchanged_tapes=self._unchanged.get(TICKS.name, 0),
                    new_ticks=self._new_ticks,
                    new_items=sum(self._new.values()),
                    unchanged_items=sum(self._unchanged.values()),
                    changed=changed,
                    dataset_id=index.dataset_id,
                )
            else:
                self._parts.abandon()
        finally:
            self._state.catalog.close()
            shutil.rmtree(self._incoming, ignore_errors=True)
            self._lock.release()

    def write_tape(self, tape: Tape, trades: Trades | None = None) -> bool:
        """Add one window; return False where it is already there, equal.

        Args:
            tape: the window; every law of `observer.store.checks` must hold.
            trades: its trades, kept in table `trades`. The rows must already carry their flow (`trades.with_flow`).

        Raises:
            BadRecording: a law is broken, or the market is already recorded with other content.
        """
        check_tape(tape)
        market = plain_market(tape.market)
        name, where = market.market_id, partition_of(market.venue, market.open_ns)
        if trades is not None:
            check_trades(trades, market)
        span = (int(tape.recv_ns[0]), int(tape.recv_ns[-1]))
        is_new = self._append(TICKS, where, name, content.hash_ticks(tape), lambda: columns.ticks_table(tape), span)
        self._state.merge(MARKETS, where, market_row(market))
        if tape.ladder is not None:
            ladder = tape.ladder
            digest = content.hash_ladder(tape.recv_ns, ladder)
            self._append(BOOK, where, name, digest, lambda: columns.book_table(tape, ladder), span)
        if trades is not None and len(trades):
            span = (int(trades.recv_ns[0]), int(trades.recv_ns[-1]))
            digest = content.hash_trades(trades)
            self._append(TRADES, where, name, digest, lambda: columns.trades_table(name, trades, self.connection), span)
        self._new_ticks += len(tape) if is_new else 0
        return is_new

    def holds(self, market_id: str) -> bool:
        """Whether a market is there with all that belongs to it, or was written just now.

        Its row in `markets` comes last, so after a commit that was cut short the tape may be there and the market not.
        """
        known = self._state.tape(market_id)
        return known is not None and market_id in self._state.merged(MARKETS, known[0])

    def write_reference(
        self,
        symbol: str,
        source: str,
        recv_ns: NDArray[np.int64],
        venue_ns: NDArray[np.int64] | None,
        price: NDArray[np.float64],
    ) -> None:
        """Add prices of an underlying, (N,) each, in order of arrival.

        Args:
            symbol: the underlying, e.g. "BTC", as in `Market.symbol`.
            source: who quotes it, e.g. "binance-spot"; also the folder's venue.
            recv_ns: our clock, never decreasing.
            venue_ns: the venue's clock, or None where the source has none.
            price: USD.

        Raises:
            BadRecording: a law is broken, or the span is already recorded with other content.
        """
        check_reference(symbol, source, recv_ns, price)
        venue_ns = np.full(len(recv_ns), UNKNOWN_NS) if venue_ns is None else venue_ns
        for chunk in _by_hour(recv_ns):
            times, venue, values = recv_ns[chunk], venue_ns[chunk], price[chunk]
            where, digest = partition_of(source, int(times[0])), content.hash_reference(times, venue, values)
            self._append_chunk(
                REFERENCE, where, symbol, times, digest,
                lambda t=times, v=venue, p=values: columns.reference_table(symbol, source, t, v, p, self.connection),
            )  # fmt: skip

    def write_trades(self, instrument: str, venue: str, trades: Trades) -> None:
        """Add trades of an underlying, which has no window; raises `BadRecording` as `write_reference` does."""
        check_instrument_trades(instrument, trades)
        for chunk in _by_hour(trades.recv_ns):
            part = trades[chunk]
            self._append_chunk(
                TRADES, partition_of(venue, int(part.recv_ns[0])), instrument, part.recv_ns, content.hash_trades(part),
                lambda t=part: columns.trades_table(instrument, t, self.connection),
            )  # fmt: skip

    def write_gap(self, market_id: str, start_ns: int, end_ns: int, reason: str) -> None:
        """Record that nothing usable was recorded of a market from `start_ns` to `end_ns`.

        Raises:
            BadRecording: the market is not in the recording (write its tape first), or the span ends before it starts.
        """
        if end_ns < start_ns:
            raise BadRecording(f"gap of {market_id} ends at {iso(end_ns)}, before it starts at {iso(start_ns)}.")
        row = {"market_id": market_id, "start_ns": int(start_ns), "end_ns": int(end_ns), "reason": reason}
        self._state.merge(GAPS, self._where(market_id, "gap"), row)

    def write_outcome(self, market_id: str, payoff_up: float, kind: Kind, source: str) -> None:
        """Record how a market ended, in the outcomes kept apart.

        Args:
            market_id: a market whose tape has been written.
            payoff_up: USD per Up share: 1, 0, or 0.5 for a void market.
            kind: "official", "inferred" or "synthetic".
            source: who says so.

        Raises:
            BadRecording: an impossible outcome, an unknown market, or another payoff of the same kind on record.
        """
        outcome = Outcome(market_id, float(payoff_up), kind, source)
        check_outcome(outcome)
        where = self._where(market_id, "outcome")
        close_ns = self._state.merged(MARKETS, where)[market_id]["close_ns"]
        self._state.merge(OUTCOMES, where, {**asdict(outcome), "close_ns": close_ns})

    def write_log(self, name: str, report: dict[str, Any]) -> None:
        """Keep what an import refused, as `imports/NAME-HASH.json`; equal reports are one file."""
        self._state.add_log(name, to_json_bytes(report))

    def _append(
        self, table: Table, where: str, key: str, sha256: str, make: Callable[[], pa.Table], span: tuple[int, int]
    ) -> bool:
        known = self._state.known(table, where, key)
        if known is not None and known != (where, sha256):
            raise BadRecording(
                f"market {key}: {self.root} already holds other {table.name} under this name. Import into a new data "
                "folder, or leave this market out."
            )
        counts = self._new if known is None else self._unchanged
        counts[table.name] = counts.get(table.name, 0) + 1
        if known is None:
            self._state.learn(table, key, where, sha256)
            self._parts.add(table, where, key, sha256, make(), span)
        return known is None

    def _append_chunk(
        self, table: Table, where: str, name: str, times: NDArray[np.int64], sha256: str, make: Callable[[], pa.Table]
    ) -> None:
        """Add one hour's chunk of a stream; chunks of one stream may not overlap unless they are equal."""
        span = (int(times[0]), int(times[-1]))
        key = f"{where}/{name}@{span[0]}"
        clash = self._state.overlap(table, where, name, span)
        if clash is not None and (clash != span or self._state.known(table, where, key) != (where, sha256)):
            raise BadRecording(
                f"{table.name} of {name} in {where}: {self.root} already holds other records from {iso(clash[0])} to "
                f"{iso(clash[1])}. Import into a new data folder, or leave this span out."
            )
        self._append(table, where, key, sha256, make, span)
        self._state.learn_span(table, where, name, span)

    def _where(self, market_id: str, what: str) -> str:
        known = self._state.tape(market_id)
        if known is None:
            raise BadRecording(f"{what} of market {market_id}, whose tape is not in {self.root}. Write its tape first.")
        return known[0]


def _by_hour(recv_ns: NDArray[np.int64]) -> list[slice]:
    """Cut a stream where the hour changes."""
    cuts = np.flatnonzero(np.diff(recv_ns // HOUR_NS)) + 1
    edges = [0, *cuts.tolist(), len(recv_ns)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]

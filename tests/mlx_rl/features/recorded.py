"""Recorded quarter-hour markets as tapes, brought in by their importer, for tests of the feature kernel."""

from functools import cache
from tempfile import TemporaryDirectory

from observer.importers.job import bring_in
from observer.records import Tape
from observer.store.reader import Recording
from tests.samples.shared_data import shared


@cache
def recorded_tapes(folder: str) -> tuple[Tape, ...]:
    """All windows of a development recording of Polymarket quarter-hours, in time order; skips where it is absent."""
    kind = "polymarket_btc15m_top_1s" if "top" in folder else "polymarket_btc15m_1s"
    with TemporaryDirectory() as data_dir:
        bring_in(kind, shared(folder), data_dir)
        return tuple(Recording(data_dir).tapes())

"""A recorded session of Kraken's first protocol, retold in the second: the venue's own checksums stay right.

The recording is of 2021 (ten small pairs, depth 1000). Its messages are arrays and its numbers quoted, and snapshots
have no checksum; text, order, totals, depth and the checksum's arithmetic are those of today.
"""

import json
from collections.abc import Iterator

import pytest

from observer.kit.clock import NS_PER_S
from observer.ports import Instrument
from observer.venues.kraken import book as book_module
from observer.venues.kraken import decoder as decoder_module
from observer.venues.kraken.decoder import KrakenDecoder
from tests.samples import kraken_session as kraken
from tests.samples.recording_line import RecordingLine
from tests.samples.shared_data import shared

DEPTH = 1000
MOST_USD = 9.2e9


def retold() -> Iterator[bytes]:
    """The recorded book messages in today's form."""
    import pyarrow.parquet as pq

    table = pq.read_table(shared("raw_ws_samples/cryptofeed_multi_venue_2021_2022.parquet"))
    for venue, direction, payload in zip(
        *(table[name].to_pylist() for name in ("venue", "direction", "payload")), strict=True
    ):
        if venue != "kraken" or direction != "in" or not payload.startswith("["):
            continue
        _, *parts, _, symbol = json.loads(payload)
        merged = {key: value for part in parts for key, value in part.items()}
        bids, asks = (_levels(merged.get(f"{side}s", merged.get(side, []))) for side in "ba")
        kind = "snapshot" if "as" in merged else "update"
        check = kraken.checksum(bids, asks) if kind == "snapshot" else int(merged["c"])
        yield kraken.book(kind, bids, asks, check, symbol=symbol)


def _levels(printed: list[list[str]]) -> list[kraken.Printed]:
    """Without offers at prices beyond int64's 9.2e9, which never come near the ten best."""
    return [(level[0], level[1]) for level in printed if float(level[0]) < MOST_USD]


def play(line: RecordingLine) -> dict[str, Instrument]:
    frames = list(retold())
    symbols = {json.loads(frame)["data"][0]["symbol"] for frame in frames}
    instruments = {symbol: kraken.pair(symbol) for symbol in sorted(symbols)}
    decoder = KrakenDecoder(line, list(instruments.values()))
    for frame in frames:
        decoder.message(frame)
    return instruments


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> RecordingLine:
    for module in (book_module, decoder_module):
        monkeypatch.setattr(module, "DEPTH", DEPTH)
    return RecordingLine(recv_ns=kraken.RECV_NS + NS_PER_S)


def test_every_checksum_of_a_recorded_session_is_right(line: RecordingLine) -> None:
    instruments = play(line)

    counts = line.counts()
    assert len(instruments) == counts["book"] == 10
    assert counts["level"] > 1000
    assert counts["refuse"] == counts["lost"] == 0
    assert all(instrument.book.is_valid and not instrument.book.is_crossed for instrument in instruments.values())


def test_a_session_kept_to_a_wrong_depth_does_not_pass(line: RecordingLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "DEPTH", 9)

    play(line)

    assert line.counts()["lost"] > 0

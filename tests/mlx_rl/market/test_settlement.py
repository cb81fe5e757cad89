"""Outcomes reach the money by one door."""

from pathlib import Path

import pytest

from mlx_rl.market.settlement import Payoffs, read_payoffs
from observer.kit.errors import BadRecording
from observer.store.writer import RecordingWriter
from tests.samples.tapes import make_tape


def test_payoffs_come_from_the_recording_with_their_kind(tmp_path: Path) -> None:
    tapes = [make_tape(0, 20, index=i) for i in range(2)]
    with RecordingWriter(tmp_path) as writer:
        for tape in tapes:
            writer.write_tape(tape)
        writer.write_outcome(tapes[0].market.market_id, 1.0, "official", "test")
        writer.write_outcome(tapes[1].market.market_id, 0.5, "inferred", "test")

    payoffs = read_payoffs(tmp_path)

    first, second = (tape.market.market_id for tape in tapes)
    assert {market_id: payoffs[market_id] for market_id in payoffs} == {first: 1.0, second: 0.5}
    assert payoffs.kind == {first: "official", second: "inferred"}
    assert len(payoffs) == 2


def test_a_market_without_an_outcome_cannot_settle() -> None:
    payoffs = Payoffs({"a": 1.0}, {"a": "official"})

    assert "b" not in payoffs
    with pytest.raises(BadRecording, match="market b has no recorded outcome, so it cannot settle"):
        payoffs["b"]

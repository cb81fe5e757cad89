"""A recording in which every clock window holds two markets, and two models that trade it."""

from dataclasses import replace
from pathlib import Path

import pytest

from observer.records import Tape
from observer.store.writer import RecordingWriter
from observer.venues.synthetic import SYNTHETIC
from tests.mlx_rl.evaluation.judged import untrained

CLOCK_WINDOWS = 24


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series that are the same market under two names, so the second tells nothing that the first does not.

    Books are thin and fees are charged, so that no part of the costs is zero. The last 12 clock windows are unseen.
    """
    root = tmp_path_factory.mktemp("twins")
    market = SYNTHETIC["null"]
    settings = market.settings(
        windows=CLOCK_WINDOWS, ticks_per_window=60, tick_s=15, depth=8, fees="polymarket-crypto-v2", step=0.01
    )
    with RecordingWriter(root / "data") as writer:
        for tape, payoff_up in market.generate(settings):
            for twin in (tape, renamed(tape)):
                writer.write_tape(twin)
                writer.write_outcome(twin.market.market_id, payoff_up, "synthetic", "seed 0")
    untrained(root, root / "models" / "base", "base", seed=1)
    untrained(root, root / "models" / "transformer", "transformer", seed=2)
    return root


def renamed(tape: Tape) -> Tape:
    """The same window of a second series."""
    name = tape.market.market_id.replace("null", "twin")
    return replace(tape, market=replace(tape.market, market_id=name, series="twin-updown-15m", symbol="TWIN"))

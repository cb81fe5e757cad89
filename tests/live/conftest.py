"""What the live tests share: exported models with drawn weights, and small recordings with fees and depth."""

from dataclasses import replace
from pathlib import Path

import pytest

from observer.venues.fees import BY_NAME
from tests.live.exported import make_exported
from tests.samples.model_folder import make_model_folder
from tests.samples.recordings import record
from tests.samples.tapes import make_tape

FEES = BY_NAME["polymarket-crypto-v1"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base_torch` and `tf_torch`, exported, and `tf` as training saves it."""
    folder = tmp_path_factory.mktemp("models")
    make_exported(folder / "base_torch", "base")
    make_exported(folder / "tf_torch", "transformer")
    make_model_folder(folder / "tf", "transformer", "small")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six windows in a row, the third with recorded depth, the last without an outcome."""
    made = [
        (
            make_tape(3, 240, index=i, fees=FEES, missing_frac=0.03, ladder=i == 2),
            None if i == 5 else (1.0, 0.0, 0.5)[i % 3],
        )
        for i in range(6)
    ]
    return record(tmp_path_factory.mktemp("data"), made)


@pytest.fixture(scope="session")
def two_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series whose windows run at the same time."""
    made = []
    for i in range(3):
        btc = make_tape(4, 150, index=i, fees=FEES)
        eth = make_tape(5, 150, index=i, fees=FEES)
        market = replace(eth.market, market_id=f"eth-{i}", series="eth-updown-15m", symbol="ETH")
        made += [(btc, float(i % 2)), (replace(eth, market=market), float((i + 1) % 2))]
    return record(tmp_path_factory.mktemp("two"), made)

"""The venues' own Python clients, and others that nobody here wrote, read the exchange.

Each runs in a virtual environment of its own, because their pins clash; where pip cannot fetch one, its test skips.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from observer.exchange.child import Child, running
from observer.exchange.venues.kalshi.keys import Keys
from tests.observer.exchange.readers import number
from tests.observer.exchange.stage import Stage
from tests.samples.side_env import side_env

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent / "official"


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with running("--seed", "3", "--coins", "BTC") as child:
        time.sleep(1.0)
        yield child


def ask(child: Child, script: str, name: str, requirement: str, *more: str) -> Any:
    """Run a client's script against the exchange; what it printed last, as JSON."""
    done = subprocess.run(
        [str(side_env(name, requirement)), str(HERE / script), child.url, *more],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_official_polymarket_sdk_discovers_reads_books_and_follows_both_sockets(child: Child) -> None:
    said = ask(child, "polymarket_client.py", "polymarket-client", "polymarket-client==0.14.0")

    assert said["events"] > 90  # a day of quarter hours
    assert said["pages"] == -(-said["events"] // 20)
    assert said["versions"] == ["v1", "v2"]
    assert said["several"] == 2
    assert len(said["hash"]) == 40
    assert {"book", "price_change"} <= set(said["kinds"])
    assert 90_000 < float(said["prices"]["btc/usd"]) < 105_000


def test_the_deprecated_clob_client_computes_the_hash_that_the_book_tells(child: Child) -> None:
    markets = child.get("/polymarket/gamma/markets", limit=50)
    market = next(m for m in markets if m["version"] == "v1" and json.loads(m["clobTokenIds"]))
    token = json.loads(market["clobTokenIds"])[0]

    said = ask(child, "clob_v2.py", "clob-v2", "py-clob-client-v2==1.2.1", token, market["conditionId"])

    assert said["computed"] == said["told"]
    assert (said["ok"], said["books"], said["tick"], said["neg_risk"]) == ("OK", 1, "0.01", False)
    assert said["market"] == market["conditionId"]
    assert said["compact"] in (["Up", "Down"], ["Yes", "No"])


def test_the_kalshi_sdk_finds_its_addresses_and_its_signature_opens_the_socket(child: Child, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    file = tmp_path / "key.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    keys = Keys(Stage("kalshi").floor)
    keys.register("mine", public)

    said = ask(child, "kalshi_sync.py", "kalshi", "kalshi-python-sync==3.2.0", str(file))

    assert said["trading"] is True
    assert said["book"]["orderbook_fp"]["yes_dollars"]
    assert keys.refusal("GET", ("/trade-api/ws/v2",), said["headers"]) == ""


def test_python_binance_keeps_the_true_book(child: Child) -> None:
    said = ask(child, "binance_depth_cache.py", "python-binance", "python-binance==1.0.37")

    kept, truth = (
        [{number(p): number(s) for p, s in book[side].items()} for side in ("bids", "asks")]
        for book in (said, said["truth"])
    )
    assert said["filters"] == 3
    assert len(kept[0]) > 30
    assert kept == truth


def test_the_coinbase_sdk_reads_every_channel(child: Child) -> None:
    said = ask(child, "coinbase_advanced.py", "coinbase", "coinbase-advanced-py==1.8.4")

    assert said["l2_data"][0][:2] == ["snapshot", "BTC-USD"]
    assert said["l2_data"][1][0] == "update"
    assert {side for _, side, _ in said["market_trades"][:3]} <= {"BUY", "SELL"}
    assert said["ticker"][0][0] == "BTC-USD"
    assert said["heartbeats"][-1] >= 2


def test_the_kraken_sdk_agrees_with_every_checksum(child: Child) -> None:
    said = ask(child, "kraken_book.py", "kraken", "python-kraken-sdk==3.5.1")

    assert said["updates"] > 20
    assert said["mismatches"] == 0


def test_the_hyperliquid_sdk_reads_books_trades_and_best_prices(child: Child) -> None:
    said = ask(child, "hyperliquid_info.py", "hyperliquid", "hyperliquid-python-sdk==0.24.0")

    assert said["counts"]["l2Book"] >= 7
    assert said["counts"]["bbo"] > 10
    assert said["levels"] == [20, 20]
    assert said["last"] == "BTC"

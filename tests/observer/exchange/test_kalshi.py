"""Kalshi as a reader meets it: signatures, a sequence per subscription, signed changes, a life partly told."""

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from observer.exchange.venues.kalshi.keys import Keys
from observer.exchange.venues.kalshi.messages import market_json
from observer.exchange.venues.kalshi.socket import PATH, KalshiSession
from observer.kit.errors import UsageError
from tests.observer.exchange.readers import KalshiReader, true_levels
from tests.observer.exchange.stage import KeptPeer, Stage

TICKER = "KXBTC15M-26NOV200915-15"  # 14:15 UTC is 9:15 in New York
NEXT = "KXBTC15M-26NOV200930-30"


def rsa_signature(key: rsa.RSAPrivateKey, text: bytes, salt: int = 32) -> bytes:
    return key.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())


def headers(name: str, signature: bytes, stamp_ms: int) -> dict[str, str]:
    return {
        "KALSHI-ACCESS-KEY": name,
        "KALSHI-ACCESS-TIMESTAMP": str(stamp_ms),
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def test_both_kinds_of_key_open_a_socket_and_a_wrong_text_does_not(rsa_key: rsa.RSAPrivateKey) -> None:
    keys, ed_key, now = Keys(Stage("kalshi").floor), Ed25519PrivateKey.generate(), int(time.time() * 1_000)
    keys.register("rsa", pem(rsa_key))
    keys.register("ed", pem(ed_key))
    good, bad = f"{now}GET{PATH}".encode(), f"{now}POST{PATH}".encode()

    for name, sign in (("rsa", lambda text: rsa_signature(rsa_key, text)), ("ed", ed_key.sign)):
        assert keys.refusal("GET", (PATH,), headers(name, sign(good), now)) == ""
        assert "does not sign" in keys.refusal("GET", (PATH,), headers(name, sign(bad), now))
        assert "does not sign" in keys.refusal("GET", (PATH,), headers(name, b"x" * 64, now))


def test_the_salt_must_be_as_long_as_the_digest(rsa_key: rsa.RSAPrivateKey) -> None:
    keys, now = Keys(Stage("kalshi").floor), int(time.time() * 1_000)
    keys.register("rsa", pem(rsa_key))

    refusal = keys.refusal("GET", (PATH,), headers("rsa", rsa_signature(rsa_key, f"{now}GET{PATH}".encode(), 20), now))

    assert "does not sign" in refusal


@pytest.mark.parametrize(("off_ms", "is_fine"), [(0, True), (30_000, True), (-120_000, False), (120_000, False)])
def test_an_old_signature_is_refused(rsa_key: rsa.RSAPrivateKey, off_ms: int, is_fine: bool) -> None:
    stage = Stage("kalshi")
    keys, stamp = Keys(stage.floor), stage.floor.clock.now_ns() // 10**6 + off_ms
    keys.register("rsa", pem(rsa_key))

    refusal = keys.refusal("GET", (PATH,), headers("rsa", rsa_signature(rsa_key, f"{stamp}GET{PATH}".encode()), stamp))

    assert (refusal == "") == is_fine


def test_an_unknown_key_and_a_private_one_are_refused(rsa_key: rsa.RSAPrivateKey) -> None:
    keys = Keys(Stage("kalshi").floor)
    private = rsa_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    assert "not registered" in keys.refusal("GET", (PATH,), headers("who", b"", 0))
    with pytest.raises(UsageError, match="no public key"):
        keys.register("mine", private)


@pytest.fixture
def stage() -> Stage:
    return Stage("kalshi")


class Client:
    """A connection that sends commands and reads the answers."""

    def __init__(self, stage: Stage) -> None:
        self.peer: KeptPeer = stage.peer("ws")
        self.session = KalshiSession(stage.venue._socket, self.peer)
        stage.venue._socket.sessions.append(self.session)
        self.peer.begin(self.session)
        self._n = 0

    def say(self, command: str, **params: Any) -> list[Any]:
        self._n += 1
        self.session.message(json.dumps({"id": self._n, "cmd": command, "params": params}))
        return self.peer.messages()


def test_a_reader_of_signed_changes_keeps_the_true_book(stage: Stage) -> None:
    client, reader = Client(stage), KalshiReader()
    for message in client.say("subscribe", channels=["orderbook_delta", "trade"], market_tickers=[TICKER]):
        reader.read(message)

    for _ in range(60):
        stage.run(2.0)
        for message in client.peer.messages():
            reader.read(message)
        (book,) = stage.venue.books({TICKER})
        assert reader.shown(TICKER) == true_levels(book)

    assert reader.holes == 0


def test_each_channel_has_its_own_subscription_and_only_books_are_numbered(stage: Stage) -> None:
    client = Client(stage)
    answers = client.say("subscribe", channels=["orderbook_delta", "ticker", "trade"], market_tickers=[TICKER])
    stage.run(60)
    data = client.peer.messages()

    subscribed = [(a["msg"]["channel"], a["msg"]["sid"]) for a in answers if a["type"] == "subscribed"]
    assert subscribed == [("orderbook_delta", 1), ("ticker", 2), ("trade", 3)]
    assert [m["seq"] for m in data if m["sid"] == 1] == list(range(2, 2 + sum(m["sid"] == 1 for m in data)))
    assert not any("seq" in m for m in data if m["sid"] != 1)


def test_get_snapshot_tells_the_whole_book_in_the_same_sequence(stage: Stage) -> None:
    client = Client(stage)
    client.say("subscribe", channels=["orderbook_delta"], market_tickers=[TICKER])
    stage.run(5)
    last = client.peer.messages()[-1]["seq"]

    ok, snapshot = client.say("update_subscription", sids=[1], market_tickers=[TICKER], action="get_snapshot")

    assert (ok["type"], ok["seq"]) == ("ok", last + 1)
    assert (snapshot["type"], snapshot["seq"]) == ("orderbook_snapshot", last + 2)


def test_markets_can_be_added_and_taken_away(stage: Stage) -> None:
    client = Client(stage)
    client.say("subscribe", channels=["orderbook_delta"], market_tickers=[TICKER])

    added = client.say("update_subscription", sids=[1], market_tickers=[NEXT], action="add_markets")
    taken = client.say("update_subscription", sids=[1], market_tickers=[TICKER], action="delete_markets")
    stage.run(20)

    assert added[0]["msg"]["market_tickers"] == [TICKER, NEXT]
    assert added[1]["msg"]["market_ticker"] == NEXT
    assert taken[0]["msg"]["market_tickers"] == [NEXT]
    assert client.peer.messages() == []  # the next window has not opened


def test_the_no_side_can_be_quoted_in_yes_prices(stage: Stage) -> None:
    client = Client(stage)
    plain = client.say("subscribe", channels=["orderbook_delta"], market_tickers=[TICKER])[-1]["msg"]
    client.say("unsubscribe", sids=[1])

    in_yes = client.say("subscribe", channels=["orderbook_delta"], market_tickers=[TICKER], use_yes_price=True)[-1][
        "msg"
    ]

    assert in_yes["yes_dollars_fp"] == plain["yes_dollars_fp"]
    for (no, size), (yes, same) in zip(plain["no_dollars_fp"], in_yes["no_dollars_fp"], strict=True):
        assert float(no) + float(yes) == pytest.approx(1.0)
        assert size == same


@pytest.mark.parametrize(
    ("command", "params", "code"),
    [
        ("dance", {}, 5),
        ("subscribe", {}, 3),
        ("subscribe", {"channels": ["tea"]}, 8),
        ("subscribe", {"channels": ["orderbook_delta"]}, 14),
        ("subscribe", {"channels": ["orderbook_delta"], "market_tickers": ["KXTEA"]}, 16),
        ("subscribe", {"channels": ["trade"]}, 6),
        ("unsubscribe", {}, 4),
        ("unsubscribe", {"sids": [99]}, 7),
        ("update_subscription", {"sids": [1, 2]}, 12),
        ("update_subscription", {"sids": [1]}, 15),
        ("update_subscription", {"sids": [1], "action": "dance"}, 13),
        ("update_subscription", {"sids": [1], "action": "add_markets"}, 14),
    ],
)
def test_a_wrong_command_gets_its_error_and_the_connection_stays(
    stage: Stage, command: str, params: dict[str, Any], code: int
) -> None:
    client = Client(stage)
    client.say("subscribe", channels=["trade"])

    (answer,) = client.say(command, **params)

    assert (answer["type"], answer["msg"]["code"]) == ("error", code)
    assert not client.peer.is_gone


def test_a_slow_reader_loses_its_subscriptions_with_error_25(stage: Stage) -> None:
    client = Client(stage)
    client.say("subscribe", channels=["orderbook_delta", "trade"], market_tickers=[TICKER])

    client.session.slow()
    errors = client.peer.messages()
    stage.run(20)

    assert [error["msg"]["code"] for error in errors] == [25, 25]
    assert client.peer.messages() == []


def test_opening_and_closing_are_silent_while_listing_and_results_are_told(stage: Stage) -> None:
    client = Client(stage)
    client.say("subscribe", channels=["market_lifecycle_v2"])
    contract = stage.venue.contracts.by_ticker[TICKER]
    seen = {}
    for _ in range(110):
        stage.run(10)
        seen.setdefault(contract.status(stage.now_ns), market_json(contract, stage.now_ns))
    told = [
        (m["msg"]["event_type"], m["msg"]["market_ticker"]) for m in client.peer.messages() if "event_type" in m["msg"]
    ]

    assert list(seen) == ["active", "closed", "determined", "finalized"]
    assert seen["closed"]["result"] == ""
    assert seen["determined"]["result"] in ("yes", "no")
    assert [kind for kind, ticker in told if ticker == TICKER] == ["determined", "settled"]
    assert ("created", "KXBTC15M-26NOV201000-00") in told  # listed at 14:15, two windows ahead
    up = contract.payoff_up() == 1.0
    assert seen["finalized"]["settlement_value_dollars"] == ("1.0000" if up else "0.0000")


def test_the_price_to_beat_appears_with_the_opening(stage: Stage) -> None:
    upcoming = stage.venue.contracts.by_ticker[NEXT]

    assert "floor_strike" not in market_json(upcoming, stage.now_ns)
    stage.run(900)

    assert market_json(upcoming, stage.now_ns)["floor_strike"] == pytest.approx(upcoming.strike(), abs=0.01)


def test_the_index_tells_its_running_average_in_the_last_minute(stage: Stage) -> None:
    client = Client(stage)
    (answer,) = client.say("subscribe", channels=["cfbenchmarks_value"], index_ids=["BRTI"])
    stage.run(14 * 60)
    values = [m["msg"] for m in client.peer.messages()]
    in_window = [v for v in values if "last_60s_windowed_average_15min" in v]

    assert answer["sid"] == 1  # beside the message, for these channels
    assert {v["index_id"] for v in values} == {"BRTI"}
    assert len(values) == 14 * 60
    assert 59 <= len(in_window) <= 61
    contract = stage.venue.contracts.by_ticker[TICKER]
    final = stage.venue._socket.indices.world.boundary("BTC", contract.close_ns)
    assert float(in_window[-1]["last_60s_windowed_average_15min"]) == pytest.approx(final, rel=1e-4)

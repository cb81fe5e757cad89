"""Kalshi's handshake is signed with a key that comes from the environment and is never shown."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from observer.kit.errors import UsageError
from observer.venues.kalshi import Kalshi
from observer.venues.kalshi.signing import Signer, signer_from
from observer.venues.urls import URLS
from tests.samples.kalshi_session import up

RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
ID = "3f2b-key-id"


def pem(key: Any, secret: KeySerializationEncryption = NoEncryption()) -> str:  # noqa: B008
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret).decode()


def signed_text(headers: dict[str, str], rest: str = "GET/trade-api/ws/v2") -> bytes:
    return f"{headers['KALSHI-ACCESS-TIMESTAMP']}{rest}".encode()


def test_an_rsa_handshake_is_pss_with_sha256_and_a_salt_of_32_bytes() -> None:
    headers = Signer(ID, RSA, now_ms=lambda: 1_795_201_381_123).headers()

    assert headers["KALSHI-ACCESS-KEY"] == ID
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "1795201381123"
    signature = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"], validate=True)
    RSA.public_key().verify(signature, signed_text(headers), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    with pytest.raises(InvalidSignature):
        RSA.public_key().verify(signature, signed_text(headers), padding.PSS(padding.MGF1(SHA256()), 20), SHA256())
    text = signed_text(headers, "POST/trade-api/ws/v2")
    with pytest.raises(InvalidSignature):
        RSA.public_key().verify(signature, text, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())


def test_an_ed25519_handshake_signs_the_same_text_plainly() -> None:
    headers = Signer(ID, ED25519).headers()

    ED25519.public_key().verify(base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"]), signed_text(headers))


def test_each_connection_gets_headers_of_its_own() -> None:
    clock = iter([1000, 2000])
    [plan] = Kalshi(dict(URLS), Signer(ID, RSA, now_ms=lambda: next(clock))).plan([up()])

    first, second = plan.headers(), plan.headers()

    assert [h["KALSHI-ACCESS-TIMESTAMP"] for h in (first, second)] == ["1000", "2000"]
    assert first["KALSHI-ACCESS-SIGNATURE"] != second["KALSHI-ACCESS-SIGNATURE"]


@pytest.mark.parametrize("key", [RSA, ED25519])
@pytest.mark.parametrize("is_one_line", [False, True])
def test_a_key_may_stand_in_the_environment(key: Any, is_one_line: bool) -> None:
    text = pem(key).replace("\n", "\\n") if is_one_line else pem(key)

    headers = signer_from({"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY": text}).headers()

    assert headers["KALSHI-ACCESS-KEY"] == ID


def test_a_key_may_lie_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "kalshi.pem"
    path.write_text(pem(ED25519))
    settings = {"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY_FILE": str(path)}

    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"mode 0640.*chmod 600"):
        signer_from(settings)
    path.chmod(0o600)

    assert signer_from(settings).headers()["KALSHI-ACCESS-KEY"] == ID


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "KALSHI_KEY_ID is not set"),
        ({"KALSHI_PRIVATE_KEY": pem(ED25519)}, "KALSHI_KEY_ID is not set"),
        ({"KALSHI_KEY_ID": ID}, "KALSHI_PRIVATE_KEY or KALSHI_PRIVATE_KEY_FILE is not set"),
        ({"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY_FILE": "/nowhere/k.pem"}, "cannot read .*/nowhere/k.pem"),
        ({"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY": "x", "KALSHI_PRIVATE_KEY_FILE": "y"}, "Keep one of them"),
        ({"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY": "hunter2"}, "no unencrypted PEM private key"),
        (
            {"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY": pem(RSA, BestAvailableEncryption(b"hunter2"))},
            "no unencrypted PEM private key",
        ),
        (
            {"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY": pem(ec.generate_private_key(ec.SECP256R1()))},
            "wanted an RSA or Ed25519 private key",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_the_way_out(settings: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        signer_from(settings)

    text = str(caught.value)
    assert "hunter2" not in text
    assert not any(line and line in text for line in settings.get("KALSHI_PRIVATE_KEY", "").splitlines()[1:-1])
    if "is not set" in why:
        assert "leave kalshi out with --venues" in text


def test_a_venue_without_a_key_lists_and_refuses_only_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KALSHI_KEY_ID", "KALSHI_PRIVATE_KEY", "KALSHI_PRIVATE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    venue = Kalshi(dict(URLS))

    assert venue.plan([]) == []
    for refused in (venue.require_key, lambda: venue.plan([up()])):
        with pytest.raises(UsageError, match="leave kalshi out with --venues"):
            refused()


def test_nothing_that_is_printed_shows_a_key() -> None:
    signer = signer_from({"KALSHI_KEY_ID": ID, "KALSHI_PRIVATE_KEY": pem(ED25519)})
    [plan] = Kalshi(dict(URLS), signer).plan([up()])

    shown = f"{signer!r} {plan!r} {vars(Kalshi(dict(URLS), signer))!r}"

    assert pem(ED25519).splitlines()[1] not in shown
    assert ID not in shown


def test_a_credential_of_a_systemd_unit_may_be_readable_by_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kalshi"
    file.write_text(pem(ED25519))
    file.chmod(0o440)
    environment = {"KALSHI_KEY_ID": "id", "KALSHI_PRIVATE_KEY_FILE": str(file)}
    with pytest.raises(UsageError, match="mode 0440"):
        signer_from(environment)

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert signer_from(environment).headers()["KALSHI-ACCESS-KEY"] == "id"

"""Proving to Kalshi who asks: three signed headers, made anew for every connection.

The signature covers `<milliseconds><METHOD><path>` and ages with its time stamp. An RSA key signs RSA-PSS (SHA-256,
MGF1 with SHA-256, salt of 32 bytes), an Ed25519 key signs the same text plainly. The key comes from the environment
and goes nowhere else: not into a log, a repr or an error.
"""

import base64
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from observer.kit.clock import NS_PER_MS
from observer.kit.errors import UsageError

WS_PATH = "/trade-api/ws/v2"
KEY_ID, KEY_TEXT, KEY_FILE = "KALSHI_KEY_ID", "KALSHI_PRIVATE_KEY", "KALSHI_PRIVATE_KEY_FILE"
_SALT_BYTES = 32
_WAY_OUT = f"Set {KEY_ID} and {KEY_TEXT} or {KEY_FILE}, or leave kalshi out with --venues."

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Signer:
    """Makes the headers of one request or handshake.

    Args:
        key_id: the venue's name of the key.
        private_key: RSA or Ed25519.
        now_ms: the wall clock in milliseconds; the venue refuses a stale one.
    """

    def __init__(
        self, key_id: str, private_key: PrivateKey, now_ms: Callable[[], int] = lambda: time.time_ns() // NS_PER_MS
    ) -> None:
        self._key_id, self._key, self._now_ms = key_id, private_key, now_ms

    def headers(self, method: str = "GET", path: str = WS_PATH) -> dict[str, str]:
        """The headers for one request, valid for a moment.

        Args:
            method: upper case.
            path: from the root, without a query.
        """
        stamp = str(self._now_ms())
        text = f"{stamp}{method}{path}".encode()
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            signature = self._key.sign(text)
        else:
            signature = self._key.sign(text, padding.PSS(padding.MGF1(SHA256()), _SALT_BYTES), SHA256())
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": stamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }


def signer_from(environment: Mapping[str, str] | None = None) -> Signer:
    """The signer of the key that the environment names.

    Raises:
        UsageError: nothing set, too much set, a key file that others can read, or a text that is no such key.
    """
    settings = os.environ if environment is None else environment
    key_id, text, file = (settings.get(name, "") for name in (KEY_ID, KEY_TEXT, KEY_FILE))
    if not key_id or not (text or file):
        missing = KEY_ID if not key_id else f"{KEY_TEXT} or {KEY_FILE}"
        raise UsageError(f"kalshi records by signed connections only, and {missing} is not set. {_WAY_OUT}")
    if text and file:
        raise UsageError(f"kalshi: both {KEY_TEXT} and {KEY_FILE} are set. Keep one of them.")
    if file:
        return Signer(key_id, _parse(_read(Path(file)), KEY_FILE))
    # Environment files hold one line a value, so a PEM's line ends are often written as \n.
    return Signer(key_id, _parse(text.replace("\\n", "\n").encode(), KEY_TEXT))


def _read(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        # systemd shows a unit's credentials as 0440, in a folder that only this unit can open.
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        is_guarded = bool(credentials) and path.resolve().is_relative_to(Path(credentials or "").resolve())
        if mode & 0o077 and not is_guarded:
            raise UsageError(
                f"kalshi: {KEY_FILE} {path} has mode {mode:04o}, so others can read the key; wanted 0600. "
                f"Run chmod 600 {path}."
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"kalshi: cannot read {KEY_FILE} {path}: {error.strerror}. {_WAY_OUT}") from error


def _parse(pem: bytes, name: str) -> PrivateKey:
    # The library's own words may quote the key, so nothing of them is passed on.
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"kalshi: {name} holds no unencrypted PEM private key. {_WAY_OUT}") from None
    if not isinstance(key, PrivateKey):
        raise UsageError(f"kalshi: {name} holds a {type(key).__name__}; wanted an RSA or Ed25519 private key.")
    return key

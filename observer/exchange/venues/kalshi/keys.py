"""Who may open a socket: signed headers, checked against registered public keys (RSA-PSS or Ed25519)."""

import base64
import binascii
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from observer.exchange.floor import Floor
from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.errors import UsageError

# A signature this old, by the exchange's clock and by the machine's, is refused.
_FRESH_NS = 60 * NS_PER_S
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)  # salt as long as the digest


class Keys:
    """Registered public keys.

    Args:
        floor: whose time it is.
        given: `ID=FILE.pem` of each.

    Raises:
        UsageError: a file that holds no RSA or Ed25519 public key.
    """

    def __init__(self, floor: Floor, given: tuple[str, ...] = ()) -> None:
        self.floor = floor
        self._keys: dict[str, RSAPublicKey | Ed25519PublicKey] = {}
        for pair in given:
            name, _, path = pair.partition("=")
            if not name or not Path(path).is_file():
                raise UsageError(f"--kalshi-keys {pair}: wanted ID=FILE.pem with a file that exists.")
            self.register(name, Path(path).read_bytes())

    def register(self, name: str, pem: bytes) -> None:
        """Accept a key from now on; raises `UsageError` for one of another kind."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"key {name!r} is no public key in PEM form ({error}).") from error
        if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
            raise UsageError(f"key {name!r} is neither RSA nor Ed25519.")
        self._keys[name] = key

    def refusal(self, method: str, paths: tuple[str, ...], headers: Mapping[str, str]) -> str:
        """Why these headers sign none of the paths, or "" where they do."""
        name, stamp = headers.get("KALSHI-ACCESS-KEY", ""), headers.get("KALSHI-ACCESS-TIMESTAMP", "")
        key = self._keys.get(name)
        if key is None:
            return f"key {name!r} is not registered"
        if not stamp.isdigit() or not self._is_fresh(int(stamp) * NS_PER_MS):
            return f"timestamp {stamp!r} is not within a minute of now, in ms"
        try:
            signature = base64.b64decode(headers.get("KALSHI-ACCESS-SIGNATURE", ""), validate=True)
        except binascii.Error:
            return "the signature is not base64"
        if any(_verifies(key, signature, f"{stamp}{method}{path}".encode()) for path in paths):
            return ""
        return f"the signature does not sign {stamp}{method}{paths[-1]}"

    def _is_fresh(self, stamp_ns: int) -> bool:
        virtual = abs(stamp_ns - self.floor.clock.now_ns()) / max(self.floor.clock.speed, 1.0)
        return min(virtual, abs(stamp_ns - time.time_ns())) <= _FRESH_NS


def _verifies(key: RSAPublicKey | Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, text)
        else:
            key.verify(signature, text, _PSS, hashes.SHA256())
    except InvalidSignature:
        return False
    return True

"""How numbers and times look on the wire. Prices and sizes are integers in units of 1e-9, as everywhere."""

import random
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from observer.kit.clock import NS_PER_MS, NS_PER_S
from observer.kit.decimals import DECIMALS, SCALE

json_bytes = msgspec.json.encode  # compact UTF-8 JSON


def parse_json(text: str | bytes) -> Any:
    """The value that JSON text stands for; None where it is not JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fixed(value: int, decimals: int) -> str:
    """A scaled integer with exactly so many decimals: 540000000 is `0.5400`."""
    sign, size = ("-", -value) if value < 0 else ("", value)
    whole, part = divmod(size // 10 ** (DECIMALS - decimals), 10**decimals)
    return f"{sign}{whole}.{part:0{decimals}d}" if decimals else f"{sign}{whole}"


def decimals_of(grid: int) -> int:
    """How many decimals a price step needs."""
    return DECIMALS - (len(str(grid)) - len(str(grid).rstrip("0")))


def to_scaled(value: float) -> int:
    """A float as the nearest scaled integer."""
    return round(value * SCALE)


def ms(ns: int) -> int:
    """Whole milliseconds."""
    return ns // NS_PER_MS


def rfc3339(ns: int, decimals: int = 6) -> str:
    """`2026-11-20T14:03:27.123456Z`."""
    seconds, rest = divmod(ns, NS_PER_S)
    part = f".{rest // 10 ** (9 - decimals):0{decimals}d}" if decimals else ""
    return f"{_second(seconds)}{part}Z"


@lru_cache(maxsize=8_192)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def dice(*names: object) -> random.Random:
    """A stream of random numbers that depends on its name alone, the same on every machine."""
    return random.Random(sha256("/".join(map(str, names)).encode()).digest())


def identifier(*names: object) -> str:
    """64 hex digits that stand for a name."""
    return sha256("/".join(map(str, names)).encode()).hexdigest()


def uuid(*names: object) -> str:
    """A name in the form of a UUID."""
    h = identifier(*names)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:32]}"


def whole(text: str | None, default: int, low: int, high: int) -> int:
    """A whole number out of a query string, held within [low, high]; the default where there is none."""
    if text is None or not text.isdigit():
        return default
    return min(max(int(text), low), high)

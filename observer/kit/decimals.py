"""Decimal text from a venue, as exact integers.

Venues send prices and sizes as decimal strings. A book key that went through a binary float may not equal itself
next time, so here text becomes an integer count of 1e-9 units, strictly: plain digits, at most one point, at most
nine decimals, no exponent, no sign, no NaN. What does not parse is the sender's mistake and is refused.
"""

SCALE = 1_000_000_000
DECIMALS = 9
_MAX_CHARS = 32
_MAX_SCALED = 2**63 - 1
_CACHE_ENTRIES = 1 << 16
_SCALES = tuple(10 ** (DECIMALS - n_decimals) for n_decimals in range(DECIMALS + 1))  # what an integer of n is times


class BadNumber(ValueError):
    """Text that is no non-negative decimal number in range."""


class _Remembered(dict[str, int]):
    """Texts and their integers; what is not there yet is parsed, and numbers repeat, so 65,536 are remembered."""

    def __missing__(self, text: str) -> int:
        value = _parse(text)
        if len(self) >= _CACHE_ENTRIES:
            self.clear()
        self[text] = value
        return value


# `SCALED[text]` is `scaled(text)` at half the cost, for decoders that run it a million times a second.
SCALED = _Remembered()


def scaled(text: str) -> int:
    """Return `text` in units of 1e-9, exactly.

    Raises:
        BadNumber: signs, exponents, blanks, NaN, more than nine decimals (zeros beyond are fine), or above 9.2e9.
    """
    return SCALED[text]


def scaled_once(text: str) -> int:
    """As `scaled`, for texts that will hardly come again (a whole deep book): they push nothing out of memory."""
    return _parse(text)


def signed(text: str) -> int:
    """As `scaled`, for a change that may be negative (`-54.00`)."""
    return -scaled(text[1:]) if text.startswith("-") else scaled(text)


def text_of(value: int) -> str:
    """The shortest decimal text of a scaled integer: 520000000 is `0.52`."""
    sign, size = ("-", -value) if value < 0 else ("", value)
    whole, part = divmod(size, SCALE)
    return f"{sign}{whole}.{part:0{DECIMALS}d}".rstrip("0").rstrip(".")


def _parse(text: str) -> int:
    whole, point, part = text.partition(".")
    digits = whole + part
    if len(text) > _MAX_CHARS or not digits.isdigit() or not digits.isascii() or (point and not part):
        raise BadNumber(f"{text[:_MAX_CHARS]!r} is not a plain decimal number")
    n_decimals = len(part)
    if n_decimals > DECIMALS:
        if part[DECIMALS:].strip("0"):
            raise BadNumber(f"{text!r} has more than {DECIMALS} decimals")
        digits, n_decimals = whole + part[:DECIMALS], DECIMALS
    value = int(digits) * _SCALES[n_decimals]
    if value > _MAX_SCALED:
        raise BadNumber(f"{text!r} is above {_MAX_SCALED / SCALE:.3g}")
    return value

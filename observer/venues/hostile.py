"""Messages that no decoder may trust: bombs, broken JSON, strangers, and good messages spoilt."""

import random
import re
from collections.abc import Iterator, Sequence

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_MUTATIONS = 300

BOMBS: tuple[bytes, ...] = (
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' + b"9" * 100_000 + b"}",
    b'{"a":1e999999}',
    b'"' + b"A" * 1_000_000 + b'"',
)
NOT_JSON: tuple[bytes, ...] = (
    b"\xff\xfe\x00",
    b"<html>502</html>",
    b"{",
    b"[",
    b"]",
    b'{"a"',
    b"{'a':1}",
    b"nul",
    b"[1,",
)
NOT_EVENTS: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"NaN",
    b"1",
    b'"word"',
    b"{}",
    b"[[]]",
    b"[null]",
    b"[1,2]",
    b"[{}]",
)
UNKNOWN: bytes = (
    b'{"event_type":"zzz","type":"zzz","event":"zzz","channel":"zzz","e":"zzz","topic":"zzz","method":"zzz",'
    b'"msg":{},"data":[],"payload":{},"events":[]}'
)


def cut_short(session: Sequence[bytes]) -> Iterator[bytes]:
    """The JSON messages of a session, each cut off at five places."""
    for payload in session:
        whole = payload.strip()
        if whole[:1] in (b"{", b"["):
            for part in range(1, 6):
                yield whole[: max(1, len(whole) * part // 6)]


def mutated(session: Sequence[bytes]) -> Iterator[bytes]:
    """Messages with a number turned into nonsense, bytes flipped, or a piece said twice."""
    rng = random.Random(7)
    nonsense = (b"NaN", b"-1", b"1e400", b"null", b'"x"', b"", b"Infinity", b"9" * 40, b"0", b"[]", b"{}", b"-0.5")
    for _ in range(_MUTATIONS):
        payload = session[rng.randrange(len(session))]
        spans = [match.span() for match in _NUMBER.finditer(payload)]
        if spans and rng.random() < 0.6:
            start, end = spans[rng.randrange(len(spans))]
            yield payload[:start] + rng.choice(nonsense) + payload[end:]
        elif payload:
            where = rng.randrange(len(payload))
            end = min(len(payload), where + rng.randrange(1, 40))
            middle = rng.choice((bytes([rng.randrange(256)]), b"", payload[where:end] * 2))
            yield payload[:where] + middle + payload[end if len(middle) != 1 else where + 1 :]

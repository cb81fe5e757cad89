"""HTTP with manners: the one way this project asks a venue anything (`observer.ports.Rest`).

* A request says who asks, gives up in time and takes no body without end, packed or not.
* Network errors, time-outs, 408, 425 and 5xx are tried again, with jitter, and not before `Retry-After` allows it.
* 429, 418, 403 and 451 are said to one request and meant for all: the whole host is left alone for as long as it asks,
  or for longer and longer where it does not ask. A short pause is waited out; a long one is the caller's to sit out.
* Behind a loopback exchange every venue has the same host, so a host here is an address (`observer.venues.urls`).
* Errors and logs hold no header and no query: that is where keys and signatures are.
"""

import asyncio
import logging
import random
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urlsplit

import httpx

from observer.backoff import Backoff
from observer.ports import RestError
from observer.venues.urls import URLS

USER_AGENT = "mlx-rl-observer/1 (market data recorder)"
TRIES = 4
DEADLINE_S = 30.0  # one try with its body: a server that drips bytes passes every read time-out
MAX_WAIT_S = 30.0  # a request waits no longer than this for its turn
MAX_BODY_BYTES = 32 << 20
SPACING_S = 0.05  # between two requests to one host
PAUSE_S = {429: 5.0, 403: 60.0, 418: 120.0, 451: 3600.0}  # the first pause, where the venue does not say how long
_MAX_PAUSE_S = 3600.0
_MAX_ASKED_S = 3 * 86_400.0  # Binance's longest ban
_AGAIN = {408, 425}  # and 5xx
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_SHOWN_BYTES = 200  # of an error's body: venues say there what was wrong

# Both would write whole URLs, and httpcore headers too, into whatever log the program keeps.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class Blocked(RestError):
    """The venue does not serve this location (HTTP 451)."""


class _Refused(Exception):
    """An answer that is not read: too large, or in a coding that was not asked for."""


@dataclass(slots=True)
class _Host:
    """How one host is to be treated; times are seconds of the monotonic clock."""

    name: str
    free_at_s: float = 0.0
    paused_until_s: float = 0.0
    paused_by: int = 0  # HTTP status
    strikes: int = 0  # pauses since the last 200


class HttpRest:
    """Implements `observer.ports.Rest` on httpx. Use as an async context manager, or call `close`.

    Args:
        addresses: name -> base URL, as from `observer.venues.urls.resolve`; requests below one of them share its fate.
        spacing_s: least time between the starts of two requests to one host.
        transport: what carries requests, replaced in tests.
        rng: jitter.
        mono_s, wall_s, sleep: the clocks, replaced in tests.

    Attributes:
        counts: (host, outcome) -> how often; an outcome is a status, "timeout", "no answer" or "refused body".
    """

    def __init__(
        self,
        addresses: Mapping[str, str] = URLS,
        *,
        spacing_s: float = SPACING_S,
        transport: httpx.AsyncBaseTransport | None = None,
        rng: random.Random | None = None,
        mono_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = httpx.AsyncClient(
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=20),
            transport=transport,
            mounts={f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")},  # no proxy can reach ours
        )
        self._bases = sorted(((base, name) for name, base in addresses.items()), key=lambda at: -len(at[0]))
        self._spacing_s, self._rng = spacing_s, rng
        self._mono_s, self._wall_s, self._sleep = mono_s, wall_s, sleep
        self._hosts: dict[str, _Host] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
        """Body of a 200.

        Raises:
            Blocked: the venue does not serve this location.
            RestError: any other end, with the status (0: no answer) and the wait that the venue asks for.
        """
        return await self._request("GET", url, params, headers, None)

    async def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        """As `get`; the body must be safe to repeat."""
        return await self._request("POST", url, None, headers, body)

    def paused_s(self) -> dict[str, float]:
        """Hosts that are left alone now, and for how many seconds more."""
        now_s = self._mono_s()
        return {host.name: host.paused_until_s - now_s for host in self._hosts.values() if host.paused_until_s > now_s}

    async def _request(
        self, method: str, url: str, params: dict[str, str] | None, headers: dict[str, str] | None, body: bytes | None
    ) -> bytes:
        host, shown = self._host(url), _shown(url)
        backoff = Backoff(self._rng)
        tries_left = TRIES
        while True:
            tries_left -= 1
            await self._turn(host, shown)
            wait_s = 0.0
            try:
                status, answer_headers, answer = await self._once(method, url, params, headers, body)
            except (httpx.TransportError, TimeoutError, zlib.error) as error:
                is_late = isinstance(error, (httpx.TimeoutException, TimeoutError))
                self.counts[host.name, "timeout" if is_late else "no answer"] += 1
                failure = RestError(f"{shown}: no answer ({type(error).__name__})")
                failure.__cause__ = error
                may_retry = True
            except _Refused as error:
                self.counts[host.name, "refused body"] += 1
                raise RestError(f"{shown}: {error}") from None
            else:
                self.counts[host.name, str(status)] += 1
                if status == 200:
                    host.strikes = 0
                    return answer
                wait_s = retry_after_s(answer_headers, self._wall_s())
                if status in PAUSE_S:
                    wait_s = self._pause(host, status, wait_s)
                failure = _failure(shown, status, wait_s, answer)
                may_retry = (status == 429 or status in _AGAIN or status >= 500) and wait_s <= MAX_WAIT_S
            if not may_retry or not tries_left:
                raise failure
            if self._mono_s() >= host.paused_until_s:  # else the next turn waits
                await self._sleep(backoff.next_s(at_least_s=wait_s))

    async def _once(
        self, method: str, url: str, params: dict[str, str] | None, headers: dict[str, str] | None, body: bytes | None
    ) -> tuple[int, httpx.Headers, bytes]:
        """One try: status, headers, and the whole body of a 200 or the beginning of another."""
        asking = self._client.stream(method, url, params=params, headers=headers, content=body)
        async with asyncio.timeout(DEADLINE_S), asking as response:
            is_good = response.status_code == 200
            read = await (_whole(response) if is_good else _beginning(response))
            return response.status_code, response.headers, read

    async def _turn(self, host: _Host, shown: str) -> None:
        """Wait until the host may be asked again."""
        while True:
            now_s = self._mono_s()
            pause_s = host.paused_until_s - now_s
            if pause_s > MAX_WAIT_S:
                raise _failure(shown, host.paused_by, pause_s, b"")
            wait_s = max(pause_s, host.free_at_s - now_s)
            if wait_s <= 0:
                host.free_at_s = now_s + self._spacing_s
                return
            await self._sleep(wait_s)

    def _pause(self, host: _Host, status: int, asked_s: float) -> float:
        """Leave a host alone; returns for how long."""
        host.strikes += 1
        default_s = min(_MAX_PAUSE_S, PAUSE_S[status] * 2.0 ** min(host.strikes - 1, 20))
        pause_s = asked_s or default_s
        until_s = self._mono_s() + pause_s
        if until_s > host.paused_until_s:
            host.paused_until_s, host.paused_by = until_s, status
        return pause_s

    def _host(self, url: str) -> _Host:
        name = next((name for base, name in self._bases if url == base or url.startswith((f"{base}/", f"{base}?"))), "")
        name = name or urlsplit(url).netloc.rpartition("@")[2]
        return self._hosts.setdefault(name, _Host(name))


def retry_after_s(headers: Mapping[str, str], wall_s: float) -> float:
    """Seconds that `Retry-After` asks for, 0 where it says nothing that can be meant.

    A date is held against the sender's own `Date`, because our clock may be wrong.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MAX_ASKED_S)
    until_s = _date_s(text)
    if until_s is None:
        return 0.0
    now_s = _date_s(headers.get("date", ""))
    return min(max(0.0, until_s - (wall_s if now_s is None else now_s)), _MAX_ASKED_S)


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _failure(shown: str, status: int, wait_s: float, answer: bytes) -> RestError:
    """The error for an answer that is not 200, with the way out."""
    if status == 451:
        return Blocked(
            f"{shown}: HTTP 451, this venue does not serve the location of this machine. "
            "Leave it out and record another one, e.g. --venues coinbase kraken hyperliquid.",
            status, wait_s,
        )  # fmt: skip
    said = f", it says {answer.decode(errors='replace')!r}" if answer else ""
    asked = f"; not asked again for {wait_s:.0f} s" if wait_s else ""
    return RestError(f"{shown}: HTTP {status}{said}{asked}", status, wait_s)


def _shown(url: str) -> str:
    """The URL without query, fragment and user."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def _whole(response: httpx.Response) -> bytes:
    """The body, unpacked here so that a small packed one cannot become a large one before it is measured."""
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding not in ("identity", "gzip"):
        raise _Refused(f"an answer in content-encoding {coding[:20]!r}; asked for gzip or none")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding == "gzip" else None
    parts: list[bytes] = []
    n_bytes = 0
    async for chunk in response.aiter_raw():
        part = chunk if unpack is None else unpack.decompress(chunk, MAX_BODY_BYTES + 1 - n_bytes)
        n_bytes += len(part)
        if n_bytes > MAX_BODY_BYTES:
            raise _Refused(f"an answer above {MAX_BODY_BYTES} bytes")
        parts.append(part)
    if unpack is not None and parts and not unpack.eof:
        raise zlib.error("packed body ends early")
    return b"".join(parts)


async def _beginning(response: httpx.Response) -> bytes:
    """The first bytes of an error's body, where they are readable."""
    if "content-encoding" in response.headers:
        return b""
    async for chunk in response.aiter_raw():
        return chunk[:_SHOWN_BYTES]
    return b""

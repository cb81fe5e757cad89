"""HTTP with manners: what is tried again, what is left alone, for how long, and what is never read or shown."""

import asyncio
import gzip
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import httpx
import pytest

from observer import rest as rest_module
from observer.backoff import Backoff
from observer.ports import RestError
from observer.rest import MAX_BODY_BYTES, TRIES, USER_AGENT, Blocked, HttpRest, retry_after_s
from tests.samples.one_answer import serving

HOST = "https://venue.test"


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass; others may run."""
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


class Reply(NamedTuple):
    """An answer, made afresh each time it is given."""

    code: int
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012


class Script:
    """A server that gives the answers of a list, then 200 for ever; keeps the requests and when they came."""

    def __init__(self, clock: Clock, *answers: Reply | Exception) -> None:
        self.clock, self.answers = clock, list(answers)
        self.requests: list[httpx.Request] = []
        self.at_s: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.at_s.append(self.clock())
        answer = self.answers.pop(0) if self.answers else Reply(200, b"ok")
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.code, headers=answer.headers, stream=httpx.ByteStream(answer.body))


def run(
    use: Callable[[HttpRest], Awaitable[bytes]], *answers: Reply | Exception, spacing_s: float = 0.0
) -> tuple[bytes | RestError, Script, HttpRest]:
    """Let `use` talk to a scripted server; returns its result or its error, the server and the client."""
    clock = Clock()
    server = Script(clock, *answers)

    async def session() -> tuple[bytes | RestError, Script, HttpRest]:
        async with HttpRest(
            transport=httpx.MockTransport(server), rng=random.Random(7), mono_s=clock, wall_s=clock, sleep=clock.sleep,
            spacing_s=spacing_s,
        ) as rest:  # fmt: skip
            try:
                return await use(rest), server, rest
            except RestError as error:
                return error, server, rest

    return asyncio.run(session())


def get(rest: HttpRest) -> Awaitable[bytes]:
    """One GET with a secret in its query."""
    return rest.get(f"{HOST}/book", {"key": "s3cret"}, {"X-Key": "s3cret"})


def status(code: int, retry_after: str = "") -> Reply:
    """An answer with a status and no body."""
    return Reply(code, headers={"Retry-After": retry_after} if retry_after else {})


def packed(body: bytes, coding: str = "gzip") -> Reply:
    """An answer with a coded body."""
    return Reply(200, body, {"Content-Encoding": coding})


def test_a_request_says_who_asks() -> None:
    answer, server, _ = run(get)

    assert answer == b"ok"
    assert server.requests[0].headers["User-Agent"] == USER_AGENT
    assert server.requests[0].headers["X-Key"] == "s3cret"


@pytest.mark.parametrize("trouble", [status(500), status(503), status(425), httpx.ConnectError("refused")])
def test_a_passing_trouble_is_tried_again(trouble: Reply | Exception) -> None:
    answer, server, rest = run(get, trouble, trouble)

    assert answer == b"ok"
    assert len(server.requests) == 3
    assert 0 < sum(server.clock.slept_s) <= 0.5 + 1.0
    assert rest.counts["venue.test", "200"] == 1


@pytest.mark.parametrize(("trouble", "code"), [(httpx.ReadTimeout("slow"), 0), (status(502), 502)])
def test_trouble_that_stays_ends_in_an_error(trouble: Reply | Exception, code: int) -> None:
    error, server, _ = run(get, *[trouble] * TRIES)

    assert isinstance(error, RestError)
    assert error.status == code
    assert len(server.requests) == TRIES


def test_a_wrong_request_is_not_repeated() -> None:
    error, server, _ = run(get, Reply(400, b'{"code":-1121,"msg":"Invalid symbol."}'))

    assert isinstance(error, RestError)
    assert error.status == 400
    assert "Invalid symbol" in str(error)
    assert len(server.requests) == 1


def test_a_post_is_repeated_with_its_body() -> None:
    answer, server, _ = run(lambda rest: rest.post(f"{HOST}/info", b'{"type":"meta"}'), status(500))

    assert answer == b"ok"
    assert [request.content for request in server.requests] == [b'{"type":"meta"}'] * 2


def test_neither_query_nor_headers_are_shown() -> None:
    error, _, _ = run(
        lambda rest: rest.get("https://me:s3cret@venue.test/a?x=s3cret", None, {"K": "s3cret"}), status(404)
    )

    assert "s3cret" not in str(error)
    assert "https://venue.test/a" in str(error)


def test_nothing_is_logged_by_the_library(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run(get, status(500))

    assert "s3cret" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("http")]


def test_retry_after_is_waited_for_and_holds_for_the_whole_host() -> None:
    async def two(rest: HttpRest) -> bytes:
        both = await asyncio.gather(rest.get(f"{HOST}/a"), rest.get(f"{HOST}/b"))
        return b" ".join(both)

    answer, server, _ = run(two, status(429, retry_after="7"), spacing_s=0.1)

    assert answer == b"ok ok"
    assert min(server.at_s[1:]) >= server.at_s[0] + 7


def test_a_host_that_does_not_say_how_long_is_left_alone_longer_each_time() -> None:
    error, server, _ = run(get, *[status(429)] * TRIES)

    assert isinstance(error, RestError)
    waits = [b - a for a, b in zip(server.at_s, server.at_s[1:], strict=False)]
    assert waits == [5.0, 10.0, 20.0]


def test_a_host_that_answered_again_starts_with_a_short_pause() -> None:
    async def twice(rest: HttpRest) -> bytes:
        return await rest.get(f"{HOST}/a") + await rest.get(f"{HOST}/b")

    _, server, _ = run(twice, status(429), status(429), Reply(200), status(429))

    assert [b - a for a, b in zip(server.at_s, server.at_s[1:], strict=False)] == [5.0, 10.0, 0.0, 5.0]


@pytest.mark.parametrize("code", [403, 418, 451])
def test_a_ban_is_not_asked_again_even_where_it_is_short(code: int) -> None:
    error, server, _ = run(get, status(code, retry_after="2"))

    assert isinstance(error, RestError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [403, 418, 451])
def test_a_ban_stops_the_host_at_once(code: int) -> None:
    async def twice(rest: HttpRest) -> bytes:
        with pytest.raises(RestError) as first:
            await rest.get(f"{HOST}/a")
        assert first.value.status == code
        return await rest.get(f"{HOST}/b")

    error, server, rest = run(twice, status(code, retry_after="120"))

    assert isinstance(error, RestError)
    assert (error.status, round(error.retry_after_s)) == (code, 120)
    assert isinstance(error, Blocked) == (code == 451)
    assert len(server.requests) == 1
    assert rest.paused_s() == {"venue.test": 120.0}


def test_another_host_goes_on() -> None:
    async def both(rest: HttpRest) -> bytes:
        with pytest.raises(RestError):
            await rest.get(f"{HOST}/a")
        return await rest.get("https://other.test/a")

    answer, _, _ = run(both, status(418))

    assert answer == b"ok"


def test_a_pause_ends() -> None:
    async def later(rest: HttpRest) -> bytes:
        with pytest.raises(RestError):
            await rest.get(f"{HOST}/a")
        await server_clock(rest)(121.0)
        return await rest.get(f"{HOST}/a")

    def server_clock(rest: HttpRest) -> Callable[[float], Awaitable[None]]:
        return rest._sleep

    answer, _, _ = run(later, status(418, retry_after="120"))

    assert answer == b"ok"


def test_a_block_names_the_way_out() -> None:
    error, _, _ = run(get, status(451))

    assert isinstance(error, Blocked)
    assert "--venues" in str(error)


def test_venues_behind_one_exchange_do_not_share_a_pause() -> None:
    addresses = {
        "binance-spot.rest": "http://127.0.0.1:9/binance-spot/rest",
        "kalshi.rest": "http://127.0.0.1:9/kalshi/rest",
    }
    clock = Clock()
    server = Script(clock, status(451))

    async def session() -> bytes:
        async with HttpRest(addresses, transport=httpx.MockTransport(server), mono_s=clock, sleep=clock.sleep) as rest:
            with pytest.raises(Blocked):
                await rest.get("http://127.0.0.1:9/binance-spot/rest/api/v3/depth")
            assert list(rest.paused_s()) == ["binance-spot.rest"]
            return await rest.get("http://127.0.0.1:9/kalshi/rest/markets")

    assert asyncio.run(session()) == b"ok"


def test_requests_to_one_host_keep_their_distance() -> None:
    async def five(rest: HttpRest) -> bytes:
        await asyncio.gather(*(rest.get(f"{HOST}/{i}") for i in range(5)))
        return b""

    _, server, _ = run(five, spacing_s=0.6)

    gaps = [b - a for a, b in zip(server.at_s, server.at_s[1:], strict=False)]
    assert len(gaps) == 4
    assert min(gaps) >= 0.6 - 1e-9


@pytest.mark.parametrize(
    ("headers", "wanted_s"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:20:00 GMT"}, 200.0),  # by our own clock, which shows 1000 s
        ({"retry-after": "Wed, 21 Oct 2020 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "99999999999999999999"}, 3 * 86_400.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "NaN"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "Wed, 99 Foo 2026"}, 0.0),
        ({}, 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(headers: dict[str, str], wanted_s: float) -> None:
    assert retry_after_s(headers, wall_s=1000.0) == wanted_s


def test_a_packed_body_is_unpacked() -> None:
    answer, _, _ = run(get, packed(gzip.compress(b'{"bids":[]}')))

    assert answer == b'{"bids":[]}'


def test_a_packed_bomb_is_not_unpacked_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    bomb = gzip.compress(bytes(4 * MAX_BODY_BYTES))
    monkeypatch.setattr(rest_module, "MAX_BODY_BYTES", 1 << 20)
    tracemalloc.start()

    error, server, _ = run(get, packed(bomb))

    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(error, RestError)
    assert "above 1048576 bytes" in str(error)
    assert len(server.requests) == 1
    assert peak_bytes < 8 << 20


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip"])
def test_a_coding_that_was_not_asked_for_is_refused(coding: str) -> None:
    error, _, _ = run(get, packed(b"x", coding))

    assert isinstance(error, RestError)
    assert "content-encoding" in str(error)


def test_a_redirect_is_not_followed() -> None:
    error, server, _ = run(get, Reply(302, headers={"Location": "http://169.254.169.254/"}))

    assert isinstance(error, RestError)
    assert error.status == 302
    assert len(server.requests) == 1


async def _serve(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(writer)
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


def over_tcp(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> bytes | RestError:
    """One GET against a real socket that does `answer`."""

    async def session() -> bytes | RestError:
        server = await _serve(answer)
        port = server.sockets[0].getsockname()[1]
        try:
            async with HttpRest(rng=random.Random(1), spacing_s=0.0, sleep=lambda _: asyncio.sleep(0)) as rest:
                return await rest.get(f"http://127.0.0.1:{port}/x")
        except RestError as error:
            return error
        finally:
            server.close()

    return asyncio.run(session())


def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_module, "DEADLINE_S", 0.1)
    monkeypatch.setattr(rest_module, "TRIES", 1)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0.02)

    error = over_tcp(drip)

    assert isinstance(error, RestError)
    assert "TimeoutError" in str(error)


def test_a_body_that_is_cut_is_no_answer() -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")

    error = over_tcp(cut)

    assert isinstance(error, RestError)
    assert error.status == 0


def test_a_packed_body_that_is_cut_is_no_answer() -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        body = gzip.compress(b"[1,2,3]" * 100)[:-10]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    error = over_tcp(cut)

    assert isinstance(error, RestError)
    assert error.status == 0


def test_a_real_answer_comes_through() -> None:
    async def whole(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    assert over_tcp(whole) == b"abcde"


def test_waits_are_jittered_capped_and_start_small_again_after_data() -> None:
    backoff = Backoff(random.Random(3))

    waits = [backoff.next_s() for _ in range(2000)]

    assert all(0 <= wait <= 30 for wait in waits)
    assert all(wait <= 0.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert max(waits[100:]) > 29
    assert min(waits[100:]) < 1
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_a_wait_is_never_below_what_was_asked_for() -> None:
    backoff = Backoff(random.Random(3))

    assert min(backoff.next_s(at_least_s=5.0) for _ in range(200)) == 5.0


def test_two_clients_thrown_out_together_do_not_come_back_together() -> None:
    waits = [Backoff(random.Random(seed)).next_s() for seed in range(100)]

    assert len({round(wait, 3) for wait in waits}) > 80


def test_a_proxy_of_the_environment_is_asked_for_venues_and_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask(*urls: str) -> list[bytes]:
        async with HttpRest() as rest:
            return [await rest.get(url) for url in urls]

    with serving(b"from the proxy") as proxy, serving(b"from here") as here:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        answers = asyncio.run(ask("http://venue.test/book", here, here.replace("127.0.0.1", "localhost")))

    assert answers == [b"from the proxy", b"from here", b"from here"]

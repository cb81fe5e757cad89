"""The exchange as a process of its own, over real sockets, read by the `websockets` library and plain HTTP."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from observer.exchange.child import Child, running
from observer.exchange.server import Exchange
from observer.exchange.settings import ExchangeSettings
from observer.exchange.venues import coinbase
from observer.exchange.venues.polymarket import market_socket
from observer.kit.clock import NS_PER_MS
from observer.kit.errors import ToolkitError, UsageError
from observer.venues.urls import URLS, at_exchange
from tests.observer.exchange.readers import KalshiReader, PolymarketReader, true_levels
from tests.observer.exchange.test_kalshi import headers, pem

SPEED = 20.0


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with running(
        "--seed", "5", "--speed", str(SPEED), "--coins", "BTC", "--start", "2026-11-20T14:01:00Z"
    ) as child:  # fmt: skip
        yield child


def url(child: Child, name: str) -> str:
    return at_exchange(child.url, name)


def tokens(child: Child) -> list[str]:
    """Both tokens of the quarter-hour window that is open now."""
    now = child.get("/clock")["now_ns"] // 10**9
    event = child.get(f"/polymarket/gamma/events/slug/btc-updown-15m-{now // 900 * 900}")
    market = event["markets"][0]
    return market.get("positionIds") or json.loads(market["clobTokenIds"])


async def subscribed(child: Child, wanted: list[str]) -> ClientConnection:
    ws = await connect(url(child, "polymarket.market"), max_size=None, ping_interval=None, compression=None)
    await ws.send(json.dumps({"type": "market", "assets_ids": wanted}))
    return ws


async def read_for(ws: ClientConnection, seconds: float) -> list[Any]:
    """Every JSON event of so many real seconds."""
    found: list[Any] = []
    stop = time.monotonic() + seconds
    while (left := stop - time.monotonic()) > 0:
        try:
            text = await asyncio.wait_for(ws.recv(), left)
        except TimeoutError:
            break
        if text[:1] in ("{", "["):
            value = json.loads(text)
            found += value if isinstance(value, list) else [value]
    return found


async def until_closed(ws: ClientConnection) -> tuple[list[str], int | None]:
    """Every text up to the end, and the code of the close frame (None without one)."""
    found: list[str] = []
    while True:
        try:
            found.append(str(await asyncio.wait_for(ws.recv(), 5)))
        except ConnectionClosed as gone:
            return found, gone.rcvd.code if gone.rcvd else None


def test_the_first_line_says_where_it_is_and_what_time_it_is(child: Child) -> None:
    clock = child.get("/clock")

    assert child.url.startswith("http://127.0.0.1:")
    assert child.ready["venues"] == [
        "polymarket", "kalshi", "binance-spot", "binance-usdm", "coinbase", "kraken", "hyperliquid",
    ]  # fmt: skip
    followed = child.ready["now_ns"] + int((clock["mono_ns"] - child.ready["mono_ns"]) * clock["speed"])
    assert abs(clock["now_ns"] - followed) < 1_000


@pytest.mark.parametrize("name", [name for name in URLS if URLS[name].startswith("wss")])
def test_every_socket_address_of_the_recorder_is_served(child: Child, name: str) -> None:
    key = Ed25519PrivateKey.generate()
    child.post("/control/kalshi/keys", {"id": "k", "pem": pem(key).decode()})
    now = int(time.time() * 1_000)
    signed = headers("k", key.sign(f"{now}GET/trade-api/ws/v2".encode()), now)
    path = {"binance-spot.ws": "/ws/btcusdt@trade", "binance-usdm.ws": "/public/ws/btcusdt@trade"}.get(name, "")

    async def shake() -> None:
        async with connect(url(child, name) + path, additional_headers=signed if name == "kalshi.ws" else {}) as ws:
            await ws.ping()

    asyncio.run(shake())


def test_a_reader_keeps_the_true_books_over_a_real_socket(child: Child) -> None:
    reader, wanted = PolymarketReader(), tokens(child)

    async def read() -> None:
        ws = await subscribed(child, wanted)
        reader.read_all(await read_for(ws, 1.0))
        child.post("/control/still", {"still": True})
        reader.read_all(await read_for(ws, 0.3))
        await ws.close()

    try:
        asyncio.run(read())
        truth = child.get("/control/books", venue="polymarket", key=wanted[0])
    finally:
        child.post("/control/still", {"still": False})

    assert truth["is_still"]
    assert [reader.shown(book["key"]) for book in truth["books"]] == [true_levels(book) for book in truth["books"]]
    assert truth["books"]


def test_kalshi_wants_signed_headers(child: Child) -> None:
    reader = KalshiReader()
    key, now = Ed25519PrivateKey.generate(), int(time.time() * 1_000)
    child.post("/control/kalshi/keys", {"id": "mine", "pem": pem(key).decode()})
    address = url(child, "kalshi.ws")
    (market,) = child.get("/kalshi/rest/trade-api/v2/markets", series_ticker="KXBTC15M", status="open")["markets"]

    async def read() -> str:
        with pytest.raises(InvalidStatus) as refused:
            await connect(address)
        good = headers("mine", key.sign(f"{now}GET/trade-api/ws/v2".encode()), now)
        async with connect(address, additional_headers=good) as ws:
            params = {"channels": ["orderbook_delta"], "market_tickers": [market["ticker"]]}
            await ws.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
            reader.read_all(await read_for(ws, 0.5))
        return str(refused.value)

    refusal = asyncio.run(read())

    assert "401" in refusal
    assert reader.books
    assert reader.holes == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"kind": "abort"}, None), ({"kind": "close", "code": 1012}, 1012), ({"kind": "slow"}, 1008)],
)
def test_a_connection_ends_as_the_fault_says(child: Child, fault: dict[str, Any], code: int | None) -> None:
    wanted = tokens(child)

    async def read() -> int | None:
        ws = await subscribed(child, wanted)
        await ws.recv()
        child.post("/control/faults", {"venue": "polymarket", "stream": "market", "after_messages": 2, **fault})
        return (await until_closed(ws))[1]

    assert asyncio.run(read()) == code
    entry = child.get("/control/log")[-1]
    assert (entry["kind"], entry["loses_data"]) == (fault["kind"], True)
    assert entry["keys"] == sorted(wanted)
    assert child.get("/control/connections") == []


def test_a_bomb_that_waits_unread_does_not_make_its_reader_a_slow_one(child: Child) -> None:
    wanted = tokens(child)

    async def read() -> list[Any]:
        ws = await connect(url(child, "polymarket.market"), max_size=None, max_queue=1, ping_interval=None)
        await ws.send(json.dumps({"type": "market", "assets_ids": wanted}))
        child.post("/control/faults", {"kind": "bomb_big", "venue": "polymarket"})
        await asyncio.sleep(1.0)
        bombed = child.get("/control/log")[-1]
        found = [bombed["kind"], len(child.get("/control/connections"))]
        ws.transport.abort()
        return found

    assert asyncio.run(read()) == ["bomb_big", 1]


def test_a_half_open_connection_answers_no_ping(child: Child) -> None:
    wanted = tokens(child)

    async def read() -> list[Any]:
        ws = await subscribed(child, wanted)
        await ws.recv()
        child.post("/control/faults", {"kind": "half_open", "venue": "polymarket"})
        await read_for(ws, 0.1)  # what was on its way
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(await ws.ping(), 0.5)
        found = await read_for(ws, 0.2)
        ws.transport.abort()
        return found

    assert asyncio.run(read()) == []


def test_binance_announces_the_end_of_the_day_and_then_leaves(child: Child) -> None:
    async def read() -> tuple[list[str], int | None]:
        async with connect(url(child, "binance-spot.ws") + "/ws/btcusdt@trade") as ws:
            child.post("/control/faults", {"kind": "day_cut", "venue": "binance-spot"})
            return await until_closed(ws)

    said, code = asyncio.run(read())

    assert any(json.loads(text).get("e") == "serverShutdown" for text in said)
    assert code == 1001


def test_binance_futures_send_nothing_after_the_cut_that_the_log_tells_of(child: Child) -> None:
    async def read() -> tuple[list[str], int | None]:
        async with connect(url(child, "binance-usdm.ws") + "/public/ws/btcusdt@depth@100ms") as ws:
            await ws.recv()
            child.post("/control/faults", {"kind": "day_cut", "venue": "binance-usdm"})
            return await until_closed(ws)

    said, code = asyncio.run(read())

    cut = next(entry for entry in child.get("/control/log") if entry["kind"] == "day_cut")
    assert code == 1001
    assert all(json.loads(text)["E"] * NS_PER_MS <= cut["start_ns"] for text in said)


@pytest.mark.parametrize(("status", "retry_after_s"), [(429, 7), (503, 0), (403, 0), (451, 0)])
def test_http_faults_refuse_requests_and_handshakes_for_their_time(
    child: Child, status: int, retry_after_s: int
) -> None:
    fault = {
        "kind": "http",
        "venue": "binance-spot",
        "status": status,
        "retry_after_s": retry_after_s,
        "duration_s": 10.0,
    }
    address = url(child, "binance-spot.rest") + "/api/v3/time"
    child.post("/control/faults", fault)

    refused = httpx.get(address)
    with pytest.raises(InvalidStatus, match=str(status)):
        asyncio.run(_shake(url(child, "binance-spot.ws") + "/ws/btcusdt@trade"))
    other = httpx.get(url(child, "binance-usdm.rest") + "/fapi/v1/time")
    time.sleep(10.0 / SPEED)

    assert refused.status_code == status
    assert refused.headers.get("Retry-After") == (str(retry_after_s) if retry_after_s else None)
    assert other.status_code == 200
    assert httpx.get(address).status_code == 200
    assert child.get("/control/log")[-1]["frames"] == 2


async def _shake(address: str) -> None:
    async with connect(address):
        pass


def test_a_bad_fault_is_refused_with_the_reason(child: Child) -> None:
    answers = [
        httpx.post(child.url + "/control/faults", json=fault)
        for fault in ({"kind": "tea"}, {"kind": "drop", "spoon": 1}, {"kind": "http"})
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert "tea" in answers[0].json()["error"]
    assert "duration_s" in answers[2].json()["error"]


def test_pages_walk_through_every_event_once(child: Child) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 1_000, "closed": "false"}
    while True:
        page = child.get("/polymarket/gamma/events/keyset", **query)
        assert len(page["events"]) <= 100
        seen += [event["slug"] for event in page["events"]]
        if "next_cursor" not in page:
            break
        query["after_cursor"] = page["next_cursor"]

    assert len(seen) == len(set(seen)) > 300  # a day of five- and fifteen-minute windows of one coin
    assert "stale-question-of-2025" in seen
    assert httpx.get(child.url + "/polymarket/gamma/events/keyset?offset=1").status_code == 422


@pytest.mark.parametrize(
    ("query", "slugs"),
    [
        ({"tag_slug": "politics"}, {"harbour-city-mayor", "budget-vote-before-march"}),
        ({"tag_id": 1}, {"cup-final-reds-blues", "league-greens-whites"}),
        ({"slug": "rates-cut-in-december"}, {"rates-cut-in-december"}),
    ],
)
def test_events_are_found_by_tag_and_slug(child: Child, query: dict[str, Any], slugs: set[str]) -> None:
    assert {event["slug"] for event in child.get("/polymarket/gamma/events", **query)} == slugs


def test_a_query_bounded_in_time_leaves_stale_events_out(child: Child) -> None:
    now = datetime.fromtimestamp(child.get("/clock")["now_ns"] / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    page = child.get(
        "/polymarket/gamma/events/keyset", series_id=10192, closed="false", end_date_min=now, limit=3
    )  # fmt: skip

    starts = [int(event["slug"].rpartition("-")[2]) for event in page["events"]]
    assert starts == [starts[0], starts[0] + 900, starts[0] + 1_800]


def test_every_question_about_one_token_has_an_answer(child: Child) -> None:
    token = tokens(child)[0]
    ask = {"token_id": token, "side": "BUY"}

    shown = {
        path: child.get("/polymarket/clob/" + path, **ask)
        for path in ("book", "price", "midpoint", "spread", "last-trade-price", "tick-size", "neg-risk", "fee-rate")
    }  # fmt: skip
    several = {
        path: child.post("/polymarket/clob/" + path, [ask]) for path in ("books", "prices", "midpoints", "spreads")
    }

    assert shown["book"]["asset_id"] == several["books"][0]["asset_id"] == token
    assert [set(shown[path]) for path in list(shown)[1:]] == [
        {"price"}, {"mid"}, {"spread"}, {"price", "side"}, {"minimum_tick_size"}, {"neg_risk"}, {"base_fee"},
    ]  # fmt: skip
    assert set(several["prices"][token]) == {"BUY", "SELL"}
    assert httpx.get(child.url + "/polymarket/clob/book", params={"token_id": "1"}).status_code == 404


def test_protocol_v2_markets_want_their_id_padded(child: Child) -> None:
    listed = child.get("/polymarket/gamma/markets", limit=100)
    found = next(m for m in listed if m["version"] == "v2" and m["positionIds"])
    base = child.url + "/polymarket/clob/clob-markets/"

    compact = httpx.get(base + found["conditionId"] + "00")

    assert [token["o"] for token in compact.json()["t"]] == ["Up", "Down"]
    assert httpx.get(base + found["conditionId"]).status_code == 404


def test_sigterm_ends_it_with_exit_code_0() -> None:
    command = [sys.executable, "-m", "observer.cli.exchange", "--venues", "hyperliquid", "--coins", "BTC"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    with httpx.Client() as client:
        client.get(ready["url"] + "/clock")
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=10)

    assert process.returncode == 0, errors
    assert "stopped http://127.0.0.1:" in said


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_does_not_outlive_the_process_that_started_it() -> None:
    starts = (
        "import os, time; from observer.exchange.child import running\n"
        "with running('--venues', 'hyperliquid', '--coins', 'BTC') as child:\n"
        "    print(child.ready['pid'], flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.1)

    assert not is_alive(pid)


def test_a_taken_port_and_a_wrong_name_are_explained(child: Child) -> None:
    port = child.url.rpartition(":")[2]

    with pytest.raises(ToolkitError, match="--port 0"), running("--port", port, "--coins", "BTC"):
        pass
    for wrong, says in (
        ({"coins": ("TEA",)}, "no coin is called 'TEA'"),
        ({"venues": ("tea",)}, "no exchange venue is called 'tea'"),
        ({"start": "noon"}, "ISO 8601"),
    ):
        with pytest.raises(UsageError, match=says):
            Exchange(ExchangeSettings(**wrong))  # type: ignore[arg-type]


def test_an_idle_market_socket_and_an_idle_coinbase_are_dropped_in_real_seconds(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checked on the constants and on one connection of an exchange in this process, with a shorter limit."""
    assert (market_socket._SUBSCRIBE_WITHIN_S, coinbase._SUBSCRIBE_WITHIN_S) == (10.0, 5.0)
    monkeypatch.setattr(coinbase, "_SUBSCRIBE_WITHIN_S", 0.1)

    async def wait() -> int | None:
        settings = ExchangeSettings(venues=("coinbase",), coins=("BTC",))
        async with Exchange(settings) as exchange, connect(at_exchange(exchange.url, "coinbase.ws")) as ws:
            return (await until_closed(ws))[1]

    assert asyncio.run(wait()) == 1000

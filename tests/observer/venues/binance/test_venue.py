"""Binance's symbols, sockets and REST calls, and how often it may be asked."""

import asyncio

import pytest

from observer.ports import Instrument, RestError, Selection
from observer.rest import Blocked
from observer.venues.binance import spot, usdm
from observer.venues.binance.budget import Budget
from observer.venues.binance.venue import SPOT_PRODUCT, USDM_PRODUCT, Product
from observer.venues.table import VENUES
from observer.venues.urls import URLS, resolve


class AnsweringRest:
    """Answers every GET the same way and keeps what was asked."""

    def __init__(self, answer: bytes | Exception = b"{}") -> None:
        self.answer, self.asked = answer, list[tuple[str, dict[str, str] | None]]()

    async def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
        self.asked.append((url, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        raise AssertionError("Binance's market data is asked for by GET")


def test_both_products_are_in_the_table() -> None:
    assert VENUES["binance-spot"](URLS).name == "binance-spot"
    assert VENUES["binance-usdm"](URLS).name == "binance-usdm"


def test_spot_names_its_streams_in_lower_case_in_the_url() -> None:
    venue = spot(URLS)

    (plan,) = venue.plan(venue.feeds(Selection(("btc", "eth"))))

    assert plan.url == (
        "wss://stream.binance.com:9443/stream?streams="
        "btcusdt@depth@100ms/btcusdt@trade/ethusdt@depth@100ms/ethusdt@trade"
    )
    assert [instrument.source for instrument in plan.instruments] == ["binance-spot"] * 2
    assert 0 < plan.silence_s <= 30
    assert 0 < plan.life_s < 24 * 3600


def test_usdm_keeps_to_the_split_of_2026() -> None:
    venue = usdm(URLS)

    books, prices = venue.plan(venue.feeds(Selection(("btc",))))

    assert books.url == "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
    assert prices.url == "wss://fstream.binance.com/market/stream?streams=btcusdt@markPrice@1s"
    assert [i.source for i in books.instruments + prices.instruments] == [
        "binance-usdm", "binance-usdm-mark", "binance-usdm-index",
    ]  # fmt: skip


def test_everything_can_be_served_by_a_loopback_exchange() -> None:
    venue = usdm(resolve("http://127.0.0.1:8080"))
    rest = AnsweringRest()

    (books, _) = venue.plan(venue.feeds(Selection(("btc",))))
    asyncio.run(venue.snapshot(rest, books.instruments[0]))

    assert books.url.startswith("ws://127.0.0.1:8080/binance-usdm/ws/public/stream?streams=btcusdt@depth@100ms")
    assert rest.asked == [
        ("http://127.0.0.1:8080/binance-usdm/rest/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "1000"})
    ]


@pytest.mark.parametrize(("words", "n_coins"), [((), 7), (("crypto",), 7), (("btc", "sol"), 2), (("politics",), 0)])
def test_the_wanted_coins_are_fed(words: tuple[str, ...], n_coins: int) -> None:
    feeds = spot(URLS).feeds(Selection(words))

    assert len(feeds) == n_coins
    assert all(feed.token == 0 and not feed.market_id and feed.key == f"{feed.symbol}USDT" for feed in feeds)


def test_no_wanted_coin_opens_no_socket() -> None:
    assert spot(URLS).plan(spot(URLS).feeds(Selection(("politics",)))) == []


def test_spot_asks_for_the_deepest_book() -> None:
    rest = AnsweringRest(b"body")

    body = asyncio.run(spot(URLS).snapshot(rest, Instrument("binance-spot", "ETHUSDT", "", 0, "ETH")))

    assert body == b"body"
    assert rest.asked == [("https://api.binance.com/api/v3/depth", {"symbol": "ETHUSDT", "limit": "5000"})]


def test_a_bare_price_has_no_book() -> None:
    with pytest.raises(RestError, match="no book"):
        asyncio.run(usdm(URLS).snapshot(AnsweringRest(), Instrument("binance-usdm", "BTCUSDT@markPrice", "", 0, "BTC")))


def test_a_refused_location_is_said_before_any_socket_is_tried() -> None:
    venue = spot(URLS)

    with pytest.raises(Blocked):
        asyncio.run(venue.discover(AnsweringRest(Blocked("HTTP 451", 451, 3600.0)), Selection(), 0))

    rest = AnsweringRest()
    assert asyncio.run(venue.discover(rest, Selection(), 0)) == []
    assert rest.asked == [("https://api.binance.com/api/v3/ping", None)]
    asyncio.run(venue.discover(rest, Selection(), 0))
    assert len(rest.asked) == 1


@pytest.mark.parametrize("status", [0, 404, 503])
def test_another_trouble_with_rest_is_left_to_the_sockets(status: int) -> None:
    assert asyncio.run(spot(URLS).discover(AnsweringRest(RestError("x", status)), Selection(), 0)) == []


@pytest.mark.parametrize(
    ("product", "weight", "limit"), [(SPOT_PRODUCT, 250, 6000), (USDM_PRODUCT, 20, 2400)], ids=["spot", "usdm"]
)
def test_no_minute_holds_more_snapshots_than_the_venue_allows(product: Product, weight: int, limit: int) -> None:
    now_s, taken_s = 50.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    async def take_many() -> None:
        budget = Budget(product.burst, product.per_minute, mono_s=lambda: now_s, sleep=sleep)
        for _ in range(300):
            await budget.take()
            taken_s.append(now_s)

    asyncio.run(take_many())

    worst = max(sum(start <= at < start + 60 for at in taken_s) for start in taken_s)
    assert worst * weight <= limit
    assert taken_s[product.burst - 1] == 50.0
    assert taken_s[product.burst] > 50.0


def test_a_snapshot_waits_for_its_turn() -> None:
    venue, waited_s = spot(URLS), list[float]()
    btc = Instrument("binance-spot", "BTCUSDT", "", 0, "BTC")

    async def sleep(seconds: float) -> None:
        waited_s.append(seconds)

    venue._budget = Budget(1, 60, mono_s=lambda: 0.0, sleep=sleep)
    for _ in range(3):
        asyncio.run(venue.snapshot(AnsweringRest(), btc))

    assert waited_s == [1.0, 2.0]


def test_tasks_that_take_at_once_share_one_budget() -> None:
    slept_s: list[float] = []

    async def sleep(seconds: float) -> None:
        slept_s.append(seconds)

    async def take_together() -> None:
        budget = Budget(2, 60, mono_s=lambda: 0.0, sleep=sleep)
        await asyncio.gather(*(budget.take() for _ in range(5)))

    asyncio.run(take_together())

    assert slept_s == [1.0, 2.0, 3.0]

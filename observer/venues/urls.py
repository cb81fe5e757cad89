"""Every address the venues are reached at, by one name each.

`--exchange http://127.0.0.1:PORT` sends all of them to the loopback exchange, which serves `polymarket.clob` below
`/polymarket/clob`, and so on; `--url NAME=URL` changes one. Nothing else in the code holds an address.
"""

from urllib.parse import urlsplit

from observer.kit.errors import UsageError

URLS: dict[str, str] = {
    "polymarket.gamma": "https://gamma-api.polymarket.com",
    "polymarket.clob": "https://clob.polymarket.com",
    "polymarket.market": "wss://ws-subscriptions-clob.polymarket.com/ws/market",
    "polymarket.rtds": "wss://ws-live-data.polymarket.com",
    "kalshi.rest": "https://external-api.kalshi.com/trade-api/v2",
    "kalshi.ws": "wss://external-api-ws.kalshi.com/trade-api/ws/v2",
    "binance-spot.rest": "https://api.binance.com",
    "binance-spot.ws": "wss://stream.binance.com:9443",
    "binance-usdm.rest": "https://fapi.binance.com",
    "binance-usdm.ws": "wss://fstream.binance.com",
    "coinbase.rest": "https://api.coinbase.com/api/v3/brokerage",
    "coinbase.ws": "wss://advanced-trade-ws.coinbase.com",
    "kraken.rest": "https://api.kraken.com",
    "kraken.ws": "wss://ws.kraken.com/v2",
    "hyperliquid.rest": "https://api.hyperliquid.xyz/info",
    "hyperliquid.ws": "wss://api.hyperliquid.xyz/ws",
}

# What can be left out: `--url NAME=off`. The other addresses of its venue do not need it.
OPTIONAL = ("polymarket.rtds",)
OFF = "off"


def resolve(exchange: str = "", changed: tuple[str, ...] = ()) -> dict[str, str]:
    """The addresses to use.

    Args:
        exchange: base URL of a loopback exchange, or "" for the real venues.
        changed: `NAME=URL` pairs, which win. `NAME=off` makes an optional address empty: it is not used.

    Raises:
        UsageError: a name that is not in `URLS`, or something that is no URL.
    """
    urls = {name: at_exchange(exchange, name) for name in URLS} if exchange else dict(URLS)
    for pair in changed:
        name, _, url = pair.partition("=")
        if name in OPTIONAL and url == OFF:
            urls[name] = ""
            continue
        if name not in URLS or urlsplit(url).scheme not in ("http", "https", "ws", "wss"):
            raise UsageError(f"--url {pair}: wanted NAME=URL with NAME one of {', '.join(URLS)}.")
        urls[name] = url.rstrip("/")
    return urls


def at_exchange(base: str, name: str) -> str:
    """Where the loopback exchange at `base` serves one address: `/venue/what` and then the venue's own path."""
    real, here = urlsplit(URLS[name]), urlsplit(base.rstrip("/"))
    if here.scheme not in ("http", "https"):
        raise UsageError(f"--exchange {base}: wanted http://HOST:PORT of a loopback exchange.")
    secure = here.scheme == "https"
    scheme = ("wss" if secure else "ws") if real.scheme == "wss" else here.scheme
    return f"{scheme}://{here.netloc}{here.path}/{name.replace('.', '/')}{real.path}"

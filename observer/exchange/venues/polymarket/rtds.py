"""The live-data socket: oracle, TWAP and Binance prices once a second, with everything that is wrong with it.

A second may be missing or come twice with a correction; the first answer holds a back-fill that is filed under the
wrong topic; a connection stalls after 14 to 63 minutes and stays open. A blank inside `filters` brings the back-fill
and then silence; one unknown topic spoils the whole request; a text `ping` is never answered.
"""

from collections import defaultdict, deque
from typing import Any

from aiohttp import web

from observer.exchange.fault import Happened
from observer.exchange.floor import Floor
from observer.exchange.peer import Peer
from observer.exchange.upgrade import accept
from observer.exchange.wire import dice, identifier, json_bytes, ms, parse_json
from observer.kit.clock import NS_PER_S

BINANCE, CHAINLINK = "crypto_prices", "crypto_prices_chainlink"
TWAP_30, TWAP_60 = "crypto_prices_twap_thirty", "crypto_prices_twap_sixty"
_SILENT_TOPICS = ("equity_prices", "comments", "activity")
TOPICS = (BINANCE, CHAINLINK, TWAP_30, TWAP_60, *_SILENT_TOPICS)
_BACKFILL = {BINANCE: 120, CHAINLINK: 57, TWAP_30: 57, TWAP_60: 57}
_STALL_AFTER_S = (14 * 60, 63 * 60)


class Rtds:
    """All connections of the live-data socket.

    Args:
        floor: whose time and connections.
    """

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.sessions: set[RtdsSession] = set()
        self._past: dict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=120))

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection."""
        peer, ws = await accept(self.floor, "polymarket", "rtds", request)
        session = RtdsSession(self, peer)
        peer.control(b"")
        await peer.serve(session)
        return ws

    def publish(self, topic: str, symbol: str, at_ns: int, value: float) -> None:
        """Send one price of a second to everyone who wants it."""
        payload: dict[str, Any] = {
            "full_accuracy_value": f"{value:.8f}" if topic == BINANCE else str(round(value * 10**8) * 10**10),
            "symbol": symbol,
            "timestamp": ms(at_ns + self.floor.faults.skew_ns("polymarket")),
            "value": value,
        }
        if topic in (TWAP_30, TWAP_60):
            payload["window_s"] = 60 if topic == TWAP_60 else 30
        self._past[topic, symbol].append({"timestamp": payload["timestamp"], "value": value})
        for session in sorted(self.sessions, key=lambda session: session.peer.number):
            session.offer(topic, symbol, payload)

    def known(self) -> list[tuple[str, str]]:
        """(topic, symbol) of everything that was ever published."""
        return list(self._past)

    def past(self, topic: str, symbol: str) -> list[dict[str, Any]]:
        """The points of a back-fill, oldest first."""
        return list(self._past[topic, symbol])[-_BACKFILL[topic] :]


class RtdsSession:
    """One connection's subscriptions: (topic, symbol or "" for all)."""

    def __init__(self, rtds: Rtds, peer: Peer) -> None:
        self.rtds, self.peer = rtds, peer
        self._wanted: set[tuple[str, str]] = set()
        self._dice = dice(rtds.floor.seed, "rtds", peer.number)
        self._stalls_ns = 2**62
        self._stall: Happened | None = None
        self._name = identifier("rtds", peer.number)[:15] + "="
        rtds.sessions.add(self)

    @property
    def keys(self) -> set[str]:
        """Symbols it is subscribed to, all that were ever published where it named none."""
        named = {symbol for _, symbol in self._wanted if symbol}
        return named | {symbol for topic, symbol in self.rtds.known() if (topic, "") in self._wanted}

    def offer(self, topic: str, symbol: str, payload: dict[str, Any]) -> None:
        """Send an update, if it is wanted and the connection does not stall."""
        if not {(topic, symbol), (topic, "")} & self._wanted:
            return
        floor = self.rtds.floor
        if floor.agenda.now_ns >= self._stalls_ns:
            if self._stall is None:
                self._stall = floor.faults.begin(0, "stall", self.peer)
                self._stall.loses_data = True
            self._stall.frames += 1
            self._stall.keys.add(symbol)
        elif self.peer.wants([symbol]):
            update = {
                "connection_id": self._name, "payload": payload, "timestamp": ms(floor.stamp_ns("polymarket")),
                "topic": topic, "type": "update",
            }  # fmt: skip
            self.peer.data(json_bytes(update), [symbol])

    def message(self, text: str) -> None:
        """A subscription; anything else is ignored."""
        asked = parse_json(text)
        if not isinstance(asked, dict) or asked.get("action") not in ("subscribe", "unsubscribe"):
            return
        wanted = [item for item in asked.get("subscriptions") or () if isinstance(item, dict)]
        unknown = [item.get("topic") for item in wanted if item.get("topic") not in TOPICS]
        if unknown:
            self._refuse(f"topic {unknown[0]} not found")
        elif asked["action"] == "unsubscribe":
            self._wanted -= {(item["topic"], symbol) for item in wanted for symbol in ("", _symbol(item)[0])}
        else:
            self._subscribe(wanted)

    def closed(self) -> None:
        """Forget it."""
        self.rtds.sessions.discard(self)
        if self._stall is not None:
            self._stall.end_ns = self.rtds.floor.agenda.now_ns

    def surprise(self) -> bytes:
        """An update of a type that nobody has documented."""
        return b'{"topic":"crypto_mood","type":"update","timestamp":1,"payload":{"symbol":"btc/usd","mood":"calm"}}'

    def huge(self, levels: int) -> None:
        """There are no books here."""

    def slow(self) -> None:
        """A slow reader is dropped."""
        self.peer.close(1008, "slow consumer")

    def cut(self) -> None:
        """A restart of the gateway."""
        self.peer.close(1001, "going away")

    def _subscribe(self, wanted: list[dict[str, Any]]) -> None:
        if any("," in _symbol(item)[0] for item in wanted):
            self._refuse("filters: invalid regular expression")
            return
        floor = self.rtds.floor
        for item in wanted:
            topic, (symbol, is_spoiled) = item["topic"], _symbol(item)
            if symbol and topic not in _SILENT_TOPICS:
                self._fill_back(topic, symbol)
            if not is_spoiled:
                self._wanted.add((topic, symbol))
        self._stalls_ns = floor.agenda.now_ns + self._dice.randint(*_STALL_AFTER_S) * NS_PER_S
        if self._stall is not None:
            self._stall.end_ns = floor.agenda.now_ns
            self._stall = None

    def _fill_back(self, topic: str, symbol: str) -> None:
        answer = {
            "payload": {"data": self.rtds.past(topic, symbol), "symbol": symbol},
            "timestamp": ms(self.rtds.floor.stamp_ns("polymarket")),
            "topic": BINANCE if topic == CHAINLINK else topic,  # mislabelled, as there
            "type": "subscribe",
        }
        if self.peer.wants([symbol]):
            self.peer.data(json_bytes(answer), [symbol])

    def _refuse(self, why: str) -> None:
        self.peer.control(json_bytes({"body": {"message": why}, "statusCode": 401}))


def _symbol(item: dict[str, Any]) -> tuple[str, bool]:
    """The symbol that `filters` names ("" for all), and whether a blank in it spoils the subscription."""
    filters = item.get("filters")
    if not isinstance(filters, str) or not filters:
        return "", False
    found = parse_json(filters)
    symbol = found.get("symbol") if isinstance(found, dict) else filters
    return str(symbol), " " in filters

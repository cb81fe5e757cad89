"""Kalshi's socket: commands, subscriptions with a sequence each, and their messages."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from observer.book import BID
from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary, Step
from observer.exchange.peer import Peer
from observer.exchange.upgrade import accept
from observer.exchange.venues.kalshi import messages
from observer.exchange.venues.kalshi.index import FAST, INDEX_CHANNELS, Indices
from observer.exchange.venues.kalshi.keys import Keys
from observer.exchange.venues.kalshi.listed import Contract, Contracts, TimedPrint
from observer.exchange.venues.kalshi.subscription import (
    BOOK,
    CHANNELS,
    ERRORS,
    LIFECYCLE,
    TICKER,
    TRADE,
    Subscription,
    names_in,
)
from observer.exchange.wire import json_bytes, parse_json
from observer.kit.decimals import SCALE
from observer.records import UP

PATH = "/trade-api/ws/v2"
_PING_EVERY_S, _PONG_WITHIN_S = 10.0, 30.0


class KalshiSocket:
    """All connections, and the watcher of all markets.

    Args:
        floor: whose time and connections.
        contracts: what is listed.
        keys: who may connect.
        indices: settlement indices.
    """

    def __init__(self, floor: Floor, contracts: Contracts, keys: Keys, indices: Indices) -> None:
        self.floor, self.contracts, self.keys, self.indices = floor, contracts, keys, indices
        self.sessions: list[KalshiSession] = []
        contracts.on_created.append(lambda c: self._lifecycle(messages.created_message(c), c))
        contracts.on_determined.append(
            lambda c: self._lifecycle(messages.determined_message(c, floor.agenda.now_ns), None)
        )
        contracts.on_settled.append(lambda c: self._lifecycle(messages.settled_message(c), None))
        indices.listeners.append(self._index)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection whose headers are signed."""
        refusal = self.keys.refusal("GET", (PATH, request.path), request.headers)
        if refusal:
            body = json_bytes({"error": {"code": "authentication_error", "message": refusal}})
            return web.Response(status=401, body=body, content_type="application/json")
        peer, ws = await accept(self.floor, "kalshi", "ws", request)
        session = KalshiSession(self, peer)
        self.sessions.append(session)
        peer.ping_every(_PING_EVERY_S, b"heartbeat", _PONG_WITHIN_S)
        await peer.serve(session)
        return ws

    def stepped(self, market: Binary, step: Step) -> None:
        """Send what a step means."""
        contract = self.contracts.by_ticker[market.key]
        stamp_ns = step.ns + self.floor.faults.skew_ns("kalshi")
        for session in list(self.sessions):
            book = session.find(BOOK, contract.ticker)
            if book is not None:
                for change in step.changes:
                    if change.side == BID:
                        message = messages.delta_message(contract, change, stamp_ns, in_yes=book.in_yes)
                        session.tell(book, "orderbook_delta", message, contract.ticker)
            if step.trade is not None and (subscription := session.find(TRADE, contract.ticker)) is not None:
                timed = TimedPrint(step.ns, step.trade)
                message = messages.trade_message(contract, timed, stamp_ns - step.ns)
                session.tell(subscription, "trade", message, contract.ticker)
            if (subscription := session.find(TICKER, contract.ticker)) is not None:
                session.tell(subscription, "ticker", messages.ticker_message(contract, stamp_ns), contract.ticker)

    def tick_changed(self, market: Binary, old: int) -> None:
        """These markets keep their price step."""

    def watch(self, contract: Contract) -> None:
        """Begin to hear of a market, once."""
        if self not in contract.market.watchers:
            contract.market.watchers.append(self)

    def _lifecycle(self, message: dict[str, Any], created: Contract | None) -> None:
        for session in list(self.sessions):
            for subscription in session.of_channel(LIFECYCLE):
                session.tell(subscription, LIFECYCLE, message, str(message["market_ticker"]))
                if created is not None:
                    session.tell(subscription, "event_lifecycle", messages.event_message(created), "")
            if created is not None and (session.of_channel(TRADE) or session.of_channel(TICKER)):
                self.watch(created)

    def _index(self, index_id: str, is_fast: bool, message: dict[str, Any]) -> None:
        channel = FAST if is_fast else INDEX_CHANNELS[0]
        for session in list(self.sessions):
            for subscription in session.of_channel(channel):
                if {index_id, "all"} & subscription.names:
                    session.tell(subscription, channel, message, index_id)


class KalshiSession:
    """One connection's subscriptions."""

    def __init__(self, socket: KalshiSocket, peer: Peer) -> None:
        self.socket, self.peer = socket, peer
        self.subscriptions: dict[int, Subscription] = {}
        self._n_sids = 0

    @property
    def keys(self) -> set[str]:
        """Tickers and indices it is subscribed to."""
        return {name for subscription in self.subscriptions.values() for name in subscription.names}

    def find(self, channel: str, ticker: str) -> Subscription | None:
        """The subscription that carries a market on a channel."""
        for subscription in self.subscriptions.values():
            if subscription.channel == channel and (not subscription.names or ticker in subscription.names):
                return subscription
        return None

    def of_channel(self, channel: str) -> list[Subscription]:
        """Every subscription of a channel."""
        return [subscription for subscription in self.subscriptions.values() if subscription.channel == channel]

    def tell(self, subscription: Subscription, kind: str, message: dict[str, Any], key: str) -> None:
        """Send a data message with the subscription's next number."""
        keys = [key] if key else []
        if not self.peer.wants(keys):
            return
        envelope: dict[str, Any] = {"type": kind, "sid": subscription.sid}
        if subscription.numbered:
            subscription.seq += 1
            envelope["seq"] = subscription.seq
        envelope["msg"] = message
        self.peer.data(json_bytes(envelope), keys)

    def message(self, text: str) -> None:
        """A command."""
        asked = parse_json(text)
        if not isinstance(asked, dict):
            self._error(0, 1)
            return
        number, params = asked.get("id", 0), asked.get("params")
        command = asked.get("cmd")
        if command == "list_subscriptions":
            found = [{"channel": item.channel, "sid": item.sid} for item in self.subscriptions.values()]
            self._answer({"id": number, "type": "ok", "msg": found})
        elif command not in ("subscribe", "unsubscribe", "update_subscription"):
            self._error(number, 5)
        elif not isinstance(params, dict):
            self._error(number, 2)
        elif command == "subscribe":
            self._subscribe(number, params)
        elif command == "unsubscribe":
            self._unsubscribe(number, params)
        else:
            self._update(number, params)

    def closed(self) -> None:
        """Forget it."""
        self.socket.sessions.remove(self)

    def surprise(self) -> bytes:
        """A message that nobody has documented."""
        return b'{"type":"market_mood","sid":1,"msg":{"mood":"calm"}}'

    def huge(self, levels: int) -> None:
        """Fill every price of a market, at most, and send its snapshot."""
        book = next(iter(self.of_channel(BOOK)), None)
        if book is None or not book.names:
            return
        contract = self.socket.contracts.by_ticker[sorted(book.names)[0]]
        market = contract.market
        top = market.books[UP].best(BID) or market.tick
        fill = [(UP, BID, price, SCALE) for price in range(market.tick, top, market.tick)][:levels]
        market.apply(self.socket.floor.agenda.now_ns, fill)
        self._snapshot(book, [contract.ticker])

    def slow(self) -> None:
        """The buffer of every subscription overflows, which ends it."""
        for sid in list(self.subscriptions):
            self._answer({"type": "error", "sid": sid, "msg": {"code": 25, "msg": ERRORS[25]}})
            del self.subscriptions[sid]

    def cut(self) -> None:
        """A restart of the gateway."""
        self.peer.close(1001, "going away")

    def _subscribe(self, number: int, params: dict[str, Any]) -> None:
        channels, tickers = params.get("channels"), names_in(params, "market_ticker", "market_tickers")
        indices: set[str] = set(params.get("index_ids") or ())
        if not channels:
            self._error(number, 3)
        elif any(channel not in CHANNELS for channel in channels):
            self._error(number, 8)
        elif BOOK in channels and not tickers:
            self._error(number, 14)
        elif any(ticker not in self.socket.contracts.by_ticker for ticker in tickers):
            self._error(number, 16)
        elif any(self.of_channel(channel) for channel in channels):
            self._error(number, 6)
        else:
            for channel in channels:
                self._open(number, channel, indices if channel in INDEX_CHANNELS else set(tickers), params)

    def _open(self, number: int, channel: str, names: set[str], params: dict[str, Any]) -> None:
        self._n_sids += 1
        opened = Subscription(self._n_sids, channel, names, params.get("use_yes_price") is True)
        self.subscriptions[opened.sid] = opened
        if channel in INDEX_CHANNELS:  # these answer with the sid outside
            self._answer({"id": number, "type": "subscribed", "sid": opened.sid, "msg": {"channel": channel}})
            return
        self._answer({"id": number, "type": "subscribed", "msg": {"channel": channel, "sid": opened.sid}})
        if channel in (BOOK, TICKER, TRADE):
            self._watch(names)
        if channel == BOOK and params.get("send_initial_snapshot", True):
            self._snapshot(opened, sorted(names))
        if channel == TICKER and not params.get("skip_ticker_ack"):
            stamp_ns = self.socket.floor.stamp_ns("kalshi")
            for ticker in sorted(names):
                contract = self.socket.contracts.by_ticker[ticker]
                self.tell(opened, "ticker", messages.ticker_message(contract, stamp_ns), ticker)

    def _unsubscribe(self, number: int, params: dict[str, Any]) -> None:
        sids = params.get("sids")
        if not sids:
            self._error(number, 4)
            return
        for sid in sids:
            closed = self.subscriptions.pop(sid, None)
            if closed is None:
                self._error(number, 7)
            else:
                closed.seq += 1
                self._answer({"id": number, "sid": sid, "seq": closed.seq, "type": "unsubscribed"})

    def _update(self, number: int, params: dict[str, Any]) -> None:
        sids = params.get("sids") or ([params["sid"]] if "sid" in params else [])
        action, tickers = params.get("action"), names_in(params, "market_ticker", "market_tickers")
        if len(sids) != 1:
            self._error(number, 12 if sids else 4)
        elif (subscription := self.subscriptions.get(sids[0])) is None:
            self._error(number, 7)
        elif action is None:
            self._error(number, 15)
        elif action in ("subscribe_indices", "unsubscribe_indices", "indexlist"):
            self._update_indices(number, subscription, action, set(params.get("index_ids") or ()))
        elif action not in ("add_markets", "delete_markets", "get_snapshot"):
            self._error(number, 13)
        elif not tickers:
            self._error(number, 14)
        elif any(ticker not in self.socket.contracts.by_ticker for ticker in tickers):
            self._error(number, 16)
        else:
            if action == "add_markets":
                subscription.names.update(tickers)
                self._watch(tickers)
            elif action == "delete_markets":
                subscription.names.difference_update(tickers)
            self._acknowledge(number, subscription, {"market_tickers": sorted(subscription.names)})
            if action != "delete_markets" and subscription.channel == BOOK:
                self._snapshot(subscription, tickers)

    def _update_indices(self, number: int, subscription: Subscription, action: str, names: set[str]) -> None:
        if action == "subscribe_indices":
            subscription.names.update(names)
        elif action == "unsubscribe_indices":
            subscription.names.difference_update(names)
        self._acknowledge(number, subscription, {"index_ids": sorted(subscription.names)})

    def _acknowledge(self, number: int, subscription: Subscription, message: dict[str, Any]) -> None:
        subscription.seq += 1
        self._answer({"id": number, "sid": subscription.sid, "seq": subscription.seq, "type": "ok", "msg": message})

    def _snapshot(self, subscription: Subscription, tickers: Iterable[str]) -> None:
        for ticker in tickers:
            contract = self.socket.contracts.by_ticker[ticker]
            message = messages.snapshot_message(contract, in_yes=subscription.in_yes)
            self.tell(subscription, "orderbook_snapshot", message, ticker)

    def _watch(self, tickers: Iterable[str]) -> None:
        contracts = self.socket.contracts.by_ticker
        for ticker in tickers or contracts:
            self.socket.watch(contracts[ticker])

    def _answer(self, message: dict[str, Any]) -> None:
        self.peer.control(json_bytes(message))

    def _error(self, number: int, code: int) -> None:
        self._answer({"id": number, "type": "error", "msg": {"code": code, "msg": ERRORS[code]}})

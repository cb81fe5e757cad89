"""The market socket: who is subscribed to which token, and what they are sent.

A frame is encoded once and sent to everyone who is subscribed to either token of its market.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from observer.book import ASK, BID
from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary, Step
from observer.exchange.markets.crowd import COARSE, FINE
from observer.exchange.peer import Outlet
from observer.exchange.upgrade import accept
from observer.exchange.venues.polymarket import market_events
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.books import socket_book
from observer.exchange.venues.polymarket.listed import Listed
from observer.exchange.wire import json_bytes, ms, parse_json
from observer.kit.decimals import SCALE
from observer.records import DOWN, UP

# Beyond so many assets on one connection no first book arrives.
MOST_DUMPED_ASSETS = 500
_SUBSCRIBE_WITHIN_S = 10.0
_FILL_SIZE = 7 * SCALE


class MarketSocket:
    """All connections of the market socket, and the watcher of all markets.

    Args:
        floor: whose time and connections.
        board: what is listed.
    """

    def __init__(self, floor: Floor, board: Board) -> None:
        self.floor, self.board = floor, board
        self._readers: dict[str, set[MarketSession]] = defaultdict(set)
        self._custom: set[MarketSession] = set()
        self._watched: dict[Binary, Listed] = {}
        self._best: dict[str, tuple[int, int]] = {}
        board.on_new.append(self._announce)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a connection."""
        peer, ws = await accept(self.floor, "polymarket", "market", request)
        session = MarketSession(self, peer)
        peer.after_s(_SUBSCRIBE_WITHIN_S, session.leave_if_idle)
        await peer.serve(session)
        return ws

    def stepped(self, market: Binary, step: Step) -> None:
        """Send what a step means."""
        listed = self._watched[market]
        readers = self._readers_of(listed)
        if not readers:
            return
        stamp = ms(step.ns + self.floor.faults.skew_ns("polymarket"))
        if step.trade is not None:
            trade = market_events.last_trade(listed, step.trade, stamp)
            self._send(trade, readers, [trade["asset_id"]])
            self._send_books(listed, readers, stamp)
        elif market.is_unified:
            for i in range(0, len(step.changes), 2):  # a change and its mirror image
                self._send(market_events.price_change(listed, step.changes[i : i + 2], stamp), readers, listed.tokens)
        else:
            self._send(market_events.price_change(listed, step.changes, stamp), readers, listed.tokens)
        self._send_best(listed, step, readers, stamp)

    def tick_changed(self, market: Binary, old: int) -> None:
        """Send the new price step, and fresh books after it."""
        listed = self._watched[market]
        readers = self._readers_of(listed)
        stamp = ms(market.changed_ns + self.floor.faults.skew_ns("polymarket"))
        for which in (UP, DOWN):
            self._send(market_events.tick_size_change(listed, which, old, stamp), readers, [listed.token(which)])
        self._send_books(listed, readers, stamp)

    def watch(self, listed: Listed) -> None:
        """Begin to hear of a market, once."""
        if listed.market not in self._watched:
            self._watched[listed.market] = listed
            for which in (UP, DOWN):
                book = listed.market.books[which]
                self._best[listed.token(which)] = (book.best(BID), book.best(ASK))
            listed.market.watchers.append(self)
            self.floor.agenda.at(listed.closes_ns, lambda: self._resolve(listed))

    def dump(self, peer: Outlet, tokens: Iterable[str]) -> None:
        """Send the first books of these tokens, in one array."""
        now_ns, books, keys = self.floor.agenda.now_ns, [], []
        for token in tokens:
            listed = self.board.token(token)
            if listed is None or listed.is_closed(now_ns) or not listed.is_hydrated(now_ns):
                continue
            self.watch(listed)
            stamp = ms(listed.market.changed_ns + self.floor.faults.skew_ns("polymarket"))
            books.append(socket_book(listed, listed.which(token), stamp))
            keys.append(token)
        if books and peer.wants(keys):
            peer.data(json_bytes(books), keys)

    def _resolve(self, listed: Listed) -> None:
        now_ns = self.floor.agenda.now_ns
        event = market_events.market_resolved(listed, ms(self.floor.stamp_ns("polymarket")), now_ns)
        if event is not None and listed.is_announced:
            self._send(event, self._readers_of(listed) & self._custom, listed.tokens)
        listed.market.watchers.remove(self)
        del self._watched[listed.market]
        for token in listed.tokens:
            self._readers.pop(token, None)
            self._best.pop(token, None)

    def _announce(self, listed: Listed) -> None:
        if self._custom:
            event = market_events.new_market(listed, ms(self.floor.stamp_ns("polymarket")))
            self._send(event, self._custom, ())

    def _readers_of(self, listed: Listed) -> "set[MarketSession]":
        up, down = listed.tokens
        return self._readers.get(up, set()) | self._readers.get(down, set())

    def _send_books(self, listed: Listed, readers: "set[MarketSession]", stamp: int) -> None:
        for which in (UP, DOWN):
            token = listed.token(which)
            mine = {reader for reader in readers if token in reader.keys}
            if mine:
                self._send(socket_book(listed, which, stamp), mine, [token])

    def _send_best(self, listed: Listed, step: Step, readers: "set[MarketSession]", stamp: int) -> None:
        for change in {change.token: change for change in step.changes}.values():
            token, best = listed.token(change.token), (change.best_bid, change.best_ask)
            if self._best.get(token) != best:
                self._best[token] = best
                mine = {reader for reader in readers & self._custom if token in reader.keys}
                if mine:
                    self._send(market_events.best_bid_ask(listed, change.token, *best, stamp), mine, [token])

    def _send(self, event: dict[str, Any], readers: "set[MarketSession]", keys: Iterable[str]) -> None:
        if not readers:
            return
        payload = json_bytes(event)
        for reader in sorted(readers, key=lambda reader: reader.peer.number):
            if reader.peer.wants(keys):
                reader.peer.data(payload, keys)


class MarketSession:
    """One connection's subscriptions."""

    def __init__(self, socket: MarketSocket, peer: Outlet) -> None:
        self.socket, self.peer = socket, peer
        self.keys: set[str] = set()
        self._has_asked = False

    def message(self, text: str) -> None:
        """PING, a first subscription, or a later change of it."""
        if text == "PING":
            self.peer.control(b"PONG")
            return
        asked = parse_json(text)
        assets = asked.get("assets_ids") if isinstance(asked, dict) else None
        if not isinstance(assets, list):
            self.peer.control(b"INVALID OPERATION")
            return
        self._has_asked = True
        tokens, operation = [str(token) for token in assets], asked.get("operation")
        if operation == "unsubscribe":
            self._leave(tokens)
        elif operation == "subscribe" or str(asked.get("type")).lower() == "market":
            self._join(tokens, asked)
        else:
            self.peer.control(b"INVALID OPERATION")

    def leave_if_idle(self) -> None:
        """A connection that asks for nothing is dropped."""
        if not self._has_asked:
            self.peer.close(1000, "no subscription")

    def closed(self) -> None:
        """Forget it."""
        self._leave(list(self.keys))
        self.socket._custom.discard(self)

    def surprise(self) -> bytes:
        """An event that nobody has documented."""
        return b'{"event_type":"market_mood","market":"0x00","mood":"calm","timestamp":"1"}'

    def huge(self, levels: int) -> None:
        """Quote every price of the finest grid, and send the books."""
        listed = next((m for token in sorted(self.keys) if (m := self.socket.board.token(token)) is not None), None)
        if listed is None:
            return
        market, now_ns = listed.market, self.socket.floor.agenda.now_ns
        if market.tick == COARSE:
            market.set_tick(now_ns, FINE)
        book = market.books[UP]
        bid, ask = book.best(BID) or FINE, book.best(ASK) or SCALE - FINE
        fill = [(UP, BID, price, _FILL_SIZE) for price in range(FINE, bid, FINE) if not book.size_at(BID, price)]
        fill += [(UP, ASK, price, _FILL_SIZE) for price in range(ask, SCALE, FINE) if not book.size_at(ASK, price)]
        market.apply(now_ns, fill[:levels])
        self.socket.dump(self.peer, sorted(self.keys & set(listed.tokens)))

    def slow(self) -> None:
        """A slow reader is dropped."""
        self.peer.close(1008, "slow consumer")

    def cut(self) -> None:
        """A restart of the gateway."""
        self.peer.close(1001, "going away")

    def _join(self, tokens: list[str], asked: dict[str, Any]) -> None:
        if asked.get("custom_feature_enabled") is True:
            self.socket._custom.add(self)
        elif "custom_feature_enabled" in asked:
            self.socket._custom.discard(self)
        if self.keys & set(tokens):
            self.peer.control(b'{"error":"duplicate assets"}')
            return
        self.keys.update(tokens)
        for token in tokens:
            self.socket._readers[token].add(self)
        if asked.get("initial_dump", True) and len(self.keys) <= MOST_DUMPED_ASSETS:
            self.socket.dump(self.peer, tokens)
            return
        for token in tokens:
            listed = self.socket.board.token(token)
            if listed is not None and not listed.is_closed(self.socket.floor.agenda.now_ns):
                self.socket.watch(listed)

    def _leave(self, tokens: list[str]) -> None:
        for token in tokens:
            self.keys.discard(token)
            readers = self.socket._readers.get(token)
            if readers is not None:
                readers.discard(self)
                if not readers:
                    del self.socket._readers[token]

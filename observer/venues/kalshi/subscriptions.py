"""Which commands were sent on a Kalshi connection, which subscriptions they became, and how far each has counted.

The venue numbers subscriptions anew on every connection (`sid`) and each subscription's messages from one (`seq`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from observer.kit.clock import NS_PER_S

BOOKS, TRADES, LIFECYCLE = "orderbook_delta", "trade", "market_lifecycle_v2"
INDEX, FAST_INDEX = "cfbenchmarks_value", "cfbenchmarks_value_5hz"

_NEEDS_LOGIN, _UNKNOWN_SID = 9, 7
_ENDS_SUBSCRIPTION = (10, 25)  # channel error; buffer overflow: this side read too slowly
_ONE_TICKER_IS_BAD = (11, 16)  # invalid parameter; market not found
_TOO_SOON_NS = 10 * NS_PER_S


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscription, asked for or running.

    Attributes:
        channel: the venue's name of it.
        tickers: the markets it carries; empty where it is not about markets.
        params: what else the command says.
        sid: the venue's number, -1 until it runs.
        seq: number of its last message, -1 before the first.
        began_ns: when it was last asked for again.
        untried: markets to be added one by one once it runs, because one of all of them is unknown to the venue.
    """

    channel: str
    tickers: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    sid: int = -1
    seq: int = -1
    began_ns: int = 0
    untried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remedy:
    """What an error means: a subscription that ended, commands to send, or that only a new connection helps."""

    ended: Subscription | None = None
    commands: tuple[bytes, ...] = ()
    must_reopen: bool = False


class Subscriptions:
    """The subscriptions of one connection.

    Args:
        wanted: what to subscribe to, in order; each becomes one command.

    Attributes:
        by_sid: those that run, by the venue's number.
        frames: the commands that begin them.
    """

    def __init__(self, wanted: Sequence[Subscription]) -> None:
        self._by_command: dict[int, Subscription] = {}
        self._adding: dict[int, tuple[Subscription, str]] = {}  # by command
        self.by_sid: dict[int, Subscription] = {}
        self._last_id = 0
        self.frames = tuple(self._subscribe(subscription) for subscription in wanted)

    @property
    def are_running(self) -> bool:
        """Whether any subscription runs."""
        return bool(self.by_sid)

    def began(self, command_id: int, channel: str, sid: int) -> Subscription | None:
        """A subscription runs; an answer that names no command of ours is matched by its channel."""
        subscription = self._by_command.get(command_id) or next(
            (s for s in self._by_command.values() if s.channel == channel and s.sid < 0), None
        )
        if subscription is not None:
            self.by_sid.pop(subscription.sid, None)
            subscription.sid, subscription.seq = sid, -1
            self.by_sid[sid] = subscription
        return subscription

    def add_untried(self, subscription: Subscription) -> list[bytes]:
        """The commands that add what a running subscription has not tried yet, each market by itself."""
        commands: list[bytes] = []
        for ticker in subscription.untried:
            params = {"sids": [subscription.sid], "market_tickers": [ticker], "action": "add_markets"}
            commands.append(self._command("update_subscription", params))
            self._adding[self._last_id] = (subscription, ticker)
        subscription.tickers, subscription.untried = subscription.tickers + subscription.untried, ()
        return commands

    def get_snapshots(self, tickers: Sequence[str]) -> list[bytes]:
        """The commands that ask for the whole books of these markets, on the subscriptions that carry them."""
        commands: list[bytes] = []
        for subscription in self.by_sid.values():
            mine = [ticker for ticker in tickers if ticker in subscription.tickers]
            if subscription.channel == BOOKS and mine:
                params = {"sids": [subscription.sid], "market_tickers": mine, "action": "get_snapshot"}
                commands.append(self._command("update_subscription", params))
        return commands

    def failed(self, command_id: int, sid: int | None, code: int, now_ns: int) -> Remedy:
        """What to do about an error that names a command, a subscription or neither."""
        found = self.by_sid.get(sid) if sid is not None else self._by_command.get(command_id)
        if code in (_NEEDS_LOGIN, _UNKNOWN_SID):
            return Remedy(must_reopen=True)
        if code in _ENDS_SUBSCRIPTION:
            if found is None or now_ns - found.began_ns < _TOO_SOON_NS:
                return Remedy(must_reopen=True)
            self.by_sid.pop(found.sid, None)
            found.sid, found.began_ns = -1, now_ns
            return Remedy(found, (self._subscribe(found),))
        if code in _ONE_TICKER_IS_BAD:
            return Remedy(commands=self._without_one(command_id, found))
        return Remedy()

    def _without_one(self, command_id: int, found: Subscription | None) -> tuple[bytes, ...]:
        """Nothing says which market is unknown, so they are tried one by one, and the unknown one fails alone."""
        if command_id in self._adding:
            adding, unknown = self._adding.pop(command_id)
            adding.tickers = tuple(ticker for ticker in adding.tickers if ticker != unknown)
            return ()
        if found is None or found.sid >= 0:
            return ()
        tickers = found.untried if len(found.tickers) == 1 else found.tickers
        del self._by_command[command_id]
        if not tickers:
            return ()
        return (self._subscribe(Subscription(found.channel, tickers[:1], found.params, untried=tickers[1:])),)

    def _subscribe(self, subscription: Subscription) -> bytes:
        params: dict[str, Any] = {"channels": [subscription.channel], **subscription.params}
        if subscription.tickers:
            params["market_tickers"] = list(subscription.tickers)
        command = self._command("subscribe", params)
        self._by_command = {n: s for n, s in self._by_command.items() if s is not subscription}
        self._by_command[self._last_id] = subscription
        return command

    def _command(self, what: str, params: dict[str, Any]) -> bytes:
        self._last_id += 1
        return json.dumps({"id": self._last_id, "cmd": what, "params": params}, separators=(",", ":")).encode()

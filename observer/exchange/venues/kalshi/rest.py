"""Kalshi's public REST addresses."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from observer.exchange.answer import answer
from observer.exchange.floor import Floor
from observer.exchange.venues.kalshi.listed import Contract, Contracts
from observer.exchange.venues.kalshi.messages import levels, market_json, trade_json
from observer.exchange.wire import rfc3339, whole
from observer.kit.clock import NS_PER_S
from observer.records import DOWN, UP

_STATUSES = {
    "unopened": {"initialized"}, "open": {"active"}, "closed": {"closed", "determined"}, "settled": {"finalized"},
}  # fmt: skip
_MOST, _MOST_DEPTH = 1_000, 1_000


class KalshiRest:
    """Answers questions about markets.

    Args:
        floor: whose time it is.
        contracts: what is listed.
    """

    def __init__(self, floor: Floor, contracts: Contracts) -> None:
        self.floor, self.contracts = floor, contracts

    def routes(self, base: str) -> list[web.RouteDef]:
        """Every address below `base`."""
        return [
            web.get(base + "/markets", self.markets),
            web.get(base + "/markets/trades", self.trades),
            web.get(base + "/markets/orderbooks", self.orderbooks),
            web.get(base + "/markets/{ticker}", self.market),
            web.get(base + "/markets/{ticker}/orderbook", self.orderbook),
            web.get(base + "/events", self.events),
            web.get(base + "/events/{ticker}", self.event),
            web.get(base + "/series", self.series),
            web.get(base + "/series/{ticker}", self.one_series),
            web.get(base + "/exchange/status", self.status),
            web.get(base + "/exchange/schedule", self.schedule),
        ]

    async def markets(self, request: web.Request) -> web.Response:
        """Markets in pages, by series, event, status, tickers or time of closing."""
        query, now_ns = request.query, self.floor.agenda.now_ns
        status = query.get("status", "")
        if status and status not in _STATUSES:
            return _error(400, "invalid_parameters", f"status {status!r}; one of {', '.join(_STATUSES)} at a time")
        tickers = set(filter(None, query.get("tickers", "").split(",")))
        low, high = (whole(query.get(name), -1, 0, 2**40) for name in ("min_close_ts", "max_close_ts"))
        if (low >= 0 or high >= 0) and status not in ("", "closed"):
            return _error(400, "invalid_parameters", "close timestamps go with status closed or none")
        found = [
            contract
            for contract in self.contracts.by_ticker.values()
            if (not status or contract.status(now_ns) in _STATUSES[status])
            and query.get("series_ticker", contract.series_ticker) == contract.series_ticker
            and query.get("event_ticker", contract.event_ticker) == contract.event_ticker
            and (not tickers or contract.ticker in tickers)
            and (low < 0 or contract.close_ns // NS_PER_S >= low)
            and (high < 0 or contract.close_ns // NS_PER_S <= high)
        ]
        page, cursor = _page(request, found, 100)
        return answer({"markets": [market_json(contract, now_ns) for contract in page], "cursor": cursor})

    async def market(self, request: web.Request) -> web.Response:
        """One market."""
        contract = self._find(request)
        return _missing() if contract is None else answer({"market": market_json(contract, self.floor.agenda.now_ns)})

    async def orderbook(self, request: web.Request) -> web.Response:
        """Bids of both sides, ascending."""
        contract = self._find(request)
        if contract is None:
            return _missing()
        return answer({"orderbook_fp": _book(contract, whole(request.query.get("depth"), 0, 0, 100) or _MOST_DEPTH)})

    async def orderbooks(self, request: web.Request) -> web.Response:
        """Several books."""
        asked = [part for item in request.query.getall("tickers", []) for part in item.split(",")][:100]
        found = [self.contracts.by_ticker[ticker] for ticker in asked if ticker in self.contracts.by_ticker]
        return answer(
            {"orderbooks": [{"ticker": c.ticker, "orderbook_fp": _book(c, _MOST_DEPTH)} for c in found]}
        )  # fmt: skip

    async def trades(self, request: web.Request) -> web.Response:
        """Trades in pages, newest first."""
        query = request.query
        low, high = (whole(query.get(name), -1, 0, 2**40) for name in ("min_ts", "max_ts"))
        found = [
            (contract, timed)
            for contract in self.contracts.by_ticker.values()
            if query.get("ticker", contract.ticker) == contract.ticker
            for timed in contract.trades
            if (low < 0 or timed.ns // NS_PER_S >= low) and (high < 0 or timed.ns // NS_PER_S <= high)
        ]
        found.sort(key=lambda pair: pair[1].ns, reverse=True)
        page, cursor = _page(request, found, 100)
        return answer({"trades": [trade_json(contract, timed) for contract, timed in page], "cursor": cursor})

    async def events(self, request: web.Request) -> web.Response:
        """Events in pages, by series and status."""
        query, now_ns = request.query, self.floor.agenda.now_ns
        wanted = _STATUSES.get(query.get("status", ""))
        found = [
            contract
            for contract in self.contracts.by_ticker.values()
            if query.get("series_ticker", contract.series_ticker) == contract.series_ticker
            and (wanted is None or contract.status(now_ns) in wanted)
        ]
        page, cursor = _page(request, found, 100)
        nested = query.get("with_nested_markets") == "true"
        return answer({"events": [self._event(contract, nested) for contract in page], "cursor": cursor})

    async def event(self, request: web.Request) -> web.Response:
        """One event with its markets."""
        wanted = request.match_info["ticker"]
        contract = next((c for c in self.contracts.by_ticker.values() if c.event_ticker == wanted), None)
        if contract is None:
            return _missing()
        markets = [market_json(contract, self.floor.agenda.now_ns)]
        return answer({"event": self._event(contract, nested=False), "markets": markets})

    async def series(self, request: web.Request) -> web.Response:
        """All series, or those of a category."""
        shown = {c.series_ticker: _series(c) for c in self.contracts.by_ticker.values()}
        category = request.query.get("category", "Crypto")
        return answer({"series": list(shown.values()) if category.lower() == "crypto" else []})

    async def one_series(self, request: web.Request) -> web.Response:
        """One series."""
        wanted = request.match_info["ticker"]
        contract = next((c for c in self.contracts.by_ticker.values() if c.series_ticker == wanted), None)
        return _missing() if contract is None else answer({"series": _series(contract)})

    async def status(self, request: web.Request) -> web.Response:
        """That trading goes on."""
        return answer(
            {"exchange_active": True, "trading_active": True, "exchange_estimated_resume_time": None,
             "exchange_index_statuses": [{"exchange_index": 0, "exchange_active": True, "trading_active": True}]}
        )  # fmt: skip

    async def schedule(self, request: web.Request) -> web.Response:
        """Always open, no maintenance."""
        return answer({"schedule": {"standard_hours": [], "maintenance_windows": []}})

    def _find(self, request: web.Request) -> Contract | None:
        return self.contracts.by_ticker.get(request.match_info["ticker"])

    def _event(self, contract: Contract, nested: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "event_ticker": contract.event_ticker, "series_ticker": contract.series_ticker,
            "title": f"{contract.coin.word} 15 min up or down", "sub_title": "", "category": "Crypto",
            "mutually_exclusive": False, "collateral_return_type": "", "available_on_brokers": True,
            "strike_date": rfc3339(contract.close_ns, 0), "strike_period": "15min", "product_metadata": None,
        }  # fmt: skip
        if nested:
            shown["markets"] = [market_json(contract, self.floor.agenda.now_ns)]
        return shown


def _book(contract: Contract, depth: int) -> dict[str, Any]:
    return {
        "yes_dollars": levels(contract.market, UP, depth),
        "no_dollars": levels(contract.market, DOWN, depth),
    }


def _series(contract: Contract) -> dict[str, Any]:
    return {
        "ticker": contract.series_ticker, "title": f"{contract.coin.word} 15 min up or down", "category": "Crypto",
        "frequency": "fifteen_min", "tags": ["15 min", contract.coin.name], "settlement_sources": [],
        "contract_url": "", "contract_terms_url": "", "product_metadata": None, "fee_type": "quadratic",
        "fee_multiplier": 1.0, "additional_prohibitions": [],
    }  # fmt: skip


def _page(request: web.Request, found: Sequence[Any], default: int) -> tuple[Sequence[Any], str]:
    """One page and the cursor of the next, "" after the last."""
    first = whole(request.query.get("cursor"), 0, 0, 2**40)
    limit = whole(request.query.get("limit"), default, 1, _MOST)
    return found[first : first + limit], str(first + limit) if first + limit < len(found) else ""


def _error(status: int, code: str, message: str) -> web.Response:
    return answer({"error": {"code": code, "message": message, "service": "exchange"}}, status)


def _missing() -> web.Response:
    return _error(404, "not_found", "not found")

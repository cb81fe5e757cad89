"""The order book side by REST, public market data only."""

from typing import Any

from aiohttp import web

from observer.book import ASK, BID
from observer.exchange.answer import answer
from observer.exchange.floor import Floor
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.books import last_price, rest_book
from observer.exchange.venues.polymarket.gamma import winner_of
from observer.exchange.venues.polymarket.listed import Listed
from observer.exchange.wire import identifier, ms, parse_json, rfc3339, whole
from observer.kit.clock import NS_PER_S
from observer.kit.decimals import SCALE, text_of
from observer.records import DOWN, UP

_NO_BOOK = {"error": "No orderbook exists for the requested token id"}
_START, _END = "MA==", "LTE="


class Clob:
    """Answers book questions.

    Args:
        floor: whose time it is.
        board: what is listed.
    """

    def __init__(self, floor: Floor, board: Board) -> None:
        self.floor, self.board = floor, board

    def routes(self, base: str) -> list[web.RouteDef]:
        """Every address below `base`."""
        single = {
            "/book": self._book, "/price": self._price, "/midpoint": self._midpoint, "/spread": self._spread,
            "/last-trade-price": self._last, "/tick-size": self._tick, "/neg-risk": self._negative_risk,
            "/fee-rate": self._fee,
        }  # fmt: skip

        def one(show: Any) -> Any:
            async def handle(request: web.Request) -> web.Response:
                found = self._find(request.query.get("token_id", ""))
                if found is None:
                    return answer(_NO_BOOK, 404)
                return answer(show(*found, request.query.get("side", "BUY")))

            return handle

        return [
            *(web.get(base + path, one(of_token)) for path, of_token in single.items()),
            web.get(base + "/time", self.time),
            web.get(base + "/ok", self.ok),
            web.get(base + "/version", self.version),
            web.post(base + "/books", self.books),
            web.post(base + "/prices", self.prices),
            web.post(base + "/midpoints", self.midpoints),
            web.post(base + "/spreads", self.spreads),
            web.get(base + "/markets/{condition}", self.market),
            web.get(base + "/clob-markets/{condition}", self.compact_market),
            web.get(base + "/markets-by-token/{token}", self.market_by_token),
            web.get(base + "/markets", self.markets),
            web.get(base + "/simplified-markets", self.markets),
            web.get(base + "/sampling-markets", self.markets),
            web.get(base + "/sampling-simplified-markets", self.markets),
        ]

    async def time(self, request: web.Request) -> web.Response:
        """Unix seconds."""
        return answer(self.floor.stamp_ns("polymarket") // NS_PER_S)

    async def ok(self, request: web.Request) -> web.Response:
        """That it is up."""
        return answer("OK")

    async def version(self, request: web.Request) -> web.Response:
        """Version of the protocol of orders."""
        return answer({"version": 2})

    async def books(self, request: web.Request) -> web.Response:
        """Several books; tokens that have none are left out."""
        return answer([self._book(*found, "") for found in await self._several(request)])

    async def prices(self, request: web.Request) -> web.Response:
        """Best prices of several tokens."""
        return answer(
            {listed.token(which): {s: self._price(listed, which, s)["price"] for s in ("BUY", "SELL")}
             for listed, which in await self._several(request)}
        )  # fmt: skip

    async def midpoints(self, request: web.Request) -> web.Response:
        """Middles of several tokens."""
        found = await self._several(request)
        return answer({listed.token(which): self._midpoint(listed, which, "")["mid"] for listed, which in found})

    async def spreads(self, request: web.Request) -> web.Response:
        """Spreads of several tokens."""
        found = await self._several(request)
        return answer({listed.token(which): self._spread(listed, which, "")["spread"] for listed, which in found})

    async def market(self, request: web.Request) -> web.Response:
        """A market with its tokens and, once known, its winner."""
        listed = self.board.condition(request.match_info["condition"])
        if listed is None or not listed.is_hydrated(self.floor.agenda.now_ns):
            return answer({"error": "market not found"}, 404)
        return answer(self._market(listed))

    async def compact_market(self, request: web.Request) -> web.Response:
        """A market's terms; protocol V2 wants its id padded to 32 bytes."""
        wanted = request.match_info["condition"]
        listed = self.board.condition(wanted[:-2] if len(wanted) == 66 and wanted.endswith("00") else wanted)
        if listed is None or listed.version == "v2":
            listed = listed if listed is not None and len(wanted) == 66 else None
        if listed is None or not listed.is_hydrated(self.floor.agenda.now_ns):
            return answer({"error": "market not found"}, 404)
        return answer(
            {
                "t": [{"t": token, "o": name} for token, name in zip(listed.tokens, listed.outcomes, strict=True)],
                "mts": listed.market.tick / SCALE, "mos": 5, "nr": listed.is_negative_risk, "mbf": 1000, "tbf": 1000,
                "fd": {"r": listed.fees.rate, "e": listed.fees.exponent, "to": True},
                "itode": listed.event.asset != "", "aot": rfc3339(listed.event.made_ns, 0),
            }
        )  # fmt: skip

    async def market_by_token(self, request: web.Request) -> web.Response:
        """The two tokens of a market; which one is called primary means nothing."""
        listed = self.board.token(request.match_info["token"])
        if listed is None:
            return answer({"error": "market not found"}, 404)
        first, second = sorted(listed.tokens)
        return answer(
            {"condition_id": listed.condition_id, "primary_token_id": first, "secondary_token_id": second}
        )  # fmt: skip

    async def markets(self, request: web.Request) -> web.Response:
        """Markets in pages."""
        cursor, limit = request.query.get("next_cursor", _START), whole(request.query.get("limit"), 100, 1, 1000)
        first = 0 if cursor in ("", _START) else whole(cursor, 0, 0, 10**9)
        known = [listed for listed in self.board.markets() if listed.is_hydrated(self.floor.agenda.now_ns)]
        page = known[first : first + limit]
        more = first + limit < len(known)
        return answer(
            {"limit": limit, "count": len(page), "next_cursor": str(first + limit) if more else _END,
             "data": [self._market(listed) for listed in page]}
        )  # fmt: skip

    def _market(self, listed: Listed) -> dict[str, Any]:
        now_ns = self.floor.agenda.now_ns
        winner, is_closed = winner_of(listed, now_ns), listed.is_closed(now_ns)
        tokens = []
        for which, name in zip((UP, DOWN), listed.outcomes, strict=True):
            book = listed.market.books[which]
            price = float(winner == which) if is_closed else (book.best(BID) + (book.best(ASK) or SCALE)) / 2 / SCALE
            tokens.append(
                {"token_id": listed.token(which), "outcome": name, "price": price, "winner": winner == which}
            )  # fmt: skip
        return {
            "enable_order_book": not is_closed, "active": True, "closed": is_closed, "archived": False,
            "accepting_orders": not is_closed, "accepting_order_timestamp": rfc3339(listed.event.made_ns, 0),
            "minimum_order_size": 5, "minimum_tick_size": listed.market.tick / SCALE,
            "condition_id": listed.condition_id, "question_id": "0x" + identifier("question", listed.slug),
            "question": listed.question, "description": listed.event.description, "market_slug": listed.slug,
            "end_date_iso": rfc3339(listed.event.end_ns, 0), "game_start_time": None, "seconds_delay": 0, "fpmm": "",
            "maker_base_fee": 1000, "taker_base_fee": 1000, "notifications_enabled": True,
            "neg_risk": listed.is_negative_risk, "neg_risk_market_id": "", "neg_risk_request_id": "", "icon": "",
            "image": "", "is_50_50_outcome": False, "tokens": tokens, "tags": [tag.label for tag in listed.event.tags],
            "rewards": {"rates": None, "min_size": 50, "max_spread": 4.5},
        }  # fmt: skip

    def _find(self, token: str) -> tuple[Listed, int] | None:
        """The market and the token of a book that is there now."""
        listed, now_ns = self.board.token(token), self.floor.agenda.now_ns
        if listed is None or listed.is_closed(now_ns) or not listed.is_hydrated(now_ns):
            return None
        return listed, listed.which(token)

    async def _several(self, request: web.Request) -> list[tuple[Listed, int]]:
        asked = parse_json(await request.read())
        if not isinstance(asked, list) or not all(isinstance(item, dict) for item in asked):
            raise web.HTTPBadRequest(text='{"error":"Invalid payload"}', content_type="application/json")
        found = (self._find(str(item.get("token_id"))) for item in asked)
        return [item for item in found if item is not None]

    def _book(self, listed: Listed, which: int, _: str) -> dict[str, Any]:
        stamp_ns = listed.market.changed_ns + self.floor.faults.skew_ns("polymarket")
        return rest_book(listed, which, ms(stamp_ns))

    def _price(self, listed: Listed, which: int, side: str) -> dict[str, str]:
        return {"price": text_of(listed.market.books[which].best(BID if side == "BUY" else ASK))}

    def _midpoint(self, listed: Listed, which: int, _: str) -> dict[str, str]:
        book = listed.market.books[which]
        return {"mid": text_of((book.best(BID) + (book.best(ASK) or SCALE)) // 2)}

    def _spread(self, listed: Listed, which: int, _: str) -> dict[str, str]:
        book = listed.market.books[which]
        return {"spread": text_of((book.best(ASK) or SCALE) - book.best(BID))}

    def _last(self, listed: Listed, which: int, _: str) -> dict[str, str]:
        return {"price": last_price(listed, which) or "0.5", "side": "BUY" if listed.market.n_trades else ""}

    def _tick(self, listed: Listed, which: int, _: str) -> dict[str, float]:
        return {"minimum_tick_size": listed.market.tick / SCALE}

    def _negative_risk(self, listed: Listed, which: int, _: str) -> dict[str, bool]:
        return {"neg_risk": listed.is_negative_risk}

    def _fee(self, listed: Listed, which: int, _: str) -> dict[str, int]:
        return {"base_fee": 1000}

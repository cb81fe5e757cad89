"""Made-up markets that are not about coins: politics, sports, finance. They move slowly and people settle them.

One match ends twenty minutes after the start, so that a settlement by hand can be seen.
"""

import math
from dataclasses import dataclass

from observer.exchange.floor import Floor
from observer.exchange.markets.binary import Binary
from observer.exchange.markets.coins import Coin
from observer.exchange.markets.crowd import COARSE, FINE, Crowd
from observer.exchange.markets.walk import Walk
from observer.exchange.venues.polymarket.board import Board
from observer.exchange.venues.polymarket.listed import Event, Fees, Listed, Tag
from observer.kit.clock import NS_PER_S, iso, parse_iso

POLITICS, SPORTS, FINANCE = Tag(2, "Politics", "politics"), Tag(1, "Sports", "sports"), Tag(120, "Finance", "finance")
_GAMES, _ELECTIONS = Tag(100639, "Games", "games"), Tag(144, "Elections", "elections")
_MOVES_HZ = 0.25
_MINUTE_NS, _DAY_NS = 60 * NS_PER_S, 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class _Plan:
    """An event to make: its markets as (slug, question, probability at the start)."""

    slug: str
    title: str
    tags: tuple[Tag, ...]
    fees: Fees
    ends_after_ns: int
    markets: tuple[tuple[str, str, float], ...]
    outcomes: tuple[str, str] = ("Yes", "No")
    tick: int = COARSE


_PLANS = (
    _Plan(
        "harbour-city-mayor", "Who will be mayor of Harbour City?", (POLITICS, _ELECTIONS),
        Fees("politics_fees_v1", 0.04, rebate=0.25), 40 * _DAY_NS,
        (
            ("will-a-lindqvist-be-mayor-of-harbour-city", "Will A. Lindqvist be mayor of Harbour City?", 0.55),
            ("will-b-okafor-be-mayor-of-harbour-city", "Will B. Okafor be mayor of Harbour City?", 0.32),
            ("will-c-marin-be-mayor-of-harbour-city", "Will C. Marin be mayor of Harbour City?", 0.10),
        ),
    ),
    _Plan(
        "budget-vote-before-march", "Will the budget pass before March?", (POLITICS,),
        Fees("politics_fees_v1", 0.04, rebate=0.25), 75 * _DAY_NS,
        (("will-the-budget-pass-before-march", "Will the budget pass before March?", 0.71),), tick=FINE,
    ),
    _Plan(
        "cup-final-reds-blues", "Reds vs. Blues", (SPORTS, _GAMES), Fees("sports_fees_v1", 0.05, rebate=0.25),
        20 * _MINUTE_NS, (("cup-final-reds-blues", "Reds vs. Blues", 0.47),), outcomes=("Reds", "Blues"),
    ),
    _Plan(
        "league-greens-whites", "Greens vs. Whites", (SPORTS, _GAMES), Fees("sports_fees_v1", 0.05, rebate=0.25),
        3 * _DAY_NS, (("league-greens-whites", "Greens vs. Whites", 0.62),), outcomes=("Greens", "Whites"),
    ),
    _Plan(
        "rates-cut-in-december", "Will the central bank cut rates in December?", (FINANCE,),
        Fees("finance_fees_v1", 0.04, rebate=0.25), 25 * _DAY_NS,
        (("rates-cut-in-december", "Will the central bank cut rates in December?", 0.84),),
    ),
)  # fmt: skip


class Catalogue:
    """Lists the made-up events and moves them.

    Args:
        floor: whose seed and agenda it lives by.
        board: where they are listed.
    """

    def __init__(self, floor: Floor, board: Board) -> None:
        self.floor = floor
        self._start_ns = floor.agenda.now_ns
        for place, plan in enumerate(_PLANS):
            board.add(self._event(100 + place, plan), is_news=False)
        board.add(self._stale_event(), is_news=False)
        for listed in list(board.markets()):
            if listed.source == "" and not listed.is_closed(self._start_ns):
                _ = listed.market

    def _event(self, number: int, plan: _Plan) -> Event:
        end_ns = self._start_ns + plan.ends_after_ns
        event = Event(
            number, plan.slug, plan.title, self._start_ns - 3 * _DAY_NS, self._start_ns - 3 * _DAY_NS, end_ns,
            plan.tags, description=f"{plan.title} Settled by people after {iso(end_ns)}.",
        )  # fmt: skip
        for place, (slug, question, chance) in enumerate(plan.markets):
            walk = Walk(self.floor.seed, Coin(slug, slug, slug, 1.0, 4.0, 1, {}), self._start_ns)
            event.markets.append(
                Listed(
                    number * 100 + place, slug, question, event, plan.outcomes, "v1", "", plan.fees,
                    end_ns + 90 * NS_PER_S, lambda listed, w=walk, c=chance, t=plan.tick: self._make(listed, w, c, t),
                    payoff_up=lambda w=walk, c=chance, e=end_ns: 1.0 if _chance(w, c, e) >= 0.5 else 0.0,
                    is_negative_risk=len(plan.markets) > 1,
                )
            )  # fmt: skip
        return event

    def _stale_event(self) -> Event:
        """An event of 2025 that nobody ever closed: a query without `end_date_min` gets it."""
        end_ns = parse_iso("2025-06-30T12:00:00Z")
        event = Event(7, "stale-question-of-2025", "Did it happen in June 2025?", end_ns - _DAY_NS, end_ns, end_ns, ())
        event.markets.append(
            Listed(
                700, event.slug, event.title, event, ("Yes", "No"), "v1", "", Fees("", 0.0), 2**62,
                lambda listed: Binary(listed.slug, COARSE, self._start_ns),
            )
        )  # fmt: skip
        return event

    def _make(self, listed: Listed, walk: Walk, chance: float, tick: int) -> Binary:
        market = Binary(listed.slug, tick, self.floor.agenda.now_ns)
        crowd = Crowd(self.floor, market, lambda ns: _chance(walk, chance, ns), _MOVES_HZ, may_switch=tick == COARSE)
        crowd.start()
        self.floor.agenda.at(listed.closes_ns, crowd.stop)
        return market


def _chance(walk: Walk, chance: float, ns: int) -> float:
    log_odds = math.log(chance / (1 - chance)) + 6.0 * math.log(walk.price(ns))
    return 1 / (1 + math.exp(-log_odds))

"""The check of venues is itself checked: each rule has a decoder that breaks it, and one that breaks none passes."""

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from observer.kit.decimals import SCALE, BadNumber, scaled
from observer.ports import Decoder, Instrument, Line, StreamPlan, Venue
from observer.records import BUY
from observer.venues.check import check_venue
from observer.venues.table import VENUES
from observer.venues.urls import resolve
from observer.venues.witness import ContractBroken

NOW_NS = 1_784_851_200 * SCALE
SESSION = (
    b'{"e":"book","bids":[["0.52","120.5"],["0.51","3"]],"asks":[["0.53","80"]]}',
    b'{"e":"level","side":0,"price":"0.50","size":"7"}',
    b'{"e":"trade","price":"0.53","size":"2"}',
)


class Honest:
    """A decoder of a three-word protocol that keeps every rule."""

    def __init__(self, plan: StreamPlan, line: Line) -> None:
        self.instrument, self.line = plan.instruments[0], line

    def message(self, payload: bytes) -> bool:
        if payload == b"PONG":
            return False
        try:
            said = json.loads(payload)
            read = {"book": self.book, "level": self.level, "trade": self.trade}.get(said["e"], self.stranger)
            return read(said)
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError, IndexError):
            self.line.refuse("bad message")
            return False

    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        """Never asked for."""

    def book(self, said: dict[str, Any]) -> bool:
        sides = [[(scaled(price), scaled(size)) for price, size in said[name]] for name in ("bids", "asks")]
        bids, asks = sorted((x for x in sides[0] if all(x)), reverse=True), sorted(x for x in sides[1] if all(x))
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise BadNumber("crossed")
        self.line.book(self.instrument, bids, asks, NOW_NS)
        return True

    def level(self, said: dict[str, Any]) -> bool:
        side, price, size = said["side"], scaled(said["price"]), scaled(said["size"])
        if side not in (0, 1) or not price:
            raise BadNumber("no level")
        self.line.level(self.instrument, side, price, size, NOW_NS)
        return True

    def trade(self, said: dict[str, Any]) -> bool:
        price, size = scaled(said["price"]), scaled(said["size"])
        if not price or not size:
            raise BadNumber("no trade")
        self.line.trade(self.instrument, BUY, price, size, NOW_NS, "id")
        return True

    def stranger(self, said: dict[str, Any]) -> bool:
        self.line.unknown(said["e"])
        return False


class Raises(Honest):
    def message(self, payload: bytes) -> bool:
        json.loads(payload)
        return super().message(payload)


class TakesEverythingForData(Honest):
    def message(self, payload: bytes) -> bool:
        super().message(payload)
        return True


class AnswersNothing(Honest):
    def message(self, payload: bytes) -> bool:
        super().message(payload)
        return cast(bool, None)


class SwallowsGarbage(Honest):
    def message(self, payload: bytes) -> bool:
        try:
            json.loads(payload)
        except (ValueError, RecursionError):
            return False
        return super().message(payload)


class IsSilentAboutStrangers(Honest):
    def stranger(self, said: dict[str, Any]) -> bool:
        return False


class RoundsPrices(Honest):
    def level(self, said: dict[str, Any]) -> bool:
        self.line.level(self.instrument, 0, int(float(said["price"]) * SCALE * 1.0000001), scaled("7"), NOW_NS)
        return True


class InventsSizes(Honest):
    def level(self, said: dict[str, Any]) -> bool:
        self.line.level(self.instrument, 0, scaled(said["price"]), scaled("8"), NOW_NS)
        return True


class SaysFloats(Honest):
    def level(self, said: dict[str, Any]) -> bool:
        self.line.level(self.instrument, 0, cast(int, float(said["price"])), 7, NOW_NS)
        return True


class WorstFirst(Honest):
    def book(self, said: dict[str, Any]) -> bool:
        bids = sorted((scaled(price), scaled(size)) for price, size in said["bids"])
        self.line.book(self.instrument, bids, [], NOW_NS)
        return True


class CrossesBooks(Honest):
    def level(self, said: dict[str, Any]) -> bool:
        self.line.level(self.instrument, 1, scaled(said["price"]), scaled(said["size"]), NOW_NS)
        return True


class SeesTheFuture(Honest):
    def trade(self, said: dict[str, Any]) -> bool:
        self.line.trade(self.instrument, BUY, scaled(said["price"]), scaled(said["size"]), 2 * NOW_NS, "id")
        return True


class NamesNoTrade(Honest):
    def trade(self, said: dict[str, Any]) -> bool:
        self.line.trade(self.instrument, BUY, scaled(said["price"]), scaled(said["size"]), NOW_NS, "")
        return True


class SpeaksOfOthers(Honest):
    def level(self, said: dict[str, Any]) -> bool:
        self.line.level(Instrument("toy", "other", "m", 1, "X"), 0, scaled(said["price"]), scaled("7"), NOW_NS)
        return True


class HearsNothing(Honest):
    def message(self, payload: bytes) -> bool:
        if b"zzz" not in payload and json_is_good(payload):
            return False
        return super().message(payload)


class RefusesGoodMessages(Honest):
    def level(self, said: dict[str, Any]) -> bool:
        raise BadNumber("do not like it")


class ChangesItsMind(Honest):
    n = 0

    def trade(self, said: dict[str, Any]) -> bool:
        ChangesItsMind.n += 1
        self.line.trade(self.instrument, BUY, scaled(said["price"]), scaled(said["size"]), NOW_NS, str(self.n))
        return True


class MakesBooksOfAnything(Honest):
    def snapshot(self, instrument: Instrument, payload: bytes) -> None:
        self.line.book(instrument, [], [], NOW_NS)


def json_is_good(payload: bytes) -> bool:
    try:
        return isinstance(json.loads(payload), dict)
    except (ValueError, RecursionError):
        return False


class ToyVenue:
    """A venue with one stream and the decoder it is given."""

    name = "toy"

    def __init__(self, kind: type[Honest], names: Sequence[str] = ("main",)) -> None:
        self.kind, self.names = kind, names

    def plan(self, instruments: Sequence[Instrument]) -> list[StreamPlan]:
        return [StreamPlan(name, "wss://toy", tuple(instruments)) for name in self.names]

    def decoder(self, plan: StreamPlan, line: Line) -> Decoder:
        return self.kind(plan, line)


def check(venue: ToyVenue) -> None:
    def make() -> list[Instrument]:
        return [Instrument("toy", "a", "m", 1, "X")]

    check_venue(cast(Venue, venue), make, {"main": SESSION}, recv_ns=NOW_NS, silent=(b"PONG",))


def test_a_decoder_that_keeps_the_rules_passes() -> None:
    check(ToyVenue(Honest))


@pytest.mark.parametrize(
    "kind",
    [
        Raises, TakesEverythingForData, AnswersNothing, SwallowsGarbage, IsSilentAboutStrangers, RoundsPrices,
        InventsSizes, SaysFloats, WorstFirst, CrossesBooks, SeesTheFuture, NamesNoTrade, SpeaksOfOthers, HearsNothing,
        RefusesGoodMessages, ChangesItsMind, MakesBooksOfAnything,
    ],
)  # fmt: skip
def test_a_decoder_that_breaks_a_rule_is_caught(kind: type[Honest]) -> None:
    with pytest.raises(ContractBroken):
        check(ToyVenue(kind))


@pytest.mark.parametrize("names", [(), ("main", "main"), ("main", "more"), ("other",)])
def test_a_plan_that_leaves_out_doubles_or_renames_is_caught(names: Sequence[str]) -> None:
    with pytest.raises(ContractBroken):
        check(ToyVenue(Honest, names))


@pytest.mark.parametrize("name", list(VENUES))
def test_every_venue_in_the_table_can_be_had_by_its_name(name: str) -> None:
    assert VENUES[name](resolve()).name == name

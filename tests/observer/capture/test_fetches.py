"""A book that is asked for by REST: ever more rarely while that fails, and not for ever on one connection."""

import asyncio
import itertools
from pathlib import Path

import pytest

from observer.backoff import Backoff
from observer.capture import site as site_module
from observer.ports import Instrument, RestError
from tests.observer.capture.test_site import Rig, listing, recording
from tests.samples.tiny_venue import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checks in between; a short patience."""
    monkeypatch.setattr(site_module, "CHECK_S", 60.0)
    monkeypatch.setattr(site_module, "BOOK_WAIT_S", 0.4)


class Waits(Backoff):
    """Keeps what was asked of it; waits a hundredth of a second each time."""

    made: "list[Waits]"

    def __init__(self, rng: object = None) -> None:
        super().__init__()
        self.asked_s: list[float] = []
        self.made.append(self)

    def next_s(self, at_least_s: float = 0.0) -> float:
        """A short wait."""
        super().next_s(at_least_s)
        self.asked_s.append(at_least_s)
        return 0.01


def answers(rig: Rig, *replies: bytes | RestError | float) -> None:
    """What REST says, one after the other, the last for ever; a number is a wait before the next."""
    left = itertools.chain(replies, itertools.repeat(replies[-1]))

    async def snapshot(rest: object, instrument: Instrument) -> bytes:
        rig.venue.fetched.append(instrument.key)
        for reply in left:
            if isinstance(reply, RestError):
                raise reply
            if isinstance(reply, bytes):
                return reply
            await asyncio.sleep(reply)
        raise AssertionError

    rig.venue.snapshot = snapshot  # type: ignore[method-assign]


BOOK = b"[[[6, 2]], [[8, 2]]]"


def test_a_fetch_that_fails_is_tried_after_growing_waits_that_the_venue_may_lengthen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Waits.made = []
    monkeypatch.setattr(site_module, "Backoff", Waits)
    monkeypatch.setattr(site_module, "BOOK_WAIT_S", 60.0)
    down, banned = RestError("HTTP 503", 503), RestError("HTTP 429", 429, 7.0)

    async def play() -> None:
        one = listing("w", -1, 60)
        async with recording(tmp_path, [one]) as rig:
            up = one.instruments[0]
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            answers(rig, down, down, banned, down, BOOK, down, BOOK)
            for _ in range(2):
                rig.server.send("hole", "w-up")
                await until(lambda: not up.book.is_valid, "the loss")
                await until(lambda: up.book.best(0) == 6, "the fetched book")
            assert (rig.site._retries, rig.site._resting) == ({}, set())

    asyncio.run(play())

    waits = [one for one in Waits.made if one.asked_s]
    # Down, down, banned, down: one wait after the other. Then forgiven, because a book had come.
    assert [one.asked_s for one in waits] == [[0.0, 0.0, 7.0, 0.0], [0.0]]
    assert [one.failures for one in waits] == [4, 1]


def test_a_loss_has_its_own_time_whatever_was_lost_before_it(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)
        async with recording(tmp_path, [one]) as rig:
            up = one.instruments[0]
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            answers(rig, BOOK, 0.3, BOOK)
            rig.server.send("hole", "w-up")
            await until(lambda: up.book.best(0) == 6, "the fetched book")
            await asyncio.sleep(0.25)
            rig.server.send("hole", "w-up")  # when the first loss is 0.4 s old, this one is 0.15 s old
            await until(lambda: not up.book.is_valid, "the second loss")
            await until(lambda: up.book.is_valid, "the book again")

            assert len(rig.server.sockets) == 1
            assert rig.intake.counters.of("tiny").closed == {}

    asyncio.run(play())


def test_a_loss_is_waited_for_once_and_from_the_first_try_on(tmp_path: Path) -> None:
    async def play() -> None:
        one = listing("w", -1, 60)
        async with recording(tmp_path, [one]) as rig:
            await until(lambda: all(i.book.is_valid for i in one.instruments), "the books")
            answers(rig, 0.5, RestError("HTTP 503", 503))
            insisted: list[int] = []
            insist = rig.site._insist

            def counted(connection, instrument, gap):
                insisted.append(connection.number)
                return insist(connection, instrument, gap)

            rig.site._insist = counted  # type: ignore[method-assign]
            rig.server.send("hole", "w-up")
            await asyncio.sleep(0.45)
            assert (insisted, len(rig.server.sockets)) == ([], 1)  # the first answer is still to come
            await until(lambda: len(rig.server.sockets) == 2, "a new connection")
            await until(lambda: one.instruments[0].book.is_valid, "the book on the new connection")

            assert insisted == [0]
            assert any("still unknown" in reason for reason in rig.intake.counters.of("tiny").closed)

    asyncio.run(play())

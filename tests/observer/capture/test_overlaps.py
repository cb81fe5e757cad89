"""A stream's next connection: heard before the old one goes, given up without harm, never hammered for."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from observer.backoff import Backoff
from observer.capture import stream as stream_module
from observer.capture.stream import Stream
from observer.ports import Instrument, StreamPlan
from observer.records import UP
from observer.store.batch import Connected, Disconnected, GapSeen
from tests.observer.capture.test_streams import BOOK_A, Rig, recording
from tests.samples.tiny_venue import until


@asynccontextmanager
async def kicking(rig: Rig) -> AsyncIterator[None]:
    """While inside, the server ends each new connection before it has fed a book."""
    greeting, rig.server.greeting = rig.server.greeting, []

    async def kick() -> None:
        while True:
            for socket in rig.server.sockets[1:]:
                socket.disconnect(graceful=False)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(kick())
    yield
    task.cancel()
    rig.server.greeting = greeting


def ask_for_another(rig: Rig) -> Instrument:
    """Change the plan: the stream wants a connection that carries one more book."""
    other = Instrument("tiny", "b", "m2", UP, "BTC")
    rig.intake.add_instrument(other)
    rig.stream.change(rig.venue.plan([rig.instrument, other])[0])
    return other


def test_a_venue_that_ends_each_next_connection_is_asked_ever_more_rarely_and_the_old_one_goes_on() -> None:
    async def play() -> None:
        async with recording() as rig:
            backoff = Backoff(random.Random(1), base_s=10.0, cap_s=10.0)
            rig.stream._backoff = backoff
            async with kicking(rig):
                ask_for_another(rig)
                await until(lambda: backoff.failures == 1, "the first failure")
                await asyncio.sleep(0.3)

            assert len(rig.server.sockets) == 2  # the wait is up to ten seconds
            rig.server.send("level", "a", 0, 6, 2, socket=0)
            await until(lambda: rig.instrument.book.size_at(0, 6) == 2, "the old connection's level")
            assert rig.intake.counters.of("tiny").closed["connection lost"] == 1

    asyncio.run(play())


def test_an_old_connection_that_ends_meanwhile_is_not_waited_for() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.stream._backoff = Backoff(random.Random(1), base_s=600.0, cap_s=600.0)
            async with kicking(rig):
                ask_for_another(rig)
                await until(lambda: rig.stream._backoff.failures == 1, "the first failure")
            rig.stream._backoff = Backoff(random.Random(1), base_s=0.01, cap_s=0.01)
            rig.server.sockets[0].disconnect(graceful=False)
            await until(lambda: len(rig.server.sockets) == 3, "a new connection")
            rig.server.send(*BOOK_A)
            await until(lambda: rig.instrument.book.is_valid, "the book")

    asyncio.run(play())


def test_a_stream_that_is_stopped_while_two_connections_overlap_closes_both() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.server.greeting = [BOOK_A]
            ask_for_another(rig)  # its book never comes: the two overlap for a while
            await until(lambda: len(rig.server.sockets) == 2 and rig.instrument.owner == 1, "the overlap")
            await rig.stream.stop()
            await until(lambda: all(socket.is_disconnected for socket in rig.server.sockets), "both ends")

            assert {end.conn for end in rig.notes(Disconnected)} == {one.conn for one in rig.notes(Connected)}

    asyncio.run(play())


def test_a_new_connection_that_does_not_feed_a_book_in_time_takes_over_with_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "OVERLAP_S", 0.2)

    async def play() -> None:
        async with recording() as rig:
            rig.server.greeting = []
            ask_for_another(rig)
            await until(lambda: rig.notes(Disconnected), "the old connection's end")
            assert rig.intake.gaps[rig.instrument.number].reason == "new connection without a snapshot in time"
            assert not rig.instrument.book.is_valid
            assert rig.asked == ["a"]  # else nobody would, and the gap might last as long as the connection
            rig.server.send(*BOOK_A, socket=1)
            await until(lambda: rig.instrument.book.is_valid, "the book")

            assert [gap.reason for gap in rig.notes(GapSeen)] == ["new connection without a snapshot in time"]

    asyncio.run(play())


def test_a_book_that_moves_to_another_stream_is_not_let_go_before_that_one_feeds_it() -> None:
    async def play() -> None:
        async with recording() as rig:
            moving = ask_for_another(rig)
            rig.server.greeting = []
            await until(lambda: len(rig.server.sockets) == 2, "the connection of both")
            for book in (BOOK_A, ["book", "b", [[5, 1]], [[7, 1]]]):
                rig.server.send(*book)
            await until(lambda: rig.notes(Disconnected), "the first connection's end")
            other = rig.venue.plan([moving])[0]
            rig.stream.change(rig.venue.plan([rig.instrument])[0])
            await until(lambda: len(rig.server.sockets) == 3, "the connection without it")
            rig.server.send(*BOOK_A)
            await until(lambda: rig.instrument.owner == 2, "its book")
            await asyncio.sleep(0.3)
            second = Stream(rig.intake, rig.venue, replace(other, name="second"), lambda c, i: None, Backoff())
            await until(lambda: len(rig.server.sockets) == 4, "the other stream")
            rig.server.send("book", "b", [[5, 1]], [[7, 1]])
            await until(lambda: len(rig.notes(Disconnected)) == 2, "the old connection's end")

            assert rig.notes(GapSeen) == []
            assert rig.intake.gaps == {}
            await second.stop()

    asyncio.run(play())


def test_what_breaks_in_a_stream_costs_a_wait_and_not_the_stream() -> None:
    async def play() -> None:
        async with recording() as rig:
            plan: StreamPlan = rig.stream.plan

            def unsigned() -> dict[str, str]:
                raise ValueError("no signature today")

            rig.stream.plan = replace(plan, headers=unsigned)
            rig.server.sockets[0].underlying_transport.abort()
            closed = rig.intake.counters.of("tiny").closed
            await until(lambda: any("no signature today" in reason for reason in closed), "the mistake")
            rig.stream.plan = plan
            await until(lambda: rig.instrument.book.is_valid, "the book again")

            assert {end.conn for end in rig.notes(Disconnected)} >= {0, 1}

    asyncio.run(play())


def test_failures_are_forgiven_only_after_a_good_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GOOD_S", 0.3)

    async def play() -> None:
        async with recording() as rig:
            backoff = rig.stream._backoff
            for n in (1, 2):
                rig.server.sockets[-1].disconnect(graceful=False)
                await until(lambda n=n: len(rig.server.sockets) == n + 1 and rig.instrument.book.is_valid, "the next")
                assert backoff.failures == n
            assert rig.intake.counters.of("tiny").reconnects == 2
            await until(lambda: backoff.failures == 0, "the forgiveness")

    asyncio.run(play())


def test_a_refused_stream_waits_as_long_as_the_venue_asks() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        tries.append(1)
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    tries: list[int] = []

    async def play() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server, recording() as rig:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            rig.stream.plan = replace(rig.stream.plan, url=url)
            rig.server.sockets[0].disconnect(graceful=False)
            await until(lambda: tries, "the first try")
            await asyncio.sleep(0.3)

            assert len(tries) == 1  # the back-off alone would have tried some ten times

    asyncio.run(play())


def test_connections_that_come_and_go_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MUTE_NS", 0)

    async def play() -> None:
        async with recording(life_s=0.02) as rig:
            await until(lambda: len(rig.server.sockets) > 5, "some connections")
            tasks = len(asyncio.all_tasks())
            await until(lambda: len(rig.server.sockets) > 20, "many connections")

            assert len(asyncio.all_tasks()) <= tasks + 4
            assert sum(not socket.is_disconnected for socket in rig.server.sockets) <= 2
            assert len(rig.intake.preamble) <= 3  # the instrument, and the connections that are there

    asyncio.run(play())


def test_a_next_connection_that_cannot_be_opened_leaves_the_old_one_in_place() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.stream._backoff = Backoff(random.Random(1), base_s=0.01, cap_s=0.05)
            rig.stream.change(replace(rig.stream.plan, url="ws://127.0.0.1:1/"))
            await until(lambda: rig.stream._backoff.failures >= 3, "some tries")
            rig.server.send("level", "a", 0, 6, 2)
            await until(lambda: rig.instrument.book.size_at(0, 6) == 2, "the old connection's level")

            assert rig.notes(GapSeen) == []
            rig.stream.change(replace(rig.stream.plan, url=rig.server.url))
            await until(lambda: rig.instrument.owner > 0, "the next connection")
            await until(lambda: rig.server.sockets[0].is_disconnected, "the old one's end")

    asyncio.run(play())


def test_a_lost_connection_is_not_opened_again_at_once() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.stream._backoff = Backoff(random.Random(1), base_s=60.0, cap_s=60.0)
            rig.server.sockets[0].disconnect(graceful=False)
            await until(lambda: rig.stream._backoff.failures == 1, "the wait")
            await asyncio.sleep(0.3)

            assert len(rig.server.sockets) == 1

    asyncio.run(play())


@dataclass
class HandOver:
    """A book that has changed hands: what happens on the old and the new connection from here on is the test's."""

    rig: Rig
    spoke_ns: int

    async def ended(self) -> list[GapSeen]:
        """The gap rows once the old connection is closed."""
        await until(lambda: self.rig.notes(Disconnected), "the old connection's end")
        await until(lambda: self.rig.stream.connection is not None and self.rig.stream.connection.number, "the next")
        return self.rig.notes(GapSeen)


@asynccontextmanager
async def handed_over(book: object) -> AsyncIterator[HandOver]:
    """The old connection spoke; then the next one, which the plan wants, began with `book`."""
    async with recording() as rig:
        rig.server.send("level", "a", 0, 4, 9)
        await until(lambda: rig.instrument.book.size_at(0, 4) == 9, "the old connection's last word")
        spoke_ns = rig.intake.events[-1][3]
        await asyncio.sleep(0.05)
        rig.server.greeting = [book]
        rig.stream.change(rig.stream.plan)
        await until(lambda: rig.instrument.owner == 1, "the next connection's book")
        yield HandOver(rig, spoke_ns)


SAME_BOOK = ["book", "a", [[5, 1], [4, 9]], [[7, 1]]]
OTHER_BOOK = ["book", "a", [[5, 1], [4, 8]], [[7, 1]]]


def test_a_mute_connection_that_is_replaced_leaves_a_gap_since_it_last_spoke() -> None:
    async def play() -> None:
        async with handed_over(OTHER_BOOK) as hands:
            taken_ns = hands.rig.instrument.confirmed_ns
            (gap,) = await hands.ended()

            assert (gap.start_ns, gap.end_ns) == (hands.spoke_ns, taken_ns)
            assert hands.rig.instrument.taken_ns == 0  # told once, however often the next connection fails
            assert gap.reason == "mute before the next connection took over"
            assert hands.rig.intake.counters.of("tiny").gaps == 1
            assert hands.rig.instrument.book.is_valid

    asyncio.run(play())


def test_a_connection_that_misses_the_first_change_after_it_was_replaced_was_mute_before() -> None:
    async def play() -> None:
        async with handed_over(SAME_BOOK) as hands:
            hands.rig.server.send("level", "a", 0, 4, 8, socket=1)

            assert len(await hands.ended()) == 1

    asyncio.run(play())


@pytest.mark.parametrize("book", [SAME_BOOK, OTHER_BOOK])
def test_a_connection_that_speaks_after_it_was_replaced_has_missed_nothing(book: object) -> None:
    async def play() -> None:
        async with handed_over(book) as hands:
            await asyncio.sleep(0.3)  # the same change, later on its way
            hands.rig.server.send("level", "a", 0, 4, 8, socket=1)
            hands.rig.server.send("level", "a", 0, 4, 8, socket=0)

            assert await hands.ended() == []

    asyncio.run(play())


def test_a_quiet_market_that_changes_hands_has_no_gap() -> None:
    async def play() -> None:
        async with handed_over(SAME_BOOK) as hands:
            assert await hands.ended() == []

    asyncio.run(play())


def test_a_connection_that_breaks_before_it_spoke_again_may_have_missed_something() -> None:
    async def play() -> None:
        async with handed_over(SAME_BOOK) as hands:
            hands.rig.server.sockets[0].underlying_transport.abort()

            assert len(await hands.ended()) == 1

    asyncio.run(play())


def test_a_stream_that_is_stopped_before_the_old_connection_spoke_again_tells_the_gap() -> None:
    async def play() -> None:
        async with handed_over(SAME_BOOK) as hands:
            await hands.rig.stream.stop()

            assert [gap.start_ns for gap in hands.rig.notes(GapSeen)] == [hands.spoke_ns]

    asyncio.run(play())


def test_a_price_that_goes_on_without_the_old_connection_is_a_gap_too() -> None:
    async def play() -> None:
        async with recording() as rig:
            rig.server.greeting = [["price", "a", 5]]
            rig.server.send("price", "a", 5)
            rig.stream.change(rig.stream.plan)
            await until(lambda: rig.instrument.owner == 1, "the next connection's price")
            taken_ns = rig.instrument.taken_ns
            rig.server.send("price", "a", 6)
            await until(lambda: rig.notes(Disconnected), "the old connection's end")

            assert [gap.end_ns for gap in rig.notes(GapSeen)] == [taken_ns]

    asyncio.run(play())

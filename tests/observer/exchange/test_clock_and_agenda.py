"""Virtual time: it can be followed from outside, and what is due happens in a fixed order."""

import pytest

from observer.exchange.agenda import Agenda
from observer.exchange.clock import VirtualClock


def test_one_reading_is_enough_to_follow_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    mono = [5_000]
    monkeypatch.setattr("observer.exchange.clock.time.monotonic_ns", lambda: mono[0])
    clock = VirtualClock(1_000_000, speed=100.0)
    mono[0] = 7_000
    reading = clock.reading()
    mono[0] = 10_000

    followed = reading["now_ns"] + int((mono[0] - reading["mono_ns"]) * reading["speed"])

    assert reading == {"now_ns": 1_200_000, "speed": 100.0, "mono_ns": 7_000}
    assert followed == clock.now_ns() == 1_500_000
    assert clock.real_s_until(1_500_000 + 100 * 1_000_000_000) == pytest.approx(1.0)


def test_what_is_due_together_happens_in_the_order_it_was_put_down() -> None:
    agenda, seen = Agenda(0), []
    agenda.at(20, lambda: seen.append(("late", agenda.now_ns)))
    agenda.at(10, lambda: seen.append(("first", agenda.now_ns)))
    agenda.at(10, lambda: seen.append(("second", agenda.now_ns)))

    assert agenda.run_until(15)
    assert seen == [("first", 10), ("second", 10)]
    assert agenda.now_ns == 15
    assert agenda.next_ns == 20


def test_an_act_that_is_late_happens_with_its_own_time() -> None:
    agenda, seen = Agenda(0), []

    def beat() -> None:
        seen.append(agenda.now_ns)
        agenda.after(10, beat)

    agenda.at(10, beat)
    agenda.run_until(45)

    assert seen == [10, 20, 30, 40]


def test_a_spent_budget_leaves_the_rest_for_later() -> None:
    agenda, seen = Agenda(0), []
    for n in range(100):
        agenda.at(n, lambda n=n: seen.append(n))

    is_done = agenda.run_until(100, budget_s=0.0)

    assert not is_done
    assert 0 < len(seen) < 100
    assert agenda.run_until(100)
    assert seen == list(range(100))

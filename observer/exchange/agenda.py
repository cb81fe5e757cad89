"""What happens when, in virtual time. Same entries, same order, on every machine.

Entries due at the same time happen in the order in which they were put down. An entry that is late happens with its
own time, not with the time of the day, so the markets do not depend on how busy the machine is.
"""

import heapq
import time
from collections.abc import Callable

Act = Callable[[], None]


class Agenda:
    """A heap of acts.

    Attributes:
        now_ns: time of the act in hand, or of the last `run_until`; what messages are stamped with.
        is_still: while True, market acts are put off and only their clock goes on (`GET /control/still`).
    """

    def __init__(self, start_ns: int) -> None:
        self.now_ns = start_ns
        self._entries: list[tuple[int, int, Act]] = []
        self._count = 0

    def at(self, due_ns: int, act: Act) -> None:
        """Put an act down; one that is due already happens next."""
        self._count += 1
        heapq.heappush(self._entries, (max(due_ns, self.now_ns), self._count, act))

    def after(self, delay_ns: int, act: Act) -> None:
        """Put an act down, `delay_ns` from now."""
        self.at(self.now_ns + delay_ns, act)

    @property
    def next_ns(self) -> int | None:
        """When the next act is due, or None."""
        return self._entries[0][0] if self._entries else None

    def run_until(self, limit_ns: int, budget_s: float = float("inf")) -> bool:
        """Let everything due by `limit_ns` happen, for at most about `budget_s` real seconds.

        Returns:
            True when nothing due is left; `now_ns` is then `limit_ns`.
        """
        stop = time.monotonic() + budget_s
        done = 0
        while self._entries and self._entries[0][0] <= limit_ns:
            due_ns, _, act = heapq.heappop(self._entries)
            self.now_ns = due_ns
            act()
            done += 1
            if done % 32 == 0 and time.monotonic() > stop:
                return False
        self.now_ns = max(self.now_ns, limit_ns)
        return True

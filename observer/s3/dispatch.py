"""A few at a time: hand entries to a pool and yield what became of them, without ever waiting long.

After some failures in a row nothing more is handed out, because the store is down and each try may take minutes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TypeVar

from observer.kit.errors import ToolkitError

Item = TypeVar("Item")
Done = TypeVar("Done")
GIVE_UP = 4
_LOOK_S = 0.2


def outcomes(
    pool: Executor, work: Callable[[Item], Done], items: Iterable[Item], workers: int
) -> Iterator[list[tuple[Item, Done | ToolkitError]]]:
    """Yield what has come back, several times a second, possibly nothing; errors that are none of ours are raised."""
    waiting: deque[Item] = deque(items)
    running: dict[Future[Done], Item] = {}
    failed_in_a_row = 0
    while True:
        while waiting and len(running) < workers and failed_in_a_row < GIVE_UP:
            item = waiting.popleft()
            running[pool.submit(work, item)] = item
        if not running:
            return
        done, _ = wait(running, _LOOK_S, FIRST_COMPLETED)
        lot: list[tuple[Item, Done | ToolkitError]] = []
        for future in done:
            error = future.exception()
            if error is not None and not isinstance(error, ToolkitError):
                raise error
            failed_in_a_row = 0 if error is None else failed_in_a_row + 1
            lot.append((running.pop(future), future.result() if error is None else error))
        yield lot

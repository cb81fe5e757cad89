"""What is done once, after a recording that was to end by itself: compaction, and the upload.

SIGTERM or Ctrl-C ends it at once: each step may be stopped anywhere, and the next start goes on with what is left. No
lock is held: whoever records into the folder meanwhile has helpers that do the same.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from observer.kit.console import say

_LOOK_S = 0.1
_INSIST_S = 2.0  # after being told to stop


@dataclass
class _Told:
    """Whether somebody said to stop."""

    is_set: bool = False

    def __call__(self, *_: object) -> None:
        """Somebody does, by a signal."""
        self.is_set = True


def run_errands(steps: Sequence[tuple[str, ...]], environment: Mapping[str, str]) -> list[str]:
    """Run `python -m STEP` for each, one after the other.

    Returns:
        Which of them failed, in words; one that was stopped has not.
    """
    failed: list[str] = []
    with _heard() as told:
        for step in steps:
            if told.is_set:
                break
            command = [sys.executable, "-m", *step]
            code = _waited(subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment), told)
            if code != 0 and not told.is_set:
                failed.append(f"`python -m {' '.join(step)}` ended with {code}; run it again: nothing is lost")
        if told.is_set:
            say("stopped before everything was brought home; the next start goes on with it")
    return failed


def _waited(process: subprocess.Popen[bytes], told: _Told) -> int:
    """Wait for its end, which comes soon once somebody said to stop."""
    while not told.is_set and process.poll() is None:
        time.sleep(_LOOK_S)
    if told.is_set:
        process.terminate()
        try:
            return process.wait(_INSIST_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@contextmanager
def _heard() -> Iterator[_Told]:
    """SIGTERM and Ctrl-C are heard, and do nothing else, while it is entered."""
    told = _Told()
    if threading.current_thread() is not threading.main_thread():  # signals are another one's
        yield told
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, told) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

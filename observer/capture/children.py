"""The recorder's helpers: processes of their own, so that neither Parquet nor S3 can delay a tick.

A helper that ends is started again after a wait; one that fails does not take the recorder with it, for what it works
on is safe on the disk.
"""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass, field

from observer.backoff import Backoff
from observer.kit import log
from observer.kit.parent import VARIABLE

_LOG = log.get("children")
_STOP_S = 2.0
_GOOD_S = 60.0  # after so long the next end is a first one
# What only the recorder needs: venue keys, and the folder that systemd hands it keys in.
_SECRET = ("KALSHI_", "CREDENTIALS_DIRECTORY")


@dataclass
class Child:
    """One helper process, kept running.

    Attributes:
        name: for messages.
        args: `python -m ARGS`.
        backoff: how long to wait before it is started again.
        starts: how often it was started.
        last_exit: its last exit code, None while the first one runs.

    It is in trouble while it ends again and again, soon after each start: `backoff.failures` says how often.
    """

    name: str
    args: tuple[str, ...]
    backoff: Backoff
    starts: int = 0
    last_exit: int | None = None
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    async def run(self) -> None:
        """Keep it running until cancelled; then end it."""
        try:
            while True:
                why = await self._once()
                wait_s = self.backoff.next_s()
                _LOG.warning("%s %s; started again in %.1f s", self.name, why, wait_s)
                await asyncio.sleep(wait_s)
        finally:
            await self._end()

    async def _once(self) -> str:
        """Start it and wait for its end; returns what came of it."""
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self.args, stdin=asyncio.subprocess.DEVNULL, env=helper_environment()
            )
        except OSError as error:  # a box short of memory or processes: the recorder goes on
            return f"cannot be started ({error})"
        self.starts += 1
        try:
            async with asyncio.timeout(_GOOD_S):
                await process.wait()
        except TimeoutError:
            self.backoff.reset()
        self.last_exit = await process.wait()
        return f"ended with code {self.last_exit}"

    async def _end(self) -> None:
        """Ask it to stop, and insist after a while."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def helper_environment() -> dict[str, str]:
    """The recorder's environment without its venue keys, for no helper signs anything, and with its process id."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}
    return {**kept, VARIABLE: str(os.getpid())}

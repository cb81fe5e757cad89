"""The recorder's helpers: processes of their own, so that neither Parquet nor S3 can delay a tick.

A helper that ends is started again after a wait; one that fails does not take the recorder with it, for what it works
on is safe on the disk. What helpers say on stderr goes to the recorder's log, which is bounded.
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
_LAST_WORDS_S = 0.5
_CHUNK_BYTES = 1 << 16
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
    _hearing: asyncio.Task[None] | None = field(default=None, repr=False)

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
                sys.executable, "-m", *self.args, env=helper_environment(),
                stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:  # a box short of memory or processes: the recorder goes on
            return f"cannot be started ({error})"
        self.starts += 1
        assert process.stderr is not None
        self._hearing = asyncio.create_task(self._hear(process.stderr))
        try:
            async with asyncio.timeout(_GOOD_S):
                await process.wait()
        except TimeoutError:
            self.backoff.reset()
        self.last_exit = await process.wait()
        await self._heard()
        return f"ended with code {self.last_exit}"

    async def _hear(self, words: asyncio.StreamReader) -> None:
        """Put what it says into the log, line by line; a line without end in parts."""
        rest = b""
        while chunk := await words.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) >= _CHUNK_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._tell(line)
        self._tell(rest)

    def _tell(self, line: bytes) -> None:
        if text := line.decode(errors="replace").strip():
            _LOG.info("%s", f"{self.name}: {text}")

    async def _heard(self) -> None:
        """Wait for its last words, not for what another process that it left behind may say."""
        if self._hearing is not None:
            await asyncio.wait({self._hearing}, timeout=_LAST_WORDS_S)
            self._hearing.cancel()

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
        await self._heard()


def helper_environment() -> dict[str, str]:
    """The recorder's environment without its venue keys, for no helper signs anything, and with its process id."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}
    return {**kept, VARIABLE: str(os.getpid())}

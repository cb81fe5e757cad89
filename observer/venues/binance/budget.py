"""How often books may be asked for: Binance counts weight per minute and bans an address that goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Budget:
    """A bucket: a few snapshots at once, then so many a minute; never more than `burst + per_minute` in any minute.

    Args:
        burst: snapshots that may be asked for without waiting.
        per_minute: how fast the bucket fills again.
        mono_s, sleep: the clock, replaced in tests.
    """

    def __init__(
        self,
        burst: int,
        per_minute: int,
        *,
        mono_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._burst, self._spacing_s = burst, 60.0 / per_minute
        self._mono_s, self._sleep = mono_s, sleep
        self._full_at_s = mono_s()  # when the bucket is, or was, full again

    async def take(self) -> None:
        """Wait until one more may be asked for."""
        now_s = self._mono_s()
        self._full_at_s = max(self._full_at_s, now_s) + self._spacing_s
        wait_s = self._full_at_s - now_s - self._burst * self._spacing_s
        if wait_s > 0:
            await self._sleep(wait_s)

"""`mlx-rl exchange`: serve a loopback exchange that speaks the venues' protocols.

The first line of stdout is one JSON object, written when the exchange is ready; SIGTERM or Ctrl-C stops it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from observer.exchange.settings import ExchangeSettings
from observer.kit.cli import run_command
from observer.kit.errors import ToolkitError

PROG = "mlx-rl exchange"
_LOOK_S = 0.5  # how often to see whether the parent is there
ABOUT = (
    "Serve a loopback exchange on 127.0.0.1 that speaks the protocols of Polymarket, Kalshi, Binance, Coinbase, Kraken "
    "and Hyperliquid, from made-up markets or a recording. It reaches no real venue and takes no orders."
)


class ExchangeCommand(ExchangeSettings):
    """Serve a loopback exchange."""

    duration_s: float = Field(default=0.0, ge=0, description="stop after so many real seconds; 0: serve until stopped")
    with_parent: bool = Field(default=False, description="stop when the process that started it is gone")


def serve(command: ExchangeCommand) -> dict[str, Any]:
    """Serve until told to stop, and say what was served.

    Raises:
        ToolkitError: the port is taken, or the markets stopped moving.
    """
    parent = os.getppid() if command.with_parent else 0
    settings = ExchangeSettings(**command.model_dump(exclude={"duration_s", "with_parent"}))
    return asyncio.run(_serve(settings, command.duration_s, parent))


async def _serve(settings: ExchangeSettings, duration_s: float, parent: int) -> dict[str, Any]:
    from observer.exchange.server import Exchange

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    exchange = Exchange(settings)
    try:
        async with exchange:
            ready = {
                "url": exchange.url,
                "pid": os.getpid(),
                "venues": list(exchange.venues),
                **exchange.floor.clock.reading(),
            }
            print(json.dumps(ready), flush=True)
            tasks = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(exchange.fail())]
            if parent:
                tasks.append(asyncio.ensure_future(_orphaned(parent)))
            done, _ = await asyncio.wait(
                tasks, timeout=duration_s or None, return_when=asyncio.FIRST_COMPLETED
            )  # fmt: skip
            for task in done:
                await task
            for task in tasks:
                task.cancel()
    except OSError as error:
        raise ToolkitError(
            f"port {settings.port} on 127.0.0.1: {error.strerror}. Pass --port 0 for a free one."
        ) from error
    return {
        "url": exchange.url,
        "connections": exchange.floor.n_opened,
        "virtual_seconds": round((exchange.floor.agenda.now_ns - exchange.floor.clock.start_ns) / 1e9, 3),
        "things_that_went_wrong": len(exchange.floor.faults.log),
    }


async def _orphaned(parent: int) -> None:
    """Return when the parent is no longer the parent."""
    while os.getppid() == parent:
        await asyncio.sleep(_LOOK_S)


def show(result: dict[str, Any]) -> str:
    """The result in one line."""
    return (
        f"stopped {result['url']} after {result['virtual_seconds']} virtual seconds and {result['connections']} "
        f"connections; {result['things_that_went_wrong']} entries in the log of faults"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    return run_command(ExchangeCommand, serve, argv, prog=PROG, about=ABOUT, show=show)


if __name__ == "__main__":
    sys.exit(main())

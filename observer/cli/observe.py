"""`observer.py`: record markets tick by tick, unattended, losing nothing."""

import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from observer.capture.settings import ObserveSettings
from observer.kit.cli import run_command
from observer.kit.console import say, table
from observer.kit.outlet import Outlets

ABOUT = "Record markets tick by tick to local disk, and to S3 where a bucket is named. No orders are sent."
_PATIENCE_S = 1.0  # for a terminal or a pipe that nobody reads, once everything is on the disk


def observe(settings: ObserveSettings) -> dict[str, Any]:
    """Record until stopped; returns what was recorded.

    Raises:
        UsageError: an unknown venue or address, or a folder that another observer is writing to.
        StorageFailed: the disk refuses to take or keep what was written.
    """
    from observer.capture.session import list_markets, record

    return list_markets(settings) if settings.dry_run else record(settings)


def show(result: dict[str, Any]) -> str:
    """What would be recorded, or what was."""
    if "listed" in result:
        rows = [[row[name] for name in _LISTED] for row in result["listed"]]
        total = f"{len(rows)} markets would be recorded, and {len(result['feeds'])} reference feeds: "
        return table(rows, _LISTED) + "\n" + total + ", ".join(result["feeds"])
    rows = [
        [name, v["markets"], v["messages"], v["events"], v["gaps"], v["reconnects"], sum(v["refused"].values())]
        for name, v in result["venues"].items()
    ]
    late = result["lateness_ms"]
    return (
        table(rows, ["venue", "markets", "messages", "events", "gaps", "reconnects", "refused"])
        + f"\n{result['tick_rows']} tick rows at {result['ticks']} ticks, late by {late['p50']:.1f} ms (p50), "
        + f"{late['p99']:.1f} ms (p99); {result['spool']['log']['written_number'] + 1} batches in {result['data_dir']}"
    )


_LISTED = ("venue", "market", "series", "symbol", "opens", "closes", "fees")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the recorder listens itself: nothing is begun yet
    undone: list[str] = []
    with Outlets() as outlets:

        def work(settings: ObserveSettings) -> dict[str, Any]:
            if not settings.dry_run:
                outlets.patience_s = _PATIENCE_S
            result = observe(settings)
            undone.extend(result.get("undone", []))
            for what in undone:
                say(f"not done: {what}")
            return result

        code = run_command(ObserveSettings, work, argv, prog="observer.py", about=ABOUT, show=show)
    return 1 if code == 0 and (undone or outlets.out.failure is not None) else code


if __name__ == "__main__":
    sys.exit(main())

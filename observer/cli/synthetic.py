"""`mlx-rl synthetic KIND`: write a recording of a synthetic market, the same tables as a real one.

Each kind has its own settings, so KIND comes first and chooses the flags.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, create_model

from observer.kit.cli import run_command
from observer.kit.console import Progress, say
from observer.kit.errors import UsageError
from observer.records import REFERENCE
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.common import SyntheticMarket, SyntheticSettings

PROG = "mlx-rl synthetic"
SOURCE = "synthetic"


def record(market: SyntheticMarket, settings: SyntheticSettings, data_dir: Path) -> dict[str, Any]:
    """Generate the windows of `settings` and write them, outcomes apart, one window in memory at a time.

    Raises:
        BadRecording: the folder already holds other windows under the same names.
    """
    from observer.store.writer import RecordingWriter

    progress = Progress(f"synthetic {market.name}", settings.windows)
    n_up = 0
    with RecordingWriter(data_dir, connection=SOURCE) as writer:
        for done, (tape, payoff_up) in enumerate(market.generate(settings), start=1):
            writer.write_tape(tape)
            reference = tape.rows[:, REFERENCE]
            if np.isfinite(reference).all():
                writer.write_reference(tape.market.symbol, SOURCE, tape.recv_ns, tape.recv_ns, reference)
            writer.write_outcome(tape.market.market_id, payoff_up, "synthetic", f"seed {settings.seed}")
            n_up += payoff_up == 1.0
            progress.update(done)
    summary = writer.summary
    return {
        "kind": market.name,
        "data_dir": str(data_dir),
        "windows": settings.windows,
        "new_windows": summary.new_tapes,
        "ticks": settings.windows * settings.ticks_per_window,
        "settled_up": n_up,
        "dataset_id": summary.dataset_id,
        "settings": settings.model_dump(),
    }


def show(result: dict[str, Any]) -> str:
    """The result in three lines."""
    return (
        f"{result['windows']} windows of {result['kind']} ({result['ticks']} ticks) in {result['data_dir']}, "
        f"{result['new_windows']} of them new\n"
        f"{result['settled_up']} settled Up\n"
        f"dataset {result['dataset_id']}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args:
        say(f"error: name a kind first.\n{_kinds()}")
        return 2
    if args[0] in ("-h", "--help"):
        print(_kinds())
        return 0
    try:
        market: SyntheticMarket = SYNTHETIC[args[0]]
    except UsageError as error:
        say(f"error: {error}")
        return 2
    flags = create_model(
        f"{market.settings.__name__}Command",
        __base__=market.settings,
        data_dir=(
            Path,
            Field(default=Path("./data"), description="folder of the recording; made if it does not exist"),
        ),
    )
    return run_command(
        flags,
        lambda chosen: _record(market, chosen.model_dump()),
        args[1:],
        prog=f"{PROG} {market.name}",
        about=f"Write a recording of the synthetic market {market.name!r}: {market.about}. No orders are sent.",
        show=show,
    )


def _record(market: SyntheticMarket, values: dict[str, Any]) -> dict[str, Any]:
    data_dir = values.pop("data_dir")
    return record(market, market.settings(**values), data_dir)


def _kinds() -> str:
    lines = [f"  {name:<8} {SYNTHETIC[name].about}" for name in SYNTHETIC]
    return "\n".join(
        [
            f"usage: {PROG} KIND [--data-dir DIR] [--windows INT] [--seed INT] ...",
            "",
            "Write a recording of a made-up market whose best policy is known. No orders are sent.",
            "",
            "kinds:",
            *lines,
            "",
            f"Flags of a kind: {PROG} KIND --help",
            f"Example: {PROG} spike --data-dir ./data/spike --windows 200 --seed 0",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

"""The installed command: `mlx-rl NAME …` hands over to that door and adds nothing.

Only the chosen door is imported, so the list of doors answers at once.
"""

import sys
from collections.abc import Sequence

from observer.kit.console import say
from observer.kit.errors import UsageError
from observer.kit.registry import Registry

DOORS = Registry(
    "command",
    {
        "observe": "observer.cli.observe:main",
        "exchange": "observer.cli.exchange:main",
        "import": "observer.cli.import_:main",
        "synthetic": "observer.cli.synthetic:main",
        "compact": "observer.cli.compact:main",
        "data": "observer.cli.data:main",
        "sync": "observer.cli.sync:main",
        "features": "mlx_rl.cli.features:main",
        "train": "mlx_rl.cli.train:main",
        "evaluate": "mlx_rl.cli.evaluate:main",
        "compare": "mlx_rl.cli.compare:main",
        "export": "export.cli:main",
        "run": "live.cli.run:main",
        "replay": "live.cli.replay:main",
        "dashboard": "live.cli.not_built:dashboard",
        "doctor": "mlx_rl.cli.doctor:main",
        "demo": "live.cli.demo:main",
        "prove": "live.cli.prove:main",
    },
)

ABOUT: dict[str, str] = {
    "observe": "record live markets to disk, and to a bucket",
    "exchange": "serve a loopback exchange that speaks the venues' protocols",
    "import": "bring a recording made by others into a store, refusing what is wrong",
    "synthetic": "make a recording of a market whose best policy is known",
    "compact": "turn what was recorded into raw files, events and windows, once",
    "data": "report what a store holds, or verify every byte of it",
    "sync": "bring a recording down from a bucket, every file verified",
    "features": "list feature schemas, or check that none looks ahead",
    "train": "train a policy from recorded markets",
    "evaluate": "judge one policy against every baseline",
    "compare": "judge two policies against each other",
    "export": "carry a model from MLX to PyTorch and NumPy, with a certificate",
    "run": "trade through the A/B router, on paper",
    "replay": "decide a journal again and say whether every decision is the same",
    "dashboard": "watch a run in a browser (not built yet)",
    "doctor": "show device, versions and memory, and what to fix",
    "demo": "the whole job on bundled data",
    "prove": "run the proofs behind the README's claims",
}

HELP = """usage: mlx-rl COMMAND [FLAGS]

Record markets, learn from the recordings, judge, export and trade on paper. No command here sends a real order.

{doors}

`mlx-rl COMMAND --help` tells a command's flags, their units and defaults.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Hand the arguments to the named door and return its exit code; 2 for a name that is none."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        doors = "\n".join(f"  {name:<10} {ABOUT[name]}" for name in DOORS)
        print(HELP.format(doors=doors), end="", file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    try:
        return DOORS[args[0]](args[1:])
    except UsageError as error:
        say(f"error: {error}")
        return 2
    except ModuleNotFoundError as error:
        from observer.kit.cli import report_missing

        return report_missing(error)


if __name__ == "__main__":
    raise SystemExit(main())

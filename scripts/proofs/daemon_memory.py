"""The recorder needs at most 150 MB at 200 markets, starts within a second, and loads neither MLX nor Torch.

Measured on the real observer beside a loopback exchange with 200 markets: peak resident memory of its own process
after a while of recording, and the time from its start to its first word of health, both on an otherwise idle machine.
"""

import tempfile
import time
from pathlib import Path

from scripts.loopback import exchange, observer
from scripts.proofs import Measurement

BAR_MB, BAR_START_S = 150.0, 1.0
RECORD_S = 25.0
HEAVY = ("mlx", "torch", "pyarrow", "pandas", "boto3", "numba")


def measure() -> Measurement:
    """Peak memory of the recorder's process, MB."""
    return _run("observer.cli.observe")


def control() -> Measurement:
    """The same with PyTorch imported first: it must exceed the bar."""
    return _run("scripts.proofs.daemon_memory")


def _run(module: str) -> Measurement:
    with (
        tempfile.TemporaryDirectory() as name,
        exchange("--venues", "polymarket", "--flood", "200", "--flood-rate", "1000") as served,
    ):
        began = time.monotonic()
        with observer(
            Path(name) / "data", served.url, "--venues", "polymarket", "--markets", "politics", module=module
        ) as running:
            start_s = time.monotonic() - began
            time.sleep(RECORD_S)
            status = running.status()
            loaded = [name for name in HEAVY if _has_loaded(running.process.pid, name)]
    peak, markets = status["rss_mb"], status["venues"]["polymarket"]["markets"]
    holds = peak <= BAR_MB and start_s <= BAR_START_S and markets >= 200 and not loaded
    detail = {"start_s": round(start_s, 2), "markets": markets, "tick_rows": status["tick_rows"], "loaded": loaded}
    return Measurement(peak, BAR_MB, "MB at peak", holds, detail)


def _has_loaded(pid: int, library: str) -> bool:
    """Whether a compiled part of a library is mapped into the process."""
    maps = Path(f"/proc/{pid}/maps")
    return maps.exists() and f"/site-packages/{library}/" in maps.read_text()


def _observe_with_torch() -> int:
    import torch  # noqa: F401

    from observer.cli.observe import main

    return main()


if __name__ == "__main__":
    raise SystemExit(_observe_with_torch())

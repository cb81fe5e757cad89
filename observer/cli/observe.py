"""`observer.py`: record markets tick by tick. The live venues are not built yet, so it says so and exits 2."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.errors import NotBuilt


class ObserveSettings(BaseModel):
    """What to record, how often, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    markets: str = Field(
        default="all", description="which markets: all, symbols (BTC,ETH) or a tag (crypto, politics, sports)"
    )
    local_dir: Path = Field(default=Path("./data"), description="folder the recording goes to")
    tick: float = Field(default=0.5, gt=0, description="spacing of the tick grid, seconds")
    venues: tuple[str, ...] = Field(default=(), description="venues to record; none named means every one")
    s3_bucket: str | None = Field(default=None, description="bucket to upload sealed files to; none means local only")
    duration: float | None = Field(
        default=None, gt=0, description="stop after this many seconds; none means run until told"
    )


def observe(settings: ObserveSettings) -> dict[str, Any]:
    """Record until stopped.

    Raises:
        NotBuilt: always, for now.
    """
    raise NotBuilt(
        f"recording {settings.markets!r} from live venues is not built yet. Bring a recording in with "
        f"`mlx-rl import FORMAT --from DIR --data-dir {settings.local_dir}`, or make one with `mlx-rl synthetic`."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door and return its exit code."""
    return run_command(
        ObserveSettings,
        observe,
        argv,
        prog="observer.py",
        about="Record markets tick by tick to local disk or S3 (not built yet). No orders are sent.",
        show=str,
    )

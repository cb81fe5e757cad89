"""What the recorder is told, declared once."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ObserveSettings(BaseModel):
    """What to record, how often, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    markets: str = Field(
        default="all", description="which markets: all, or symbols and tags (BTC,ETH or crypto,politics,sports)"
    )
    local_dir: Path = Field(default=Path("./data"), description="folder the recording goes to")
    tick: float = Field(default=0.5, gt=0.01, le=3600, description="spacing of the tick grid, seconds")
    venues: tuple[str, ...] = Field(default=(), description="venues to record; none named means every one")
    duration: float | None = Field(default=None, gt=0, description="stop after so many seconds; none means never")
    durability: Literal["tick", "1s", "os"] = Field(
        default="1s", description="when rows are forced to the disk: at each tick, each second, or when the OS likes"
    )
    s3_bucket: str | None = Field(default=None, description="bucket the recording is also uploaded to")
    s3_prefix: str = Field(default="observer", description="key prefix inside the bucket")
    s3_endpoint_url: str | None = Field(default=None, description="an S3 server other than AWS")
    keep_local_days: float = Field(
        default=7.0,
        ge=0,
        allow_inf_nan=True,
        description="with --s3-bucket: delete raw frames and events here after so many days, once the bucket keeps "
        "them; sooner where the disk runs low; 0 is as soon as it is safe, inf only where the disk runs low",
    )
    health_port: int | None = Field(
        default=None, ge=0, le=65535, description="serve /health and /metrics on this loopback port; 0 picks one"
    )
    exchange: str = Field(default="", description="record a loopback exchange (http://127.0.0.1:PORT), not the venues")
    url: tuple[str, ...] = Field(
        default=(),
        description="NAME=URL, another address of a venue's service; polymarket.rtds=off leaves its prices out",
    )
    dry_run: bool = Field(default=False, description="list what would be recorded and stop")

    @field_validator("venues")
    @classmethod
    def _split(cls, venues: tuple[str, ...]) -> tuple[str, ...]:
        """Names may be joined by commas, as those of markets are."""
        return tuple(name for word in venues for name in word.split(",") if name)

"""What an exchange can be told."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ExchangeSettings(BaseModel):
    """A loopback exchange."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    port: int = Field(default=0, ge=0, le=65_535, description="port on 127.0.0.1; 0 takes a free one")
    seed: int = Field(default=0, ge=0, description="same seed and --start, same markets")
    speed: float = Field(default=1.0, gt=0, le=2_000, description="virtual seconds per real second")
    start: str = Field(
        default="",
        description="virtual time at the start, ISO 8601; empty: now, or just before a replay's first window",
    )
    venues: tuple[str, ...] = Field(default=(), description="venues to serve; empty: all (a replay: polymarket)")
    coins: tuple[str, ...] = Field(default=(), description="underlyings, e.g. BTC ETH; empty: all")
    moves_hz: float = Field(default=5.0, gt=0, le=1_000, description="moves per second of each open binary market")
    replay: Path | None = Field(default=None, description="folder of a recording to play instead of made-up markets")
    flood: int = Field(
        default=0,
        ge=0,
        le=5_000,
        description="list so many markets and send their frames as fast as they are read; 0: no",
    )
    flood_rate: float = Field(
        default=0.0, ge=0, description="messages per real second of each flooded connection; 0: all"
    )
    lead_s: float = Field(
        default=3.0, ge=0, description="real seconds between the start and a replay's first window, to get ready in"
    )
    kalshi_keys: tuple[str, ...] = Field(default=(), description="ID=FILE.pem of public keys that Kalshi accepts")

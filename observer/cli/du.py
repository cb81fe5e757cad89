"""`mlx-rl data du`: bytes by table and market-day, and what a month of recording costs to keep."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.console import table

ABOUT = (
    "Print how many bytes a recording takes, table by table and for each day of each market, and what keeping a month "
    "of it costs on S3. Nothing is changed."
)


class UsageSettings(BaseModel):
    """Which recording, and the price."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data_dir: Path = Field(default=Path("data"), description="folder of the recording; only read")
    usd_per_gb_month: float = Field(
        default=0.023,
        ge=0,
        description="USD for keeping 2^30 bytes a month; the default is S3 Standard in us-east-1, first 50 TB, a list "
        "price unchanged since 2016-12 (https://aws.amazon.com/s3/pricing/); requests come on top",
    )


def work(settings: UsageSettings) -> dict[str, Any]:
    """Add up the files."""
    from observer.store.usage import usage

    return usage(settings.data_dir, settings.usd_per_gb_month)


def show(result: dict[str, Any]) -> str:
    """The table and the month."""
    rows = [
        [row["table"], row["files"], row["bytes"], row["rows"] or "", _bytes(row["bytes_per_row"]),
         _bytes(row["bytes_per_market_day"])]
        for row in result["tables"]
    ]  # fmt: skip
    pruned = f", {result['in_s3_bytes']:,} of them kept in S3 only" if result["in_s3_bytes"] else ""
    waiting = f"; {result['waiting_bytes']:,} bytes wait to be compacted" if result["waiting_bytes"] else ""
    month_gb = result["month_bytes"] / (1 << 30)
    return "\n\n".join(
        [
            f"{result['markets']} markets, {result['market_days']:.3g} market-days in {result['days']:.3g} days, "
            f"{result['bytes']:,} bytes in {result['data_dir']}{pruned}{waiting}",
            table(rows, ["table", "files", "bytes", "rows", "bytes/row", "bytes/market-day"]),
            f"a month like this: {month_gb:.3g} GB, {result['month_usd_per_month']:.2f} USD for each month it is kept "
            f"({result['usd_per_gb_month']:g} USD per GB-month)",
        ]
    )


def _bytes(number: float) -> str:
    return "" if number != number else f"{number:,.1f}" if number < 1000 else f"{number:,.0f}"

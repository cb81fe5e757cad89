"""`mlx-rl data rebuild`: make a recording again from its raw frames, by today's decoders."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

ABOUT = "Read a recording's raw frames again, by today's decoders, into another folder. The first one is not changed."


class RebuildSettings(BaseModel):
    """From where to where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("data"), description="folder that was recorded into; only read")
    into: Path = Field(description="folder for the recording made anew; must be empty or absent")


def rebuild(settings: RebuildSettings) -> dict[str, Any]:
    """Rebuild; returns what the compactor did, with the new dataset id.

    Raises:
        UsageError: no raw frames, some that are kept in S3 only, or the folder is not empty.
        BadRecording: a raw file is damaged or missing.
    """
    from observer.compact.rebuild import rebuild as read_again
    from observer.store.reader import Recording
    from observer.venues.table import VENUES
    from observer.venues.urls import resolve

    urls = resolve()
    venues = {name: VENUES[name](urls) for name in VENUES}
    done = read_again(settings.data_dir, settings.into, venues, time.time_ns())
    return {"into": str(settings.into), "dataset_id": Recording(settings.into).dataset_id, **asdict(done)}


def show(result: dict[str, Any]) -> str:
    """Two lines."""
    return (
        f"{result['windows']} windows with {result['ticks']} ticks, {result['outcomes']} outcomes in {result['into']}; "
        f"{result['waiting']} windows had not closed\ndataset {result['dataset_id']}"
    )

"""`mlx-rl sync s3://BUCKET/PREFIX DIR`: bring a recording down from a bucket."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command

ABOUT = (
    "Bring a recording down from a bucket: what is missing or damaged here is fetched, and every file is verified by "
    "its SHA-256. Interrupted, it goes on where it was. Nothing in the bucket is changed, and a folder that holds "
    "recorded data which the bucket lacks is refused.\n\nExample: mlx-rl sync s3://my-bucket/observer ./data"
)


class SyncSettings(BaseModel):
    """What to bring, from where, to where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="s3://BUCKET/PREFIX; may be given first, without the flag")
    data_dir: Path = Field(description="data folder to bring up to date; may be given second, without the flag")
    endpoint_url: str | None = Field(default=None, description="an S3 server other than AWS [AWS_ENDPOINT_URL_S3]")
    archives: bool = Field(
        default=True,
        description="bring raw frames and events too; without, only what trains, and the archives' manifests",
    )
    fresh_only: bool = Field(
        default=False,
        description="do nothing to a folder that was recorded into, and nothing where the bucket holds no recording: "
        "for a recorder's start",
    )


def work(settings: SyncSettings) -> dict[str, Any]:
    """Do it; raises `Damaged` where the recorder itself had lost files before they were uploaded."""
    from observer.s3.address import parse_address
    from observer.s3.bucket import Bucket
    from observer.s3.errors import Damaged, OtherRecording
    from observer.s3.published import find_newest
    from observer.s3.sync import is_fresh, newest_index, sync

    address = parse_address(settings.source)
    told = {"source": str(address), "data_dir": str(settings.data_dir)}
    if settings.fresh_only and not is_fresh(settings.data_dir):
        return {**told, "left": "was recorded into"}
    bucket = Bucket(address, settings.endpoint_url)
    if settings.fresh_only and find_newest(bucket)[0] is None:
        return {**told, "left": f"is as it was: {address} holds no recording yet"}
    archives = "whole" if settings.archives else "listed"
    try:
        done = sync(bucket, settings.data_dir, newest_index(bucket), archives=archives)
    except OtherRecording as error:
        if settings.fresh_only:
            return {**told, "left": f"is as it was: {error}"}
        raise
    if done.damaged and not settings.fresh_only:
        first = next(f"{path} {why}" for path, why in done.damaged.items())
        raise Damaged(
            f"{len(done.damaged)} files were damaged before they could be uploaded, the first: {first}. The other "
            f"{done.files} files are in {settings.data_dir}. Restore those from the machine that recorded them."
        )
    return {**told, **asdict(done)}


def show(result: dict[str, Any]) -> str:
    """One line: what is there now, and what had to be fetched."""
    if "left" in result:
        return f"{result['data_dir']} {result['left']}; nothing was brought"
    return (
        f"{result['data_dir']}: {result['files']} files ({result['bytes']} bytes), every one as it was recorded; "
        f"{result['fetched_files']} ({result['fetched_bytes']} bytes) were fetched\n"
        f"dataset {result['dataset_id'] or 'none: archives only'}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door; source and folder may stand first, as in `mlx-rl sync s3://BUCKET/PREFIX DIR`."""
    args = list(sys.argv[1:] if argv is None else argv)
    for flag, place in (("--data-dir", 1), ("--source", 0)):
        if len(args) > place and not any(arg.startswith("-") for arg in args[: place + 1]):
            args.insert(place, flag)
    return run_command(SyncSettings, work, args, prog="mlx-rl sync", about=ABOUT, show=show)


if __name__ == "__main__":
    sys.exit(main())

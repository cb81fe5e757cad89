"""`python -m observer.s3 --local-dir DIR --bucket B --prefix P`: upload a data folder for ever, or once.

A process of its own, so that neither boto3 nor a slow network touches the recorder. SIGTERM ends it at once: what is
under way is given up, and found or sent again at the next start. It also ends with the process that started it.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from observer.backoff import Backoff
from observer.kit.cli import run_command
from observer.kit.console import say
from observer.kit.errors import ToolkitError, UsageError
from observer.kit.parent import is_parent_there
from observer.s3.address import parse_address
from observer.s3.errors import Damaged
from observer.s3.uploader import PUBLISH_EVERY_S, Uploader

ABOUT = (
    "Upload a data folder to a bucket, for ever: recording, outcomes, archives. Nothing local is changed, or deleted "
    "without --keep-local-days, and nothing in the bucket is overwritten. Where it stands is in DIR/spool/upload.json."
)
_DAY_S = 86_400
BACKOFF_BASE_S, BACKOFF_CAP_S, BACKOFF_LEAST_S = 1.0, 60.0, 0.5
_NICE = 10  # whatever else this machine does goes first
# The same error is said again so often.
_SAY_EVERY_S = 600.0
_ONCE_PASSES, _ONCE_WAIT_S = 60, 0.5


class UploadSettings(BaseModel):
    """What to upload, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    local_dir: Path = Field(
        description="data folder; only read, but for DIR/.upload, DIR/spool/upload.json and --keep-local-days"
    )
    bucket: str = Field(description="bucket to upload to")
    prefix: str = Field(default="observer", description="key prefix in the bucket; one data folder each")
    endpoint_url: str | None = Field(default=None, description="an S3 server other than AWS [AWS_ENDPOINT_URL_S3]")
    every: float = Field(default=10.0, gt=0, description="seconds between two looks at the folder")
    publish_every: float = Field(
        default=PUBLISH_EVERY_S, ge=0, description="seconds between two indexes, at the least; files go up at once"
    )
    keep_local_days: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=True,
        description="delete raw frames and events here after so many days, once the bucket keeps them; sooner where "
        "the disk runs low; none keeps all",
    )
    once: bool = Field(default=False, description="bring everything up that is there, publish it, and stop")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(UploadSettings, upload, argv, prog="python -m observer.s3", about=ABOUT, show=show)


def upload(settings: UploadSettings) -> dict[str, Any]:
    """Upload until stopped, or once.

    Raises:
        UsageError: the folder or the address cannot be meant, or another uploader is at work here.
        ToolkitError: with --once, what stopped it.
    """
    from observer.s3.bucket import Bucket
    from observer.store.files import FolderLock

    if not settings.local_dir.is_dir():
        raise UsageError(f"--local-dir {settings.local_dir}: no such folder. Name the folder of a recording.")
    address = parse_address(f"s3://{settings.bucket}/{settings.prefix}")
    own = settings.local_dir / ".upload"
    own.mkdir(exist_ok=True)
    lock = FolderLock(own)
    lock.take()
    every_s = 0.0 if settings.once else settings.publish_every
    keep_s = None if settings.keep_local_days is None else settings.keep_local_days * _DAY_S
    bucket = Bucket(address, settings.endpoint_url)
    uploader = Uploader(settings.local_dir, bucket, publish_every_s=every_s, keep_local_s=keep_s)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        if settings.once:
            _once(uploader)
        else:
            say(f"uploading {settings.local_dir} to {address} at {uploader.bucket.endpoint}")
            _for_ever(uploader, settings.every)
    except _Stopped:
        say("stopped; what was under way is found or sent again at the next start")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        uploader.close()
        lock.release()
        signal.signal(signal.SIGTERM, before)
    return asdict(uploader.status)


class _Stopped(BaseException):
    """SIGTERM came. It may come while an answer is waited for, for minutes, so it must cut through everything."""


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def _once(uploader: Uploader) -> None:
    """Pass after pass until all is up; a failure ends it."""
    for _ in range(_ONCE_PASSES):
        if uploader.step():
            break
        time.sleep(_ONCE_WAIT_S)
    else:
        raise UsageError(
            f"{uploader.root} is being written to, or a writer was cut short there. Let it end, or run the last import "
            "again; leave out --once to wait for ever."
        )
    if uploader.damaged:
        first = next(f"{path} {why}" for path, (_, why) in uploader.damaged.items())
        raise Damaged(
            f"{len(uploader.damaged)} files of {uploader.root} are damaged and could not be sent, the first: {first}. "
            f"All others are in the bucket. Run: mlx-rl data verify --data-dir {uploader.root}"
        )


def _for_ever(uploader: Uploader, every_s: float) -> None:
    """Pass after pass until stopped; a failure makes the waits longer, up to a cap, and ends nothing."""
    backoff = Backoff(base_s=BACKOFF_BASE_S, cap_s=BACKOFF_CAP_S)
    told_code, told_at = "", 0.0
    while is_parent_there():  # a helper does not outlive the recorder
        delivered = uploader.delivered
        try:
            uploader.step()
        except UsageError:
            raise
        except ToolkitError as error:
            if uploader.delivered > delivered:
                backoff.reset()
            wait_s = backoff.next_s(at_least_s=BACKOFF_LEAST_S)
            code = uploader.tell_waiting(error, wait_s)
            if code != told_code or time.monotonic() - told_at > _SAY_EVERY_S:
                say(f"{error} It is tried again for ever.")
                told_code, told_at = code, time.monotonic()
            time.sleep(wait_s)
        else:
            backoff.reset()
            if told_code:
                say("uploading works again")
                told_code = ""
            time.sleep(every_s)


def show(result: dict[str, Any]) -> str:
    """One line: what was done."""
    found = f", {result['found_files']} were there" if result["found_files"] else ""
    pruned = (
        f"; {result['pruned_files']} files ({result['pruned_bytes']} bytes) pruned here"
        if result["pruned_files"]
        else ""
    )
    failures = ", ".join(f"{code} {count} times" for code, count in result["failures"].items())
    return (
        f"{result['target']}: {result['uploaded_files']} files ({result['uploaded_bytes']} bytes) sent{found}; dataset "
        f"{result['dataset_id'] or 'none'}{pruned}" + (f"; failures: {failures}" if failures else "")
    )


if __name__ == "__main__":
    os.nice(_NICE)
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a worker may hang in a dead connection for minutes; nothing is lost by leaving it

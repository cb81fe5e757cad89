"""Where a recording lies in a bucket, and the keys of its files.

    s3://BUCKET/PREFIX
      ticks/venue=V/date=D/hour=H/part-0-<first 16 digits of its SHA-256>.parquet
      lists/recording-D-<sha16>.json      the files of one day
      index/<ns>-<sha16>.json             the lists that make up the recording, newest last

Same bytes, same key. Where something else was found under a file's key, it goes under a second one: `-<sha16>-2`.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from observer.kit.errors import UsageError

# `Path("s3://bucket")` keeps one slash only, so one must do.
_SPELLED = re.compile(r"s3:/{1,2}([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
SHA_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket and a key prefix, which has no slash at its ends and may be empty."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    def key(self, relative: str) -> str:
        """The key of something below the prefix."""
        return f"{self.prefix}/{relative}" if self.prefix else relative


def is_address(place: Path | str) -> bool:
    """Whether a place is meant to be in a bucket."""
    return str(place).startswith("s3:/")


def parse_address(place: Path | str) -> Address:
    """Read `s3://bucket/prefix`; raises `UsageError` for anything else."""
    found = _SPELLED.fullmatch(str(place))
    if found is None:
        raise UsageError(
            f"{str(place)!r} is no place in a bucket. Wanted s3://BUCKET/PREFIX, the bucket 3 to 63 of a-z 0-9 . -"
        )
    return Address(found[1], "/".join(part for part in (found[2] or "").split("/") if part))


def spelled(place: Path | str) -> str:
    """A place as a user would write it, the address with both its slashes."""
    return str(parse_address(place)) if is_address(place) else str(place)


def content_key(path: str, sha256: str, copy: int = 1) -> str:
    """The key, below the prefix, of a file with this path and these bytes."""
    whole = PurePosixPath(path)
    again = f"-{copy}" if copy > 1 else ""
    return str(whole.with_name(f"{whole.stem}-{sha256[:SHA_DIGITS]}{again}{whole.suffix}"))

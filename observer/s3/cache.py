"""`--data-dir s3://bucket/prefix`: a verified copy in the user's cache, brought up to date before it is read.

    $XDG_CACHE_HOME/mlx-rl/recordings/<address>/<state>/     one state of one recording, without its archives

A newer state gets a folder of its own, whose files are linked from the last one where they are the same: whoever
reads the old one is not disturbed. Old states go once nobody reads them. What a reader wrote beside the recording
(the log of test openings) is carried over.
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from observer.kit.console import say
from observer.kit.errors import BadRecording
from observer.s3.address import is_address, parse_address
from observer.s3.bucket import Bucket
from observer.s3.layout import INDEX
from observer.s3.published import Published
from observer.s3.sync import newest_index, sync
from observer.store.files import to_json_bytes

_IN_USE = ".in-use"
_held: list[int] = []  # locks on the folders this process reads; the system frees them when it ends


def local_folder(place: Path) -> Path:
    """The folder to read a recording from: `place` itself, or a local copy of what lies at `s3://...`.

    Raises:
        BadRecording: nothing lies there, or what lies there is damaged.
        StoreError: the store does not answer.
        UsageError: it is no address.
    """
    if not is_address(place):
        return place
    bucket = Bucket(parse_address(place))
    published = newest_index(bucket)
    if INDEX not in published.heads:
        raise BadRecording(f"{bucket.address} holds archives only, no recording to read.")
    home = _home(bucket)
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for(lock, home)
        folder = home / _state(published)
        last = _last_but(home, folder)
        done = sync(bucket, folder, published, archives="none", seed=last)
        _carry_over(last, folder)
        _hold(folder)
        _clear_but(home, folder)
    finally:
        os.close(lock)
    say(
        f"{bucket.address}: dataset {done.dataset_id[:16]}, {done.files} files verified, {done.fetched_files} of them "
        f"({done.fetched_bytes / 1e6:.1f} MB) brought to {folder}"
    )
    for path, why in done.damaged.items():
        say(f"warning: {path} {why} before it was uploaded; it is not in this copy")
    return folder


def _home(bucket: Bucket) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    address = hashlib.sha256(f"{bucket.endpoint} {bucket.address}".encode()).hexdigest()[:16]
    return cache / "mlx-rl" / "recordings" / address


def _state(published: Published) -> str:
    """A name for what will be read: the recording's id, and a hash that also sees its outcomes."""
    return f"{published.dataset_id[:16]}-{hashlib.sha256(to_json_bytes(published.heads)).hexdigest()[:8]}"


def _wait_for(lock: int, home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another run is bringing {home} up to date; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _last_but(home: Path, folder: Path) -> Path | None:
    """The newest complete state beside the one wanted."""
    others = [path for path in home.iterdir() if path != folder and (path / INDEX).is_file()]
    return max(others, key=lambda path: (path / INDEX).stat().st_mtime_ns, default=None)


def _carry_over(last: Path | None, folder: Path) -> None:
    """Copy what was written beside the last state's recording."""
    for path in [] if last is None else sorted(last.iterdir()):
        wanted = path.is_file() and path.name != INDEX and not path.name.startswith(".")
        if wanted and not (folder / path.name).exists():
            shutil.copy2(path, folder / path.name)


def _hold(folder: Path) -> None:
    """Keep others from clearing a folder while this process lives."""
    fd = os.open(folder / _IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(fd, fcntl.LOCK_SH)
    _held.append(fd)


def _clear_but(home: Path, folder: Path) -> None:
    """Remove the states that nobody reads any more."""
    for path in [path for path in home.iterdir() if path.is_dir() and path != folder]:
        fd = os.open(path / _IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        except BlockingIOError:
            continue
        finally:
            os.close(fd)

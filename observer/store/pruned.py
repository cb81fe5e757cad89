"""Archive files that were deleted here after they had been seen whole in a bucket: `pruned.json` beside the manifest.

    raw/venue=V/date=…/hour=HH/manifest.json     every file of the hour, whether it is here or not
                               pruned.json       file -> its SHA-256, and the address that holds it

The record is on the disk before the first file goes, so whoever finds a file missing finds the reason. It says what a
bucket holds, not what is missing here: a file that it names may be here still (killed between the two) or again (sync).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from observer.kit.errors import BadRecording
from observer.store.files import write_whole
from observer.store.sealed import seal, unseal

FORMAT = "mlx-rl-pruned/1"
PRUNED = "pruned.json"


@dataclass(frozen=True, slots=True)
class Pruned:
    """One file: its hash, and where it is kept (`s3://BUCKET/PREFIX`)."""

    sha256: str
    kept_at: str


def read_pruned(folder: Path) -> dict[str, Pruned]:
    """What an hour's record names, by file; {} where there is none.

    Raises:
        BadRecording: the record is damaged.
    """
    path = folder / PRUNED
    try:
        return {name: Pruned(**entry) for name, entry in unseal(path, FORMAT)["files"].items()}
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRecording(f"{path} is no record of what was pruned ({error}).") from error


def note_pruned(folder: Path, files: Mapping[str, Pruned]) -> None:
    """Add files to an hour's record; on the disk when this returns.

    Raises:
        BadRecording: the record that is there is damaged.
    """
    known = read_pruned(folder)
    if any(known.get(name) != entry for name, entry in files.items()):
        whole = {name: asdict(entry) for name, entry in {**known, **files}.items()}
        write_whole(folder / PRUNED, seal({"files": whole}, FORMAT))


def kept_in_s3(folder: Path, listed: Mapping[str, str]) -> dict[str, str]:
    """Which files of an hour are kept in a bucket only.

    Args:
        folder: the hour's.
        listed: file -> SHA-256, as its manifest says.

    Returns:
        File -> address, of those that are not here and that the record names with the same hash.

    Raises:
        BadRecording: the record is damaged.
    """
    missing = [name for name in listed if not (folder / name).exists()]  # looked for first: the record is written first
    record = read_pruned(folder) if missing else {}
    return {name: record[name].kept_at for name in missing if name in record and record[name].sha256 == listed[name]}

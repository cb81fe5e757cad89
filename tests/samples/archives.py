"""Made-up archives beside a made-up recording: files of raw frames and events, listed as the compactor lists them."""

from pathlib import Path

from observer.store.archive import EVENTS, RAW, Archive, entry_of

HOUR = "venue=test/date=2025-12-29/hour=13"


def add_archive(root: Path, segment: str, data: bytes, hour: str = HOUR) -> None:
    """Archive `data` as a segment's raw frames, and the same backwards as its events."""
    root.mkdir(exist_ok=True)
    for name, suffix, content in ((RAW, ".zst", data), (EVENTS, ".parquet", data[::-1])):
        archive = Archive(root, name)
        temporary = root / f".{segment}.tmp"
        temporary.write_bytes(content)
        archive.add(hour, segment + suffix, temporary, entry_of(temporary, 1, 1, 2, {}))
        archive.commit()

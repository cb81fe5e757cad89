"""Reading Parquet files back, with every damage named by its file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from observer.kit.errors import BadRecording
from observer.store.manifest import Manifest, folder_of


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a file whose pages will be checked against their checksums as they are read.

    Raises:
        BadRecording: the file is missing or damaged.
    """
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def read_group(file: pq.ParquetFile, path: Path, group: int, columns: list[str] | None = None) -> pa.Table:
    """Decode one row group.

    Raises:
        BadRecording: the file is damaged.
    """
    try:
        return file.read_row_group(group, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException, IndexError) as error:
        raise _damaged(path, error) from error


def read_merged(root: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """All rows of one partition of a merged table, as plain data.

    Raises:
        BadRecording: a file is missing or damaged.
    """
    rows: list[dict[str, Any]] = []
    for name in manifest.files:
        path = folder_of(root, manifest.key) / name
        file = open_parquet(path)
        for group in range(file.num_row_groups):
            rows += read_group(file, path, group).to_pylist()
    return rows


def _damaged(path: Path, error: Exception) -> BadRecording:
    text = str(error).splitlines()[0]
    return BadRecording(
        f"{path} is missing or damaged ({text}). See what else is: mlx-rl data verify --data-dir ...; then restore it, "
        "or import the recording again into a new data folder."
    )

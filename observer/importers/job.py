"""One import from start to end: a format, a folder with its files, a recording to add to."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from observer.importers import IMPORTERS
from observer.kit.errors import UsageError
from observer.store.refusals import ImportReport
from observer.store.writer import RecordingWriter

ImportDir = Callable[[Path, RecordingWriter, ImportReport], None]


def bring_in(name: str, source: Path | str, data_dir: Path | str) -> dict[str, Any]:
    """Import `source`, recorded in format `name`, into the recording at `data_dir`.

    Nothing is added unless everything was read; importing the same again changes nothing.

    Returns:
        Plain data: `format`, `source`, `data_dir`, the writer's summary and the report of what was refused.

    Raises:
        UsageError: no such format or folder, or the folder is not of this format.
        BadRecording: the source breaks a law that no choice of rows can mend.
    """
    return run_import(IMPORTERS[name], name, Path(source), Path(data_dir))


def run_import(import_dir: ImportDir, name: str, folder: Path, data_dir: Path) -> dict[str, Any]:
    """Run one importer, in the table or not, as `bring_in` does."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder. Pass --from the folder that holds the recording.")
    report = ImportReport(name)
    with RecordingWriter(data_dir, connection=f"import:{name}") as writer:
        import_dir(folder, writer, report)
        writer.write_log(name, report.to_dict())
    return {
        "format": name,
        "source": str(folder),
        "data_dir": str(data_dir),
        **asdict(writer.summary),
        "report": report.to_dict(),
    }

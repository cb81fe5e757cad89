"""The log of a long-running process: JSON lines in a file that cannot grow for ever, plain lines for a person.

A thread writes, so a slow disk delays no caller. A text that comes again and again is written ten times a minute and
then only counted.
"""

import json
import logging
import logging.handlers
import queue
import time
from pathlib import Path

from observer.kit.clock import NS_PER_S, iso

NAME = "observer"
_MAX_BYTES, _FILES = 10 << 20, 5
_REPEATS, _WINDOW_S = 10, 60.0
_MAX_TEXTS = 1_000


class JsonLine(logging.Formatter):
    """A record as one JSON object: `at`, `level`, `from`, `text` (with the traceback, where there is one)."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "at": iso(int(record.created * NS_PER_S)),
            "level": record.levelname.lower(),
            "from": record.name,
            "text": record.getMessage(),  # a traceback is part of it since the record was queued
        }
        return json.dumps(entry, ensure_ascii=False)


class FewRepeats(logging.Filter):
    """Lets a text about one thing pass ten times a minute; the next one after that says how many were held back.

    The same text is the same format string with the same first argument, whatever numbers follow.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        about = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        text, now = f"{record.msg} {about}", time.monotonic()
        began, n = self._seen.get(text, (now, 0))
        if now - began > _WINDOW_S:
            if n > _REPEATS:
                record.msg = f"{record.getMessage()} ({n - _REPEATS} more like this were held back)"
                record.args = ()
            began, n = now, 0
        if len(self._seen) >= _MAX_TEXTS:
            self._seen.clear()
        self._seen[text] = (began, n + 1)
        return n < _REPEATS


class Log:
    """The process's log while it runs; a context manager.

    Args:
        folder: where `observer.jsonl` goes, at most 60 MB with its older parts.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            folder / "observer.jsonl", maxBytes=_MAX_BYTES, backupCount=_FILES, encoding="utf-8"
        )
        file.setFormatter(JsonLine())
        screen = logging.StreamHandler()
        screen.setFormatter(logging.Formatter("%(message)s"))
        waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._entry = logging.handlers.QueueHandler(waiting)
        self._entry.addFilter(FewRepeats())
        self._writer = logging.handlers.QueueListener(waiting, file, screen)
        self._file = file

    def __enter__(self) -> "Log":
        root = logging.getLogger()
        root.addHandler(self._entry)
        logging.getLogger(NAME).setLevel(logging.INFO)
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._entry)
        self._writer.stop()
        self._file.close()


def get(name: str) -> logging.Logger:
    """The logger of one part, e.g. `get("polymarket")`."""
    return logging.getLogger(f"{NAME}.{name}")

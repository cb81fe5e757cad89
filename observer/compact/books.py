"""The underlyings' books between segments: a venue may send a whole book once and changes for a day.

In memory they go on from segment to segment. Before a segment is deleted, the state behind it is kept in a small file
named by the batch that comes next, so a compactor that is started again goes on from there. A file that is missing or
damaged costs reference prices until the next whole book, nothing else.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from observer.compact.feeds import Books, decode_books, encode_books
from observer.kit.console import say
from observer.store.files import write_whole

SUFFIX = ".books"


@dataclass(slots=True)
class _Chain:
    """Books of one run as they are before batch `next_batch`."""

    next_batch: int
    books: Books


class BookStates:
    """States of books, in memory and in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chains: dict[str, _Chain] = {}
        self._encoded: dict[tuple[str, int], bytes] = {}

    def before(self, run_id: str, first_batch: int) -> Books:
        """The books as they are before a segment; none where nobody knows. They are moved on by reading it."""
        chain = self._chains.get(run_id)
        if chain is None or chain.next_batch != first_batch:
            chain = self._chains[run_id] = _Chain(first_batch, self._read(run_id, first_batch))
        return chain.books

    def after(self, run_id: str, next_batch: int, *, is_whole: bool) -> None:
        """A segment was read to its end; where it was not whole, nobody knows what the books are now."""
        chain = self._chains[run_id]
        if not is_whole:
            chain.books = {}
        chain.next_batch = next_batch
        self._encoded[run_id, next_batch] = encode_books(chain.books)

    def save(self, run_id: str, next_batch: int) -> None:
        """Keep the state behind a segment that is about to be deleted."""
        self._folder.mkdir(exist_ok=True)
        write_whole(self._path(run_id, next_batch), self._encoded.pop((run_id, next_batch)))

    def remove(self, run_id: str, first_batch: int) -> None:
        """A segment is gone: the state before it is no longer needed."""
        self._path(run_id, first_batch).unlink(missing_ok=True)

    def keep_runs(self, run_ids: set[str]) -> None:
        """Forget runs that have left the spool."""
        for run_id in [run_id for run_id in self._chains if run_id not in run_ids]:
            del self._chains[run_id]
        for path in self._folder.glob(f"*{SUFFIX}"):
            if path.name.rsplit("@", 1)[0] not in run_ids:
                path.unlink()

    def _read(self, run_id: str, first_batch: int) -> Books:
        path = self._path(run_id, first_batch)
        if not path.exists():
            return {}
        try:
            return decode_books(path.read_bytes())
        except msgspec.MsgspecError as error:
            say(f"{path} is damaged ({error}); reference prices from books go on with the next whole book")
            return {}

    def _path(self, run_id: str, next_batch: int) -> Path:
        return self._folder / f"{run_id}@{next_batch:012d}{SUFFIX}"

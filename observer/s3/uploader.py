"""The uploader: pass after pass, everything in a data folder that is not in the bucket is brought there.

One pass looks at the folder, sends what is missing (oldest first, a few at a time) and then publishes an index, if
the folder was settled and nothing is left. A failure ends nothing: what failed is tried again in the next pass, after
being asked for, because a lost answer may hide a success. Local files are only read; where a keep time is given, raw
frames and events that the bucket is known to keep are pruned (`observer.s3.pruner`), and nothing else is deleted.
"""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from observer.kit.errors import BadRecording, ToolkitError
from observer.s3.bucket import Bucket
from observer.s3.courier import Courier, Delivery
from observer.s3.dispatch import outcomes
from observer.s3.errors import LocalChanged, StoreError
from observer.s3.folder import Folder, Shot, Signature, signature
from observer.s3.layout import INDEXES, Entry, partition_of
from observer.s3.ledger import Ledger
from observer.s3.probe import probe
from observer.s3.pruner import Pruner
from observer.s3.publisher import Publisher
from observer.s3.status import Status, StatusFile, age_s
from observer.store.pruned import kept_in_s3

WORKERS = 4
PUBLISH_EVERY_S = 300.0
_NOTE_EVERY_S = 0.5
_File = tuple[str, str]  # path, hash


class Uploader:
    """Brings one data folder to one address.

    Args:
        root: the data folder.
        bucket: where to.
        publish_every_s: an index is published at most so often, because each one names all lists anew.
        keep_local_s: how long raw frames and events stay here after they were written; None prunes nothing.

    Attributes:
        status: where things stand, also in `DIR/spool/upload.json`.
    """

    def __init__(
        self,
        root: Path,
        bucket: Bucket,
        *,
        publish_every_s: float = PUBLISH_EVERY_S,
        keep_local_s: float | None = None,
    ) -> None:
        self.root, self.bucket, self.publish_every_s = root, bucket, publish_every_s
        self.status = Status(str(bucket.address), bucket.endpoint)
        self._file = StatusFile(root / "spool" / "upload.json")
        self._folder = Folder(root)
        self._ledger = Ledger(root / ".upload" / _ledger_name(bucket))
        self._pruner = None if keep_local_s is None else Pruner(root, bucket.address, keep_local_s)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="upload")
        self._ready: tuple[Courier, Publisher] | None = None
        self._asks_first = self._ledger.is_new
        self._tried: set[_File] = set()
        self._doubted: set[_File] = set()  # other bytes were found where they ought to lie
        self._hurt: dict[_File, tuple[Signature, str]] = {}
        self._left: dict[_File, tuple[Entry, int]] = {}  # not in the bucket yet, with the time it was written
        self._oldest_sent_ns: int | None = None  # of what was sent since the last index
        self._published: tuple[Shot, dict[str, tuple[str, str]]] | None = None
        self._published_at = -publish_every_s

    @property
    def delivered(self) -> int:
        """Files that were sent or found since the start."""
        return self.status.uploaded_files + self.status.found_files

    @property
    def damaged(self) -> dict[str, tuple[str, str]]:
        """Path -> (the hash it should have, what is wrong) of what the newest index of ours names as damaged."""
        return {} if self._published is None else self._published[1]

    def step(self) -> bool:
        """One pass; returns whether everything is in the bucket and named by its newest index.

        Raises:
            StoreError: something could not be sent, or the index not published; the rest was done.
            LocalChanged: the recording's own index is damaged; the files that are known were sent.
            OtherRecording: the prefix holds another recording; the files were sent.
            BadRecording: what is published cannot be read; the files were sent.
        """
        shot = self._folder.look()
        self._leave(self._missing(shot))
        if self._ready is None:  # what waits is to be seen also where the bucket cannot be reached
            self._tell("probing")
        courier, publisher = self._prepare()
        error = self._send(courier, self._missing(shot), lambda: self._prune(shot, courier, publisher))
        if error is not None:
            raise error
        if not shot.is_settled or self._missing(shot):
            self.status.failing_since_ns = 0
            self._tell("uploading")
            return False
        self._asks_first = False
        published_at = self._published_at
        is_published = self._publish(publisher, shot)
        self._prune(shot, courier, publisher, now=self._published_at != published_at)
        self.status.failing_since_ns = 0
        self._tell("idle")
        return is_published

    def tell_waiting(self, error: Exception, wait_s: float) -> str:
        """Note a failure and the wait that follows; returns its code."""
        code = self.status.fail(error)
        self.status.wait_s = wait_s
        self.status.failing_since_ns = self.status.failing_since_ns or time.time_ns()
        self._tell("waiting")
        return code

    def close(self) -> None:
        """End; what is under way is given up, which does no harm."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._ledger.close()
        self._tell("stopped")

    def _prepare(self) -> tuple[Courier, Publisher]:
        """Find out, once, what the store can do and, where the ledger is new, what the bucket holds."""
        if self._ready is None:
            abilities = probe(self.bucket)
            self.status.store = asdict(abilities)
            courier = Courier(self.bucket, abilities)
            publisher = Publisher(courier)
            publisher.learn()
            if self._ledger.is_new and publisher.newest is not None:
                named = [entry for group in publisher.newest.lists for entry in publisher.files_of(group)]
                self._ledger.add((entry, entry.copy) for entry in named)  # at once: all of it is known, or it is new
            self._ready = courier, publisher
        return self._ready

    def _missing(self, shot: Shot) -> list[Entry]:
        """What is not known to be in the bucket, without what is damaged here."""
        unsent = [entry for entry in shot.entries.values() if self._ledger.copy_of(entry.path, entry.sha256) is None]
        return [entry for entry in unsent if not self._is_hurt(entry)]

    def _leave(self, entries: list[Entry]) -> None:
        """Note what is not in the bucket yet, and when each file was written."""
        written = {entry.path: stat[0] for entry in entries if (stat := signature(self.root / entry.path)) is not None}
        self._left = {(e.path, e.sha256): (e, written.get(e.path, time.time_ns())) for e in entries}

    def _is_hurt(self, entry: Entry) -> bool:
        """Whether a file was found damaged and has not been touched since."""
        hurt = self._hurt.get((entry.path, entry.sha256))
        return hurt is not None and hurt[0] == signature(self.root / entry.path)

    def _send(self, courier: Courier, entries: list[Entry], prune: Callable[[], None]) -> StoreError | None:
        """Send files, those that failed before last, else oldest first; returns the last failure.

        A backlog may take hours, so what was published before is pruned in between.
        """
        self._leave(entries)
        order = sorted(self._left, key=lambda file: (file in self._tried, self._left[file][1]))
        todo = [self._left[file][0] for file in order]
        last: StoreError | None = None
        sent: list[tuple[Entry, int]] = []
        noted = time.monotonic()
        for lot in outcomes(self._pool, lambda entry: self._deliver(courier, entry), todo, WORKERS):
            for entry, outcome in lot:
                if isinstance(outcome, Delivery):
                    sent.append((entry, outcome.copy))
                    self._count(entry, outcome)
                elif isinstance(outcome, LocalChanged):
                    self._suspect(entry, outcome)
                elif isinstance(outcome, StoreError):
                    self._tried.add((entry.path, entry.sha256))
                    if last is not None:
                        self.status.fail(last)
                    last = outcome
                else:
                    raise outcome
            if sent and time.monotonic() - noted >= _NOTE_EVERY_S:
                self._note(sent)
                noted = time.monotonic()
            self._tell("uploading", now=False)
            prune()
        self._note(sent)
        return last

    def _deliver(self, courier: Courier, entry: Entry) -> Delivery:
        is_gone = not (self.root / entry.path).exists()
        file = entry.path, entry.sha256
        asks = self._asks_first or is_gone or file in self._tried
        return courier.deliver(entry, self.root / entry.path, look_first=asks, read_back=file in self._doubted)

    def _note(self, sent: list[tuple[Entry, int]]) -> None:
        """Write down what was verified."""
        self._ledger.add(sent)
        for entry, _ in sent:
            _, written_ns = self._left.pop((entry.path, entry.sha256))
            self._oldest_sent_ns = min(written_ns, self._oldest_sent_ns or written_ns)
        sent.clear()

    def _count(self, entry: Entry, delivery: Delivery) -> None:
        self._tried.discard((entry.path, entry.sha256))
        self._doubted.discard((entry.path, entry.sha256))
        self.status.found_files += delivery.was_there
        self.status.uploaded_files += not delivery.was_there
        self.status.uploaded_bytes += 0 if delivery.was_there else entry.bytes
        for key in delivery.wrong:
            said = f"its bytes are not those of {self.root / entry.path}, which went under another key"
            self.status.fail(StoreError(f"{self.bucket.address}/{key}", "WrongObject", said=said))

    def _suspect(self, entry: Entry, error: LocalChanged) -> None:
        """A file is not as listed: either it was replaced since the folder was looked at, or it is damaged."""
        if self._folder.is_still():
            kept_at = self._kept_at(entry)
            why = f"is kept in {kept_at} only" if kept_at else error.why
            self._hurt[entry.path, entry.sha256] = signature(self.root / entry.path), why
            self._left.pop((entry.path, entry.sha256))
            if not kept_at:
                self.status.fail(error)

    def _kept_at(self, entry: Entry) -> str:
        """The other address that a pruned file was brought to, "" for any other file."""
        name, folder = Path(entry.path).name, self.root / partition_of(entry.path)
        try:
            return kept_in_s3(folder, {name: entry.sha256}).get(name, "")
        except BadRecording:
            return ""

    def _publish(self, publisher: Publisher, shot: Shot) -> bool:
        """Publish what is not published yet, if it is time; returns whether nothing is left to publish."""
        hurt = {e.path: (e.sha256, self._hurt[e.path, e.sha256][1]) for e in shot.entries.values() if self._is_hurt(e)}
        damaged = {**shot.damaged, **hurt}
        for path in (path for path in INDEXES if path in damaged):
            raise LocalChanged(self.root / path, f"{damaged[path][1]}; until it is restored no index is published")
        if (not shot.entries and not shot.heads) or self._published == (shot, damaged):
            return True
        if time.monotonic() - self._published_at < self.publish_every_s:
            return False
        copies = {e.path: self._ledger.copy_of(e.path, e.sha256) for e in shot.entries.values()}
        files = {e.path: replace(e, copy=copies[e.path]) for e in shot.entries.values() if copies[e.path] is not None}
        newest = publisher.publish(files, shot.heads, damaged)
        self._published, self._published_at = (shot, damaged), time.monotonic()
        self._oldest_sent_ns = None
        self.status.published_ns, self.status.dataset_id = newest.ns, newest.dataset_id
        return True

    def _prune(self, shot: Shot, courier: Courier, publisher: Publisher, *, now: bool = False) -> None:
        """Prune, if it is time; what goes wrong is counted and delays no upload."""
        if self._pruner is None or not (now or self._pruner.is_due()):
            return
        try:
            done = self._pruner.prune(shot.entries.values(), self._ledger, courier, publisher, self._pool)
        except (ToolkitError, OSError) as error:
            self.status.fail(error)
            return
        self.status.pruned_files += done.files
        self.status.pruned_bytes += done.bytes
        if done.failure is not None:
            self.status.fail(done.failure)
        for entry in done.wrong:  # still here: sent again in the next pass, and published under its new key
            self._ledger.forget(entry)
            self._doubted.add((entry.path, entry.sha256))
            self._published = None

    def _tell(self, state: str, *, now: bool = True) -> None:
        if not now and not self._file.is_due():
            return
        self.status.state = state
        if state != "waiting":
            self.status.wait_s = 0.0
        self.status.pending_files = len(self._left)
        self.status.pending_bytes = sum(entry.bytes for entry, _ in self._left.values())
        waiting = [written_ns for _, written_ns in self._left.values()]
        waiting += [] if self._oldest_sent_ns is None else [self._oldest_sent_ns]
        self.status.oldest_unuploaded_s = age_s(min(waiting, default=None))
        self.status.clock_skew_s = self.bucket.skew_s
        self._file.write(self.status)


def _ledger_name(bucket: Bucket) -> str:
    """A ledger says what one bucket holds; another address or endpoint has another one."""
    return f"ledger-{hashlib.sha256(f'{bucket.endpoint} {bucket.address}'.encode()).hexdigest()[:12]}.sqlite"

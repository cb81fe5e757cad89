"""Manifests: what a partition holds, and the index that binds the partitions to one dataset id.

    TABLE/venue=V/date=YYYY-MM-DD/hour=HH/manifest.json     one partition
    dataset.json                                            index of all of them, with the dataset id

A market's rows lie in the partition of the hour in which it opened, so a tape is never split; a reference
price lies in the hour it arrived. Outcomes have an index of their own, `outcomes/dataset.json`.

The dataset id is a hash over *content* (keys, numbers, schemas), never over file bytes, times of creation or
versions of a library: the same recordings give the same id on every machine, in whatever order they came.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from observer.kit.clock import NS_PER_S
from observer.kit.errors import BadRecording
from observer.store.files import from_json_bytes, sha256_of, to_json_bytes, write_whole
from observer.store.schemas import FORMAT, OUTCOMES, TABLES, Table

MANIFEST, INDEX, LOGS = "manifest.json", "dataset.json", "imports"
# Present only while a commit renames files; found later, it says that the commit was cut short.
COMMITTING = ".committing"
HOUR_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One Parquet file as it was when it was sealed."""

    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Item:
    """Where one tape or chunk lies: a run of rows within one row group of one file."""

    file: str
    group: int
    first: int
    rows: int
    sha256: str  # of the content, see `observer.store.content`
    min_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What the index and the id know of a partition: hash of its manifest's bytes, of its schema, of its content."""

    sha256: str
    schema_hash: str
    content: str


@dataclass
class Manifest:
    """What one partition of one table holds.

    Attributes:
        table: table's name.
        partition: folder below the table, e.g. `venue=kalshi/date=2026-07-01/hour=04`.
        schema_hash: of the table's schema when the files were written.
        files: file name -> its entry.
        items: market id or chunk key -> its place (append tables only).
        content: hash over the partition's content.
        min_ns, max_ns: first and last time in the table's time column.
        gaps: rows of table `gaps` for the same venue and hour.
        code_version: of the code that wrote the last file.
    """

    table: str
    partition: str
    schema_hash: str
    files: dict[str, FileEntry] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    content: str = ""
    min_ns: int = 0
    max_ns: int = 0
    gaps: int = 0
    code_version: str = ""

    @property
    def rows(self) -> int:
        """Rows over all files."""
        return sum(entry.rows for entry in self.files.values())

    @property
    def key(self) -> str:
        """Folder of the partition below the recording's root."""
        return f"{self.table}/{self.partition}"

    def seal_items(self) -> None:
        """Take content, first and last time from the items, in an order that does not depend on history."""
        lines = sorted(f"{key} {item.sha256}" for key, item in self.items.items())
        self.content = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        self.min_ns = min(item.min_ns for item in self.items.values())
        self.max_ns = max(item.max_ns for item in self.items.values())

    def to_bytes(self) -> bytes:
        """The manifest's file."""
        return to_json_bytes({"format": FORMAT, "rows": self.rows, **asdict(self)})

    def listed(self) -> Listed:
        """How the index lists it as it is now."""
        return Listed(hashlib.sha256(self.to_bytes()).hexdigest(), self.schema_hash, self.content)


@dataclass
class Index:
    """`dataset.json`: every partition's manifest by the hash of its bytes, every import log, and the id.

    `outcomes` is the hash of the bytes of `outcomes/dataset.json` ("" where there is none): `verify` misses the
    outcomes by it if they are gone. It is no part of the id.
    """

    dataset_id: str
    partitions: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    outcomes: str = ""

    def to_bytes(self) -> bytes:
        """The index file, which carries a hash over itself."""
        body = {"format": FORMAT, **asdict(self)}
        return to_json_bytes({**body, "sha256": hashlib.sha256(to_json_bytes(body)).hexdigest()})


def partition_of(venue: str, when_ns: int) -> str:
    """Folder of a venue's hour below its table."""
    moment = datetime.fromtimestamp(when_ns // NS_PER_S, UTC)
    return f"venue={venue}/date={moment:%Y-%m-%d}/hour={moment:%H}"


def dataset_id_of(listed: dict[str, Listed]) -> str:
    """SHA-256 over every partition's name, schema and content."""
    lines = sorted(f"{key} {line.schema_hash} {line.content}" for key, line in listed.items())
    return hashlib.sha256("\n".join([FORMAT, *lines]).encode()).hexdigest()


def tables_below(root: Path) -> dict[str, Table]:
    """The tables whose index lies at `root`: those of a recording, or the outcomes alone."""
    return {OUTCOMES.name: OUTCOMES} if root.name == OUTCOMES.name else TABLES


def folder_of(root: Path, manifest_key: str) -> Path:
    """Folder of a partition; the outcomes' root is itself the table's folder."""
    return root.parent / manifest_key if root.name == OUTCOMES.name else root / manifest_key


class _Head(msgspec.Struct):
    """What a manifest's file says beside the manifest."""

    format: str = ""


def read_manifest(path: Path, table: Table) -> Manifest:
    """Read one manifest.

    Raises:
        BadRecording: it is not a manifest of this table in the form this code knows.
    """
    raw = path.read_bytes()
    try:
        found = msgspec.json.decode(raw, type=_Head).format
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadRecording(f"{path} is not a manifest ({error}). Run: mlx-rl data verify --data-dir ...") from error
    if found != FORMAT or manifest.schema_hash != table.schema_hash:
        raise BadRecording(
            f"{path} was written as {found} with schema {manifest.schema_hash[:12]}; this code reads {FORMAT} with "
            f"{table.schema_hash[:12]} for {table.name!r}. Import the source again into a new data folder."
        )
    return manifest


def read_index(root: Path) -> Index:
    """Read and check `dataset.json`.

    Raises:
        BadRecording: there is none, or it is damaged.
    """
    path = root / INDEX
    if not path.is_file():
        raise BadRecording(
            f"{root} holds no recording ({INDEX} is missing). Import one: mlx-rl import FORMAT --from DIR "
            f"--data-dir {root}"
        )
    raw = path.read_bytes()
    value = from_json_bytes(raw, path)
    index = Index(
        value.get("dataset_id", ""), value.get("partitions", {}), value.get("logs", {}), value.get("outcomes", "")
    )
    if index.to_bytes() != raw:
        raise BadRecording(
            f"{path} is damaged: its content does not match its own hash. Restore it, or import the recording again."
        )
    return index


def load(root: Path) -> tuple[Index, list[Manifest]]:
    """Read the index and every manifest it lists, checking that they belong together.

    Raises:
        BadRecording: a manifest is missing or differs from the one that was indexed.
    """
    index = read_index(root)
    manifests = [read_listed(root, key, sha256) for key, sha256 in index.partitions.items()]
    check_id(root, index, {m.key: Listed(index.partitions[m.key], m.schema_hash, m.content) for m in manifests})
    return index, manifests


def read_listed(root: Path, key: str, sha256: str) -> Manifest:
    """Read the manifest that the index lists by the hash of its bytes.

    Raises:
        BadRecording: it is missing, or not the one that was listed.
    """
    path = folder_of(root, key) / MANIFEST
    if not path.is_file() or sha256_of(path) != sha256:
        why = "an import was cut short" if (root / COMMITTING).exists() else "it is missing or damaged"
        raise BadRecording(
            f"{path} is not the one that {INDEX} lists: {why}. Run the import again, or see what is wrong with: "
            f"mlx-rl data verify --data-dir {root}"
        )
    name = key.split("/", 1)[0]
    return read_manifest(path, OUTCOMES if name == OUTCOMES.name else TABLES[name])


def check_id(root: Path, index: Index, listed: dict[str, Listed]) -> None:
    """Refuse an index whose id is not that of its partitions; raises `BadRecording`."""
    if dataset_id_of(listed) != index.dataset_id:
        raise BadRecording(f"{root / INDEX}: the dataset id does not match the manifests. Import the recording again.")


def scan(root: Path) -> dict[str, str]:
    """Every manifest that lies below `root`, indexed or not, and its hash: how a cut-short import is picked up."""
    base = root.parent if root.name == OUTCOMES.name else root
    found: dict[str, str] = {}
    for name in tables_below(root):
        for path in sorted((base / name).glob(f"venue=*/date=*/hour=*/{MANIFEST}")):
            found[path.parent.relative_to(base).as_posix()] = sha256_of(path)
    return found


def write_index(root: Path, listed: dict[str, Listed], logs: dict[str, str]) -> Index:
    """Write `dataset.json` last, after that of the outcomes: with it, everything before counts."""
    apart = root / OUTCOMES.name / INDEX
    partitions = {key: line.sha256 for key, line in listed.items()}
    index = Index(dataset_id_of(listed), partitions, logs, sha256_of(apart) if apart.is_file() else "")
    write_whole(root / INDEX, index.to_bytes())
    return index

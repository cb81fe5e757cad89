"""One file, one object, whatever happens on the way: faults, races, stores of bad manners, damaged local files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.s3 import bucket as bucket_module
from observer.s3 import courier as courier_module
from observer.s3.bucket import Bucket
from observer.s3.courier import Courier
from observer.s3.errors import LocalChanged, StoreError
from observer.s3.layout import Entry
from observer.s3.probe import Abilities
from tests.observer.s3.conftest import BUCKET, bucket_at
from tests.samples.fault_proxy import HEAD_BYTES, FaultProxy
from tests.samples.quirk_server import QuirkServer

PATH = "ticks/venue=v/date=2026-07-01/hour=04/part-0.parquet"
DATA = bytes(range(256)) * 400
GOOD = Abilities("honoured", "checked", returns_checksum=False)


@pytest.fixture
def proxy(quirky: QuirkServer) -> Iterator[FaultProxy]:
    """Between the uploader and the quirky server."""
    with FaultProxy(quirky.port) as proxy:
        yield proxy


def entry_of(data: bytes, path: str = PATH) -> Entry:
    return Entry(path, hashlib.sha256(data).hexdigest(), len(data))


def courier_to(port: int, abilities: Abilities = GOOD) -> Courier:
    return Courier(bucket_at(f"http://127.0.0.1:{port}"), abilities)


def stored(server: QuirkServer) -> dict[str, bytes]:
    return {path.removeprefix(f"/{BUCKET}/pre/fix/"): data for path, (data, _) in server.objects.items()}


def key_of(entry: Entry, copy: int = 1) -> str:
    again = "" if copy == 1 else f"-{copy}"
    return entry.path.replace(".parquet", f"-{entry.sha256[:16]}{again}.parquet")


def test_a_file_is_there_once_under_its_content_key(quirky: QuirkServer) -> None:
    entry = entry_of(DATA)

    first = courier_to(quirky.port).deliver(entry, DATA)
    again = courier_to(quirky.port).deliver(entry, DATA)

    assert stored(quirky) == {key_of(entry): DATA}
    assert (first.copy, first.was_there) == (1, False)
    assert (again.copy, again.was_there) == (1, True)


def test_a_lost_answer_hides_a_success_which_is_then_found(quirky: QuirkServer, proxy: FaultProxy) -> None:
    entry = entry_of(DATA)
    courier = courier_to(proxy.port)
    proxy.set("lose", after=HEAD_BYTES)

    with pytest.raises(StoreError) as caught:
        courier.deliver(entry, DATA)
    there = dict(stored(quirky))
    proxy.set("none")
    retried = courier.deliver(entry, DATA)

    assert caught.value.status == 0
    assert there == {key_of(entry): DATA}  # it was our own success
    assert retried.was_there  # 412, then HEAD, and not a failure
    assert stored(quirky) == there


def test_botocore_s_own_retry_meets_its_own_success(
    quirky: QuirkServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "ATTEMPTS", 3)
    entry = entry_of(DATA)
    proxy.set("lose", after=HEAD_BYTES, times=1)

    delivery = courier_to(proxy.port).deliver(entry, DATA)

    assert delivery.copy == 1
    assert quirky.puts == 2
    assert stored(quirky) == {key_of(entry): DATA}


@pytest.mark.parametrize("kind", ["refuse", "reset", "blackhole"])
def test_a_broken_connection_is_an_error_and_the_next_try_delivers(
    quirky: QuirkServer, proxy: FaultProxy, kind: str
) -> None:
    entry = entry_of(DATA)
    courier = courier_to(proxy.port)
    proxy.set(kind, after=10_000)  # type: ignore[arg-type]

    with pytest.raises(StoreError) as caught:
        courier.deliver(entry, DATA)
    proxy.set("none")
    courier.deliver(entry, DATA)

    assert caught.value.status == 0
    assert stored(quirky) == {key_of(entry): DATA}


def test_a_flipped_bit_is_refused_by_a_store_that_checks(quirky: QuirkServer, proxy: FaultProxy) -> None:
    quirky.quirks.add("check")
    proxy.set("corrupt", times=1)

    with pytest.raises(StoreError, match="BadDigest"):
        courier_to(proxy.port).deliver(entry_of(DATA), DATA)

    assert stored(quirky) == {}


def test_a_flipped_bit_in_a_store_that_does_not_check_is_read_back_and_sent_again(
    quirky: QuirkServer, proxy: FaultProxy
) -> None:
    entry = entry_of(DATA)
    proxy.set("corrupt", times=1)

    delivery = courier_to(proxy.port, Abilities("honoured", "unchecked", False)).deliver(entry, DATA)

    assert delivery.copy == 2
    assert delivery.wrong == [key_of(entry)]
    assert stored(quirky)[key_of(entry, 2)] == DATA
    assert stored(quirky)[key_of(entry)] != DATA  # not overwritten


def test_other_bytes_under_our_key_are_left_alone(quirky: QuirkServer) -> None:
    entry = entry_of(DATA)
    quirky.objects[f"/{BUCKET}/pre/fix/{key_of(entry)}"] = b"somebody else's", {}

    delivery = courier_to(quirky.port).deliver(entry, DATA)

    assert delivery.copy == 2
    assert stored(quirky) == {key_of(entry): b"somebody else's", key_of(entry, 2): DATA}


@pytest.mark.parametrize(
    ("data", "sha256"), [(DATA[:-1] + b"x", "0" * 64), (DATA[:1000], hashlib.sha256(DATA).hexdigest())]
)
def test_another_hash_or_size_is_enough_to_know(quirky: QuirkServer, data: bytes, sha256: str) -> None:
    entry = entry_of(DATA)
    courier = courier_to(quirky.port)
    courier.bucket.put(key_of(entry), data, sha256, only_new=True)
    courier.bucket.read = lambda key: pytest.fail("read back")  # type: ignore[method-assign]

    assert courier.deliver(entry, DATA).copy == 2


@pytest.mark.parametrize("conditional", ["refused", "ignored"])
def test_a_store_without_conditions_is_asked_first(quirky: QuirkServer, conditional: str) -> None:
    quirky.quirks.add("ignore")
    entry = entry_of(DATA)
    quirky.objects[f"/{BUCKET}/pre/fix/{key_of(entry)}"] = b"somebody else's", {}

    delivery = courier_to(quirky.port, Abilities(conditional, "unchecked", False)).deliver(entry, DATA)  # type: ignore[arg-type]

    assert delivery.copy == 2
    assert stored(quirky)[key_of(entry)] == b"somebody else's"


def test_a_store_that_forgets_metadata_is_read_instead(quirky: QuirkServer) -> None:
    quirky.quirks.add("no-metadata")
    entry = entry_of(DATA)
    courier = courier_to(quirky.port)
    read: list[str] = []
    before = courier.bucket.read
    courier.bucket.read = lambda key: (read.append(key), before(key))[1]  # type: ignore[method-assign]

    courier.deliver(entry, DATA)

    assert read == [key_of(entry)]


def test_one_object_in_so_many_is_read_back_from_a_store_that_checks(
    quirky: QuirkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "READ_BACK_ONE_IN", 4)
    courier = courier_to(quirky.port)
    read: list[str] = []
    before = courier.bucket.read
    courier.bucket.read = lambda key: (read.append(key), before(key))[1]  # type: ignore[method-assign]

    for i in range(40):
        courier.deliver(entry_of(bytes([i])), bytes([i]))

    assert 4 <= len(read) <= 16  # ten, give or take


@pytest.mark.parametrize(("quirk", "code"), [("200-error", "InternalError"), ("swallow", "NotThere")])
def test_an_answer_200_is_not_believed(quirky: QuirkServer, quirk: str, code: str) -> None:
    quirky.quirks.add(quirk)

    with pytest.raises(StoreError) as caught:
        courier_to(quirky.port).deliver(entry_of(DATA), DATA)

    assert caught.value.code == code


def test_a_damaged_local_file_is_not_sent(quirky: QuirkServer, tmp_path: Path) -> None:
    path = tmp_path / "part-0.parquet"
    path.write_bytes(DATA[:-1] + b"x")

    with pytest.raises(LocalChanged, match="not as listed"):
        courier_to(quirky.port).deliver(entry_of(DATA), path)
    with pytest.raises(LocalChanged, match="cannot be read: No such file"):
        courier_to(quirky.port).deliver(entry_of(DATA), tmp_path / "gone")

    assert stored(quirky) == {}


def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Entry]:
    """A file that is sent in three parts."""
    monkeypatch.setattr(courier_module, "LARGE_BYTES", 5 << 20)
    monkeypatch.setattr(bucket_module, "PART_BYTES", 5 << 20)
    path = tmp_path / "large.parquet"
    path.write_bytes(bytes(11 << 20))
    return path, entry_of(path.read_bytes())


def test_a_large_file_goes_up_in_parts(moto: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, entry = large(tmp_path, monkeypatch)

    first = Courier(moto, GOOD).deliver(entry, path, read_back=True)
    again = Courier(moto, GOOD).deliver(entry, path)

    assert (first.copy, first.was_there, again.was_there) == (1, False, True)
    assert moto.read_whole(key_of(entry)) == path.read_bytes()


def test_a_large_file_that_changed_leaves_nothing(
    moto: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, entry = large(tmp_path, monkeypatch)
    path.write_bytes(bytes(11 << 20)[:-1] + b"x")

    with pytest.raises(LocalChanged, match="SHA-256 differs"):
        Courier(moto, GOOD).deliver(entry, path)

    assert moto.head(key_of(entry)) is None
    assert "Uploads" not in moto._client.list_multipart_uploads(Bucket=BUCKET)

"""On a real S3 server that nobody here wrote: OpenStack Swift, over HTTP and over TLS, whole and through faults."""

import datetime
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from observer.s3 import bucket as bucket_module
from observer.s3 import courier as courier_module
from observer.s3.address import content_key
from observer.s3.bucket import Bucket
from observer.s3.courier import Courier
from observer.s3.errors import StoreError
from observer.s3.layout import Entry
from observer.s3.probe import Abilities, probe
from observer.s3.sync import newest_index, sync
from observer.s3.uploader import Uploader
from tests.observer.s3.conftest import BUCKET, bucket_at
from tests.observer.s3.test_folder import files_below
from tests.observer.s3.test_sync import content
from tests.samples.archives import add_archive
from tests.samples.fault_proxy import HEAD_BYTES, FaultProxy
from tests.samples.recordings import make_recording
from tests.samples.swift_server import SwiftServer, make_bucket, swift_server, why_absent

pytestmark = pytest.mark.slow
FOUND = Abilities("honoured", "checked", returns_checksum=False)


@pytest.fixture(scope="module", params=["http", "tls"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    absent = why_absent()
    if absent:
        pytest.skip(absent)
    with swift_server(tmp_path_factory.mktemp("swift"), tls=request.param == "tls") as server:
        make_bucket(server, BUCKET)
        yield server


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for each test."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:8]


@pytest.fixture(autouse=True)
def trust(server: SwiftServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "READ_TIMEOUT_S", 10.0)  # the machine may be busy
    if server.ca is not None:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(server.ca))


def through(server: SwiftServer, proxy: FaultProxy, prefix: str) -> Bucket:
    return bucket_at(server.endpoint.replace(str(server.port), str(proxy.port)), prefix)


def entry_of(data: bytes) -> Entry:
    path = "ticks/venue=v/date=2026-07-01/hour=04/part-0.parquet"
    return Entry(path, hashlib.sha256(data).hexdigest(), len(data))


def keys_of(bucket: Bucket) -> list[str]:
    """Every key below the prefix, as the server's own listing has it, the uploader's own objects left out."""
    pages = bucket._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=bucket.address.key(""))
    keys = (item["Key"].removeprefix(bucket.address.key("")) for page in pages for item in page.get("Contents", []))
    return [key for key in keys if key.split("/")[0] not in ("index", "lists", "_probe")]


def test_it_honours_conditions_and_checks_checksums(server: SwiftServer, prefix: str) -> None:
    assert probe(bucket_at(server.endpoint, prefix)) == FOUND


def test_a_recording_goes_up_and_comes_down_byte_equal(server: SwiftServer, prefix: str, tmp_path: Path) -> None:
    root = make_recording(tmp_path / "data", windows=5)
    add_archive(root, "100-a", b"frames" * 1000)
    bucket = bucket_at(server.endpoint, prefix)

    uploader = Uploader(root, bucket, publish_every_s=0.0)
    is_done = uploader.step()
    uploader.close()
    sync(bucket, tmp_path / "copy", newest_index(bucket))

    assert is_done
    assert sorted(keys_of(bucket)) == sorted(content_key(path, sha256) for path, sha256 in files_below(root).items())
    assert content(tmp_path / "copy") == content(root)


def test_a_large_file_goes_up_in_parts(
    server: SwiftServer, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "LARGE_BYTES", 5 << 20)
    monkeypatch.setattr(bucket_module, "PART_BYTES", 5 << 20)
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (11 << 12))
    entry = entry_of(path.read_bytes())
    bucket = bucket_at(server.endpoint, prefix)

    first = Courier(bucket, FOUND).deliver(entry, path, read_back=True)
    again = Courier(bucket, FOUND).deliver(entry, path)

    assert (first.copy, first.was_there, again.was_there) == (1, False, True)
    assert keys_of(bucket) == [content_key(entry.path, entry.sha256)]


def test_a_lost_answer_is_found_to_be_a_success(
    server: SwiftServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "ATTEMPTS", 3)
    entry = entry_of(bytes(100_000))
    with FaultProxy(server.port) as proxy:
        bucket = through(server, proxy, prefix)
        fault = proxy.set("lose", after=HEAD_BYTES, times=1)

        delivery = Courier(bucket, FOUND).deliver(entry, bytes(100_000))

        assert fault.times == 0
    assert delivery.copy == 1
    assert keys_of(bucket_at(server.endpoint, prefix)) == [content_key(entry.path, entry.sha256)]


@pytest.mark.parametrize(("kind", "after"), [("reset", 30_000), ("corrupt", 0)])
def test_what_breaks_on_the_way_up_is_sent_again(
    server: SwiftServer, prefix: str, kind: Any, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "ATTEMPTS", 3)
    data = bytes(range(256)) * 400
    entry = entry_of(data)
    with FaultProxy(server.port) as proxy:
        bucket = through(server, proxy, prefix)
        bucket.head("warm-up")
        fault = proxy.set(kind, after=after, times=1)
        try:
            Courier(bucket, FOUND).deliver(entry, data)
        except StoreError:  # a store that noticed wrong bytes says no; the next pass asks and sends again
            Courier(bucket, FOUND).deliver(entry, data, look_first=True)

        assert fault.times == 0
    direct = bucket_at(server.endpoint, prefix)
    assert keys_of(direct) == [content_key(entry.path, entry.sha256)]
    assert direct.read_whole(content_key(entry.path, entry.sha256)) == data


def test_eight_at_once_end_with_one_whole_object(server: SwiftServer, prefix: str) -> None:
    data = bytes(range(256)) * 40
    entry = entry_of(data)
    couriers = [Courier(bucket_at(server.endpoint, prefix), FOUND) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        deliveries = list(pool.map(lambda courier: courier.deliver(entry, data), couriers))

    assert {delivery.copy for delivery in deliveries} == {1}
    assert keys_of(couriers[0].bucket) == [content_key(entry.path, entry.sha256)]
    assert couriers[0].bucket.read_whole(content_key(entry.path, entry.sha256)) == data


def test_a_wrong_clock_is_told_as_such(server: SwiftServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    true = botocore.auth.get_current_datetime
    wrong = datetime.timedelta(days=90)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *args, **kw: true(*args, **kw) + wrong)

    with pytest.raises(StoreError, match=r"RequestTimeTooSkewed.*Set this machine's clock"):
        probe(bucket_at(server.endpoint, prefix))


def test_a_wrong_secret_is_told_as_such(server: SwiftServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-it")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # which remembers the right one

    with pytest.raises(StoreError, match=r"SignatureDoesNotMatch.*check the credentials"):
        probe(bucket_at(server.endpoint, prefix))


@pytest.mark.parametrize("server", ["tls"], indirect=True)
def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: SwiftServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")

    with pytest.raises(StoreError, match="SSLError.*AWS_CA_BUNDLE"):
        probe(bucket_at(server.endpoint, prefix))

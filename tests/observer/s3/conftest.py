"""Buckets for these tests: credentials that are nobody's, one bucket in moto, short waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.s3 import bucket as bucket_module
from observer.s3.address import Address
from observer.s3.bucket import Bucket
from tests.samples.quirk_server import QuirkServer
from tests.samples.swift_server import ACCESS_KEY, SECRET_KEY

BUCKET = "recordings"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's AWS settings or cache gets in, and no try takes long."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bucket_module, "ATTEMPTS", 1)
    monkeypatch.setattr(bucket_module, "CONNECT_TIMEOUT_S", 1.0)
    monkeypatch.setattr(bucket_module, "READ_TIMEOUT_S", 1.0)


@pytest.fixture
def moto() -> Iterator[Bucket]:
    """A prefix of a bucket in moto, an imitation of AWS in this process; it checks no checksums."""
    import boto3
    from moto import mock_aws

    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield Bucket(Address(BUCKET, "pre/fix"))


@pytest.fixture
def quirky() -> Iterator[QuirkServer]:
    """A server whose manners a test chooses."""
    with QuirkServer() as server:
        yield server


@pytest.fixture
def bucket(quirky: QuirkServer) -> Bucket:
    """A prefix on that server, which has good manners as long as nobody changes them."""
    return bucket_at(quirky.endpoint)


def bucket_at(endpoint: str, prefix: str = "pre/fix") -> Bucket:
    """The same prefix at a server on loopback."""
    return Bucket(Address(BUCKET, prefix), endpoint)

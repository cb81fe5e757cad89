"""Addresses and keys: what is meant, and what is refused."""

from pathlib import Path

import pytest

from observer.kit.errors import UsageError
from observer.s3.address import Address, content_key, is_address, parse_address

SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://my-bucket/observer", "my-bucket", "observer"),
        ("s3://my.bucket/a/b/", "my.bucket", "a/b"),
        ("s3://my-bucket", "my-bucket", ""),
        ("s3://my-bucket//a//b", "my-bucket", "a/b"),
    ],
)
def test_an_address_is_read(text: str, bucket: str, prefix: str) -> None:
    assert parse_address(text) == Address(bucket, prefix)


def test_an_address_that_became_a_path_is_still_read() -> None:
    mangled = Path("s3://my-bucket/observer")

    assert is_address(mangled)
    assert str(parse_address(mangled)) == "s3://my-bucket/observer"


@pytest.mark.parametrize("text", ["s3://", "s3://UPPER/x", "s3://a/b", "./data", "https://bucket/x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no place in a bucket"):
        parse_address(text)


def test_a_folder_is_no_address() -> None:
    assert not is_address(Path("data"))


def test_a_key_names_path_and_content() -> None:
    path = "ticks/venue=v/date=2026-07-01/hour=04/part-0.parquet"

    assert content_key(path, SHA256) == "ticks/venue=v/date=2026-07-01/hour=04/part-0-0123456789abcdef.parquet"
    assert content_key(path, SHA256, copy=2).endswith("/part-0-0123456789abcdef-2.parquet")


def test_a_prefix_may_be_empty() -> None:
    assert Address("bucket", "").key("index/x") == "index/x"
    assert Address("bucket", "a/b").key("index/x") == "a/b/index/x"

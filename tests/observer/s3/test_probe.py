"""What the probe finds out about stores of every manner."""

from pathlib import Path

import pytest

from observer.s3.bucket import Bucket
from observer.s3.errors import StoreError
from observer.s3.probe import Abilities, probe
from tests.observer.s3.conftest import bucket_at
from tests.samples.quirk_server import QuirkServer
from tests.samples.swift_server import make_certificate


def test_moto_honours_conditions_and_checks_no_checksum(moto: Bucket) -> None:
    assert probe(moto) == Abilities("honoured", "unchecked", returns_checksum=False)


@pytest.mark.parametrize(
    ("quirk", "found"),
    [
        ("501", Abilities("refused", "unchecked", returns_checksum=False)),
        ("ignore", Abilities("ignored", "unchecked", returns_checksum=False)),
        ("400-checksum", Abilities("honoured", "refused", returns_checksum=False)),
        ("check", Abilities("honoured", "checked", returns_checksum=False)),
    ],
)
def test_bad_manners_are_found_out(quirky: QuirkServer, quirk: str, found: Abilities) -> None:
    quirky.quirks.add(quirk)

    assert probe(bucket_at(quirky.endpoint)) == found


@pytest.mark.parametrize("quirk", ["411", "501"])
def test_over_tls_no_chunked_body_is_sent_to_a_store_that_refuses_it(
    quirk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with QuirkServer("411", quirk, certificate=certificate) as server:
        found = probe(bucket_at(server.endpoint))

    assert found.conditional == ("refused" if quirk == "501" else "honoured")


def test_a_store_that_stores_nothing_is_not_trusted(quirky: QuirkServer) -> None:
    quirky.quirks |= {"swallow", "ignore"}

    with pytest.raises(StoreError) as caught:
        probe(bucket_at(quirky.endpoint))

    assert caught.value.code == "ReadBack"


def test_a_store_that_is_overloaded_says_so(quirky: QuirkServer) -> None:
    quirky.quirks.add("503")

    with pytest.raises(StoreError, match="SlowDown"):
        probe(bucket_at(quirky.endpoint))


def test_a_bucket_that_is_not_there_is_named(moto: Bucket) -> None:
    moto.address = type(moto.address)("not-there", "x")

    with pytest.raises(StoreError, match=r"s3://not-there/x.*NoSuchBucket.*Create the bucket"):
        probe(moto)


def test_the_clock_of_the_store_is_compared(moto: Bucket) -> None:
    probe(moto)

    assert moto.skew_s is not None
    assert abs(moto.skew_s) < 5

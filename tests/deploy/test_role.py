"""The uploader works with the rights that the template gives its box, and with no fewer; moto enforces them."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from observer.s3.address import Address
from observer.s3.bucket import PART_BYTES, Bucket
from observer.s3.errors import StoreError
from observer.s3.probe import probe
from tests.deploy.aws_calls import Calls
from tests.deploy.conftest import REGION
from tests.deploy.rendered import template

BUCKET, ROLE = "recordings", "box"


@contextmanager
def enforced() -> Iterator[None]:
    """moto holds every call against the caller's rights."""
    from moto import settings
    from moto.core.authorization import ActionAuthenticatorMixin as Authenticator

    before = settings.INITIAL_NO_AUTH_ACTION_COUNT, Authenticator.request_count
    settings.INITIAL_NO_AUTH_ACTION_COUNT, Authenticator.request_count = 0, 0
    try:
        yield
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT, Authenticator.request_count = before


def documents() -> dict[str, dict[str, Any]]:
    """The policies of the template's role, filled in."""
    policies = template("observer.yaml")["Resources"]["Role"]["Properties"]["Policies"]
    text = json.dumps(policies)
    filled = re.sub(r'\{"Fn::Sub": ("[^"]+")\}', lambda found: found[1], text)
    for name, value in {"AWS::Partition": "aws", "Bucket": BUCKET}.items():
        filled = filled.replace(f"${{{name}}}", value)
    assert "${" not in filled
    return {one["PolicyName"]: one["PolicyDocument"] for one in json.loads(filled)}


@pytest.fixture
def as_the_box(aws: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket, a role with the template's policies, and we in that role."""
    boto3.setup_default_session(region_name=REGION)
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    role = boto3.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")["Role"]
    for name, document in documents().items():
        put_policy(name, document)
    session = boto3.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="box")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
    boto3.setup_default_session(region_name=REGION)


def put_policy(name: str, document: dict[str, Any]) -> None:
    boto3.client("iam").put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=json.dumps(document))


def use_everything(bucket: Bucket, folder: Path) -> None:
    """Each operation that the uploader knows."""
    large = folder / "large"
    large.write_bytes(b"x" * (PART_BYTES + 1))
    assert probe(bucket).conditional == "honoured"
    bucket.put_parts("ticks/large", large, hashlib.sha256(large.read_bytes()).hexdigest(), only_new=True)
    stored = bucket.head("ticks/large")
    assert stored is not None
    assert stored.bytes == PART_BYTES + 1
    assert bucket.head("ticks/none") is None
    assert bucket.names("ticks") == ["large"]
    assert len(bucket.read_whole("ticks/large")) == PART_BYTES + 1


def test_the_uploader_needs_no_more_than_the_box_may(as_the_box: None, tmp_path: Path) -> None:
    with enforced():
        use_everything(Bucket(Address(BUCKET, "observer")), tmp_path)


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:GetObject", "s3:ListBucket"])
def test_with_one_right_less_the_uploader_fails(action: str, as_the_box: None, tmp_path: Path) -> None:
    document = documents()["recording"]
    for one in document["Statement"]:
        listed = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
        one["Action"] = [name for name in listed if name != action] or ["s3:GetBucketTagging"]
    put_policy("recording", document)

    with enforced(), pytest.raises(StoreError, match="AccessDenied|403|Forbidden"):
        use_everything(Bucket(Address(BUCKET, "observer")), tmp_path)


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("delete_object", {"Key": "observer/ticks/a"}),
        ("put_object", {"Key": "deploy/other.tar", "Body": b"other"}),
        ("put_object", {"Key": "models/other", "Body": b"other"}),
        ("get_object", {"Key": "models/other"}),
        ("delete_bucket", {}),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
    ],
)
def test_the_box_can_neither_delete_nor_reach_elsewhere(
    operation: str, options: dict[str, Any], as_the_box: None
) -> None:
    client = boto3.client("s3")

    with enforced(), pytest.raises(ClientError, match="AccessDenied"):
        getattr(client, operation)(Bucket=BUCKET, **options)

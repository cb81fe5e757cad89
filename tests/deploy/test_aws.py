"""Deploying, looking and taking down, on moto: what is made, what is left alone, what is kept."""

import base64
import hashlib
import json
import time
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from deploy.aws import main
from deploy.place import Place
from observer.s3.published import Published, index_name
from tests.deploy.aws_calls import Calls
from tests.deploy.conftest import REGION

BUCKET = "recordings.example"
HERE = (BUCKET, REGION)
BOX, STORE = "mlx-rl-observer-recordings-example", "mlx-rl-bucket-recordings-example"


def run(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    """The result of a command that must succeed."""
    assert main([*args, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """Exit code and message of a command."""
    return main(list(args)), capsys.readouterr().err


def stacks() -> dict[str, str]:
    found = boto3.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: stack["StackStatus"] for stack in found}


def instances() -> list[dict[str, Any]]:
    found = boto3.client("ec2").describe_instances()["Reservations"]
    return [instance for some in found for instance in some["Instances"]]


def told_to_the_box() -> str:
    (box,) = instances()
    told = boto3.client("ec2").describe_instance_attribute(InstanceId=box["InstanceId"], Attribute="userData")
    return base64.b64decode(told["UserData"]["Value"]).decode()


def parameters() -> dict[str, str]:
    return Place(*HERE).box_stack.parameters()


def test_a_first_deploy_makes_bucket_bundle_and_box(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, "BTC,ETH", *HERE, "--venues", "polymarket,coinbase")

    sha256 = hashlib.sha256(small_bundle["tar"]).hexdigest()
    key = f"deploy/0.1.0+gabc1234-{sha256[:16]}.tar"
    stored = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    (box,) = instances()
    assert stored == small_bundle["tar"]
    assert stacks() == {STORE: "CREATE_COMPLETE", BOX: "CREATE_COMPLETE"}
    assert box["InstanceType"] == "t4g.small"
    assert parameters() | {"ImageId": ""} == {
        "Bucket": BUCKET, "Flags": "--markets BTC,ETH --venues polymarket coinbase", "InstanceType": "t4g.small",
        "ImageId": "", "DiskGb": "30", "BundleKey": key, "BundleSha256": sha256, "Email": "",
    }  # fmt: skip
    assert box["InstanceId"] in result["steps"]["shell"]
    assert aws.writes() == ["CreateStack", "PutObject", "CreateStack"]


def test_the_box_is_told_what_to_install_and_record(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE, "--venues", "kraken")
    text = told_to_the_box()

    assert text.startswith("#cloud-config\n")
    assert f"BUNDLE=s3://{BUCKET}/{parameters()['BundleKey']}\n" in text
    assert f"SHA256={parameters()['BundleSha256']}\n" in text
    assert f"OBSERVE_FLAGS=--markets all --venues kraken --s3-bucket {BUCKET}\n" in text
    assert "home=${MLX_RL_ROOT:-}/opt/mlx-rl/$SHA256\n" in text


def test_a_second_deploy_changes_nothing(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    before, (box,) = parameters(), instances()
    again = run(capsys, "all", *HERE)

    assert again["steps"]["bucket"] == "unchanged"
    assert again["steps"]["bundle"].endswith("was there")
    assert again["steps"]["box"] == f"unchanged: {box['InstanceId']}"
    assert parameters() == before
    assert aws.writes().count("PutObject") == 1


def test_new_code_and_other_flags_reach_the_box_that_is_there(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    before, (box,) = parameters(), instances()
    small_bundle["tar"] = b"newer"
    result = run(capsys, "BTC", *HERE, "--disk-gb", "50", "--venues", "kraken")

    assert result["steps"]["box"] == f"updated: {box['InstanceId']}"
    after = parameters()
    assert after["BundleSha256"] == hashlib.sha256(b"newer").hexdigest()
    assert after["Flags"] == "--markets BTC --venues kraken"
    # Another image or another size would mean another disk, and what lies on this one would be out of reach.
    assert {name: after[name] for name in ("ImageId", "DiskGb")} == {n: before[n] for n in ("ImageId", "DiskGb")}


def test_a_bucket_that_was_there_is_left_as_it_is(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("s3", region_name=REGION).create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    result = run(capsys, "all", *HERE)

    assert result["steps"]["bucket"] == "was there, left as it is"
    assert list(stacks()) == [BOX]


def test_a_bucket_in_another_region_is_refused_with_the_way_out(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("s3", region_name="us-west-2").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    code, said = refused(capsys, "all", *HERE)

    assert code == 2
    assert "Pass us-west-2 as REGION" in said
    assert stacks() == {}


def test_somebody_elses_bucket_is_refused(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(client: Any, name: str, options: Any) -> Any:
        if name == "HeadBucket":
            raise ClientError({"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, name)
        return before(client, name, options)

    before = BaseClient._make_api_call
    monkeypatch.setattr(BaseClient, "_make_api_call", forbidden)
    code, said = refused(capsys, "all", *HERE)

    assert code == 2
    assert "is not yours to use" in said


def test_a_name_that_differs_in_a_dot_is_not_taken_for_the_same(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    for command in (["all"], ["status"], ["destroy"]):
        code, said = refused(capsys, *command, BUCKET.replace(".", "-"), REGION)

        assert code == 2
        assert f"records into {BUCKET}" in said
    assert stacks()[BOX] == "CREATE_COMPLETE"


@pytest.mark.parametrize("email", ["", "you@example.com"])
def test_an_address_makes_the_alarm(
    email: str, aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, "all", *HERE, "--email", email)

    told = boto3.client("sns").list_subscriptions()["Subscriptions"]
    assert [one["Endpoint"] for one in told] == ([email] if email else [])
    assert f"HEARTBEAT={'yes' if email else 'no'}\n" in told_to_the_box()
    assert ("alarm" in {line["what"] for line in result["bill"]}) is bool(email)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_dry_run_only_asks(
    is_there: bool, aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    if is_there:
        run(capsys, "all", *HERE)
    aws.made.clear()
    result = run(capsys, "all", *HERE, "--dry-run")
    run(capsys, "destroy", *HERE, "--dry-run")

    assert aws.made
    assert aws.writes() == []
    assert result["dry_run"] is True
    assert ("updated" in result["steps"]["box"]) is is_there
    assert (result["steps"]["bucket"] == "is there") is is_there


def test_a_dry_run_needs_no_account(no_aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["all", *HERE, "--dry-run"]) == 0

    told = capsys.readouterr()
    assert "no AWS credentials" in told.err
    assert "nothing was changed" in told.out


def test_without_credentials_nothing_is_deployed(
    no_aws: None, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused(capsys, "all", *HERE)

    assert code == 1
    assert "aws configure" in said


def test_the_bill_names_prices_sources_and_days(no_aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "all", *HERE, "--dry-run", "--gb-per-day", "1")

    # By hand: 730 h x 0.0168 + 30 GB x 0.08 + 730 h x 0.005 + 30 days x 1 GB x 0.023 + 300,000 / 1000 x 0.005
    assert result["usd_a_month"] == round(12.264 + 2.4 + 3.65 + 0.69 + 1.5, 2)
    assert all(line["source"].startswith("https://aws.amazon.com/") for line in result["bill"])
    assert all(line["as_of"][:2] == "20" for line in result["bill"])


def test_a_box_of_unknown_price_is_said(no_aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "all", *HERE, "--dry-run", "--instance-type", "r8g.large")
    assert main(["all", *HERE, "--dry-run", "--instance-type", "r8g.large"]) == 0

    assert result["bill"][0]["usd"] is None
    assert "?" in capsys.readouterr().out


@pytest.mark.parametrize(("region", "binance"), [("eu-west-1", True), ("us-east-1", False)])
def test_venues_that_could_not_be_recorded_are_left_out(
    region: str, binance: bool, no_aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = run(capsys, "all", BUCKET, region, "--dry-run")["steps"]["records"]

    assert "kalshi" not in flags
    assert ("binance-spot" in flags) is binance
    assert "polymarket" in flags


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["all; reboot", *HERE], "names no markets"),
        (["all", "No_Bucket", REGION], "wanted s3://"),
        (["all", "bucket/prefix", REGION], "no name of a bucket"),
        (["all", *HERE, "--venues", "polymarket,nyse"], "no venue nyse"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    args: list[str], said: str, no_aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = refused(capsys, *args, "--dry-run")

    assert code == 2
    assert said.lower() in text.lower()


def test_status_tells_of_the_box_and_of_the_newest_index(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    fresh = run(capsys, "status", *HERE)
    raw = Published({}, {}, {}).to_bytes()
    name = index_name(raw, time.time_ns() - 90 * 10**9)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"observer/index/{name}", Body=raw)
    aws.made.clear()
    later = run(capsys, "status", *HERE)

    assert fresh["published_s_ago"] is None
    assert 90 <= later["published_s_ago"] < 120
    assert later["stack"] == "CREATE_COMPLETE"
    assert later["box"] == "running (ok system, ok instance)"
    assert aws.writes() == []


def test_status_says_when_publishing_has_stopped(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    raw = Published({}, {}, {}).to_bytes()
    name = index_name(raw, time.time_ns() - 3600 * 10**9)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"observer/index/{name}", Body=raw)

    assert main(["status", *HERE]) == 0
    assert "WRONG" in capsys.readouterr().out


def test_status_of_nothing_is_an_answer(aws: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "status", *HERE)

    assert found["stack"] == "none"
    assert found["published_s_ago"] is None


def test_destroy_keeps_the_bucket_all_in_it_and_the_disk(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    boto3.client("s3").put_object(Bucket=BUCKET, Key="observer/ticks/a.parquet", Body=b"ticks")
    aws.made.clear()
    result = run(capsys, "destroy", *HERE)
    again = run(capsys, "destroy", *HERE)

    left = boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert stacks() == {STORE: "CREATE_COMPLETE"}
    assert aws.writes() == ["DeleteStack"]
    assert "observer/ticks/a.parquet" in {item["Key"] for item in left}
    assert [instance["State"]["Name"] for instance in instances()] == ["terminated"]
    assert result["box"].endswith("deleted")
    assert again["box"].endswith("was not there")


def test_a_box_may_follow_another_into_the_same_bucket(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "all", *HERE)
    run(capsys, "destroy", *HERE)
    result = run(capsys, "all", *HERE)

    assert result["steps"]["bucket"] == "unchanged"
    assert result["steps"]["bundle"].endswith("was there")
    assert result["steps"]["box"].startswith("created")


def test_disks_of_boxes_that_are_gone_are_told(
    aws: Calls, small_bundle: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "mlx-rl-bucket", "Value": BUCKET}]}]
    ec2 = boto3.client("ec2", region_name=REGION)
    disk = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=10, TagSpecifications=tags)["VolumeId"]
    ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=10)

    assert run(capsys, "status", *HERE)["disks_left"] == [disk]
    assert main(["status", *HERE]) == 0
    assert f"delete-volume --region {REGION} --volume-id {disk}" in capsys.readouterr().out

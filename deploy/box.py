"""Deploying: bucket, bundle and box brought to what was asked for, or only the plan of it.

Doing it twice changes nothing: the same commit makes the same bundle, and the same parameters leave a stack alone.
"""

import base64
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

import boto3
import tyro
from botocore.exceptions import NoCredentialsError
from pydantic import BaseModel, ConfigDict, Field

from deploy import bundle, prices
from deploy.place import DEFAULT_REGION, Place
from deploy.stacks import AwsRefused, asking
from observer.kit.console import say
from observer.kit.errors import UsageError
from observer.venues.table import VENUES

IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
Bucket = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="BUCKET")]
Region = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[REGION]")]
_FILES_PER_DAY = 10_000


class DeploySettings(BaseModel):
    """What to record, into which bucket, on what kind of box."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    markets: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MARKETS")] = Field(
        description="what to record, as --markets of the recorder: all, or BTC,ETH or crypto,politics"
    )
    bucket: Bucket = Field(description="bucket to record into; created where it does not exist")
    region: Region = Field(default="", description=f"AWS region; none named: your AWS settings', else {DEFAULT_REGION}")
    venues: str = Field(
        default="",
        description="venues, separated by commas; none named: all but kalshi, which wants a key, and but Binance, "
        "which refuses the US, in a US region",
    )
    instance_type: str = Field(default="t4g.small", description="any Graviton type")
    disk_gb: int = Field(default=30, ge=10, le=16384, description="size of a new box's disk, GB")
    email: str = Field(default="", description="where to send the alarm of a recorder that is unwell or silent")
    gb_per_day: float = Field(default=2.0, gt=0, description="GB recorded a day, for the estimate of the cost")
    dry_run: bool = Field(default=False, description="print the plan and its monthly cost, and change nothing")


def deploy(settings: DeploySettings) -> dict[str, Any]:
    """Bring bucket, bundle and box to what the settings say, or only say what that would change.

    Raises:
        UsageError: something that cannot be deployed.
        AwsRefused: AWS does not let us.
        CannotBuild: the bundle cannot be made.
    """
    place = Place(settings.bucket, settings.region)
    flags = flags_of(settings, place.region)
    bill = prices.month(
        box=settings.instance_type, disk_gb=settings.disk_gb, gb_per_day=settings.gb_per_day,
        files_per_day=_FILES_PER_DAY, has_alarm=bool(settings.email),
    )  # fmt: skip
    steps = _plan(settings, place, flags) if settings.dry_run else _apply(settings, place, flags)
    return {
        "bucket": place.bucket,
        "region": place.region,
        "dry_run": settings.dry_run,
        "steps": steps,
        "bill": [line.to_row() for line in bill],
        "usd_a_month": round(prices.total(bill), 2),
    }


def flags_of(settings: DeploySettings, region: str) -> str:
    """The recorder's flags.

    Raises:
        UsageError: a word that cannot be a market or is no venue.
    """
    if not re.fullmatch(r"[A-Za-z0-9,._-]+", settings.markets):
        raise UsageError(
            f"{settings.markets!r} names no markets. Wanted all, or words as in BTC,ETH or crypto,politics."
        )
    venues = [word for word in settings.venues.split(",") if word]
    unknown = [name for name in venues if name not in VENUES]
    if unknown:
        raise UsageError(f"--venues: no venue {', '.join(unknown)}. Known: {', '.join(VENUES)}.")
    if not venues:
        left_out = ("kalshi", "binance") if region.startswith("us-") else ("kalshi",)
        venues = [name for name in VENUES if not name.startswith(left_out)]
    return f"--markets {settings.markets} --venues {' '.join(venues)}"


def _plan(settings: DeploySettings, place: Place, flags: str) -> dict[str, str]:
    """What a deploy would do, as far as can be known without changing anything."""
    bucket = f"new, by stack {place.bucket_stack.name}"
    box = f"new {settings.instance_type} with {settings.disk_gb} GB, by stack {place.box_stack.name}"
    try:
        if place.has_bucket():
            bucket = "is there"
        if place.box() is not None:
            disk_gb = place.box_stack.parameters()["DiskGb"]
            box = f"stack {place.box_stack.name} is updated; the box keeps its system and its disk of {disk_gb} GB"
    except AwsRefused as error:
        if not isinstance(error.__cause__, NoCredentialsError):
            raise
        say("there are no AWS credentials here, so this is the plan of a first deploy")
    return {
        "bucket": bucket,
        "bundle": f"mlx-rl {bundle.version_here()} and its libraries, about 105 MB, below s3://{place.bucket}/deploy/",
        "box": box,
        "records": flags,
        "alarm": f"mail to {settings.email}" if settings.email else "none; --email ADDRESS makes one",
    }


def _apply(settings: DeploySettings, place: Place, flags: str) -> dict[str, str]:
    """Do it."""
    place.box()  # not another bucket's
    if place.bucket_stack.look() is not None or not place.has_bucket():
        say(f"bucket {place.bucket}: stack {place.bucket_stack.name}")
        bucket = place.bucket_stack.put("bucket.yaml", {"Bucket": place.bucket}, guard=True)
    else:
        bucket = "was there, left as it is"
    say("building the bundle")
    with tempfile.TemporaryDirectory() as folder:
        made = bundle.build(Path(folder))
        key = f"deploy/{made.version}-{made.sha256[:16]}.tar"
        sent = _send(place.bucket, key, made)
    say(f"box: stack {place.box_stack.name}; a first start takes minutes")
    parameters = {
        "Bucket": place.bucket, "Flags": flags, "InstanceType": settings.instance_type, "ImageId": _image(),
        "DiskGb": str(settings.disk_gb), "BundleKey": key, "BundleSha256": made.sha256, "Email": settings.email,
    }  # fmt: skip
    box = place.box_stack.put("observer.yaml", parameters, keep=("ImageId", "DiskGb"))
    instance = place.box_stack.outputs()["Instance"]
    return {
        "bucket": bucket,
        "bundle": f"{key} {sent}",
        "box": f"{box}: {instance}",
        "records": flags,
        "alarm": f"mail to {settings.email}, once it is confirmed there" if settings.email else "none",
        "look": f"scripts/deploy_observer_aws.sh status {place.bucket} {place.region}",
        "shell": f"aws ssm start-session --region {place.region} --target {instance}",
    }


def _image() -> str:
    with asking("asking for the newest Amazon Linux 2023"):
        return boto3.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]


def _send(bucket: str, key: str, made: bundle.Bundle) -> str:
    """Put the bundle under its key, unless it is there."""
    client = boto3.client("s3")
    with asking(f"sending the bundle to s3://{bucket}/{key}"):
        if client.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"]:
            return "was there"
        say(f"sending {made.path.stat().st_size / 1e6:.0f} MB to s3://{bucket}/{key}")
        checksum = base64.b64encode(bytes.fromhex(made.sha256)).decode()
        with made.path.open("rb") as body:
            client.put_object(Bucket=bucket, Key=key, Body=body, ChecksumSHA256=checksum)
    return "sent"

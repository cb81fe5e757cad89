"""One deployment: a bucket, a region, and the two stacks that belong to them. What is asked about it is asked here."""

import time
from typing import Any

import boto3
from boto3.session import Session

from deploy.stacks import AwsRefused, Stack, asking
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.s3.address import Address, parse_address
from observer.s3.bucket import Bucket
from observer.s3.errors import StoreError
from observer.s3.published import find_newest

# Ireland: near Polymarket, and outside the countries from which Binance answers 451.
DEFAULT_REGION = "eu-west-1"
PREFIX = "observer"
BUCKET_TAG = "mlx-rl-bucket"
_NOT_FOUND, _FORBIDDEN = 404, 403


class Place:
    """A bucket in a region, and what is there.

    Args:
        bucket: its name.
        region: "" takes that of the AWS settings, else Ireland.

    Raises:
        UsageError: that is no name of a bucket.
    """

    def __init__(self, bucket: str, region: str) -> None:
        if parse_address(f"s3://{bucket}") != Address(bucket, ""):
            raise UsageError(f"{bucket!r} is no name of a bucket. Wanted 3 to 63 of a-z 0-9 . -")
        self.bucket = bucket
        self.region = region or Session().region_name or DEFAULT_REGION
        boto3.setup_default_session(region_name=self.region)
        stacks, name = boto3.client("cloudformation"), bucket.replace(".", "-")
        self.bucket_stack = Stack(stacks, f"mlx-rl-bucket-{name}")
        self.box_stack = Stack(stacks, f"mlx-rl-observer-{name}")

    def has_bucket(self) -> bool:
        """Whether the bucket exists, here and open to us.

        Raises:
            UsageError: it is somebody else's, or in another region.
        """
        try:
            with asking(f"looking for bucket {self.bucket}"):
                answer = boto3.client("s3").head_bucket(Bucket=self.bucket)
        except AwsRefused as error:
            status = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == _NOT_FOUND:
                return False
            if status == _FORBIDDEN:
                raise UsageError(
                    f"bucket {self.bucket} is not yours to use; AWS's customers share one space of names. Take another."
                ) from error
            raise
        region = answer.get("BucketRegion", self.region)
        if region != self.region:
            raise UsageError(f"bucket {self.bucket} is in {region}, not {self.region}. Pass {region} as REGION.")
        return True

    def box(self) -> dict[str, Any] | None:
        """The box's stack as CloudFormation describes it, None where there is none.

        Raises:
            UsageError: the stack of that name records into another bucket.
        """
        found = self.box_stack.look()
        bucket = self.box_stack.parameters().get("Bucket", self.bucket) if found is not None else self.bucket
        if bucket != self.bucket:
            raise UsageError(f"stack {self.box_stack.name} records into {bucket}, whose name differs in a dot only.")
        return found

    def published_s_ago(self) -> float | None:
        """Age of the newest index in the bucket, None where there is none."""
        try:
            newest, _ = find_newest(Bucket(Address(self.bucket, PREFIX)))
        except StoreError as error:
            raise AwsRefused(str(error)) from error
        return None if newest is None else round((time.time_ns() - newest.ns) / NS_PER_S, 1)

    def disks_left(self) -> list[str]:
        """Disks of boxes that are gone."""
        wanted = {f"tag:{BUCKET_TAG}": self.bucket, "status": "available"}
        filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
        with asking("looking for disks that are left"):
            return sorted(disk["VolumeId"] for disk in boto3.client("ec2").describe_volumes(Filters=filters)["Volumes"])


def state_of(instance: str) -> str:
    """An instance's state, with AWS's own checks of it."""
    with asking(f"asking for the state of {instance}"):
        answer = boto3.client("ec2").describe_instance_status(InstanceIds=[instance], IncludeAllInstances=True)
    for one in answer["InstanceStatuses"]:
        checks = f"{one['SystemStatus']['Status']} system, {one['InstanceStatus']['Status']} instance"
        return f"{one['InstanceState']['Name']} ({checks})"
    return "gone"

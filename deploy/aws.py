"""Putting the recorder on AWS, looking after it, taking it down: what scripts/deploy_observer_aws.sh calls."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deploy.box import Bucket, DeploySettings, Region, deploy
from deploy.place import Place, state_of
from deploy.show import show_deploy, show_destroy, show_status
from observer.kit.cli import run_command
from observer.kit.console import say

PROG = "deploy_observer_aws.sh"
ABOUT_DEPLOY = (
    "Put the recorder on a box of yours at AWS: a bucket, a box without open ports, a role that can only add. Nothing "
    "is deleted, and no orders are sent. Also: status BUCKET [REGION], destroy BUCKET [REGION]."
)
ABOUT_STATUS = "Say what runs and how old the newest recording in the bucket is. Nothing is changed."
ABOUT_DESTROY = "Delete the box. The bucket and the box's disk stay."


class StatusSettings(BaseModel):
    """Which deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Bucket = Field(description="bucket that is recorded into")
    region: Region = Field(default="", description="AWS region, as it was given to deploy")


class DestroySettings(BaseModel):
    """Which deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Bucket = Field(description="bucket that is recorded into; it stays")
    region: Region = Field(default="", description="AWS region, as it was given to deploy")
    dry_run: bool = Field(default=False, description="say what would be deleted, and change nothing")


def status(settings: StatusSettings) -> dict[str, Any]:
    """What runs, and how old the newest recording in the bucket is.

    Raises:
        UsageError: no bucket of ours by that name.
        AwsRefused: AWS does not answer.
    """
    place = Place(settings.bucket, settings.region)
    stack = place.box()
    found: dict[str, Any] = {"bucket": place.bucket, "region": place.region, "stack": "none"}
    if stack is not None:
        parameters, instance = place.box_stack.parameters(), place.box_stack.outputs().get("Instance", "")
        found |= {
            "stack": stack["StackStatus"],
            "records": parameters["Flags"],
            "bundle": parameters["BundleKey"],
            "instance": instance,
            "box": state_of(instance) if instance else "none",
        }
    found["published_s_ago"] = place.published_s_ago() if place.has_bucket() else None
    return found | {"disks_left": place.disks_left()}


def destroy(settings: DestroySettings) -> dict[str, Any]:
    """Delete the box; bucket and disk stay.

    Raises:
        UsageError: no bucket of ours by that name.
        AwsRefused: AWS does not let us.
    """
    place = Place(settings.bucket, settings.region)
    is_there = place.box() is not None
    if is_there and not settings.dry_run:
        say(f"deleting stack {place.box_stack.name}")
        place.box_stack.delete()
    done = "was not there" if not is_there else "would be deleted" if settings.dry_run else "deleted"
    return {
        "region": place.region,
        "box": f"stack {place.box_stack.name} {done}",
        "bucket": f"s3://{place.bucket} stays, with all that was recorded",
        "disks_left": place.disks_left(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    jobs: dict[str, Callable[[list[str]], int]] = {
        "status": lambda rest: run_command(
            StatusSettings, status, rest, prog=f"{PROG} status", about=ABOUT_STATUS, show=show_status
        ),
        "destroy": lambda rest: run_command(
            DestroySettings, destroy, rest, prog=f"{PROG} destroy", about=ABOUT_DESTROY, show=show_destroy
        ),
    }
    if args and args[0] in jobs:
        return jobs[args[0]](args[1:])
    return run_command(DeploySettings, deploy, args, prog=PROG, about=ABOUT_DEPLOY, show=show_deploy)


if __name__ == "__main__":
    sys.exit(main())

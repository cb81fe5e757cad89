"""CloudFormation, as far as deploying needs it: bring a stack to a template, look at it, delete it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from observer.kit.errors import ToolkitError

TEMPLATES = Path(__file__).with_name("cloudformation")
# A stack in one of these holds nothing that an update could start from.
_STILLBORN = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS", "CREATE_FAILED", "DELETE_FAILED")
_WAIT = {"Delay": 5, "MaxAttempts": 360}  # half an hour


class AwsRefused(ToolkitError):
    """AWS, or the way to it, said no."""


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn what boto3 raises into an `AwsRefused` that says what was asked for."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise AwsRefused(f"{what}: AWS says {said.get('Code', 'Unknown')}: {said.get('Message', '')}") from error
    except BotoCoreError as error:
        raise AwsRefused(f"{what}: {error} Is AWS_PROFILE set, or `aws configure` done?") from error


class Stack:
    """One stack by its name.

    Args:
        client: a boto3 client of CloudFormation.
        name: of the stack, also where it does not exist yet.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client, self.name = client, name

    def look(self) -> dict[str, Any] | None:
        """What DescribeStacks says, or None where there is no such stack."""
        try:
            with asking(f"looking at stack {self.name}"):
                return self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except AwsRefused as error:
            if "does not exist" in str(error):
                return None
            raise

    def parameters(self) -> dict[str, str]:
        """The parameters of the stack as it is; {} where there is none."""
        return {p["ParameterKey"]: p["ParameterValue"] for p in (self.look() or {}).get("Parameters", [])}

    def outputs(self) -> dict[str, str]:
        """The outputs of the stack as it is; {} where there is none."""
        return {o["OutputKey"]: o["OutputValue"] for o in (self.look() or {}).get("Outputs", [])}

    def put(self, template: str, parameters: dict[str, str], *, keep: tuple[str, ...] = (), guard: bool = False) -> str:
        """Create the stack, or bring it to this template and these parameters; waits until that is done.

        Args:
            template: a file of the folder `cloudformation`.
            parameters: name -> value.
            keep: parameters that an existing stack keeps, whatever `parameters` says.
            guard: whether a new stack is protected from deletion.

        Returns:
            "created", "updated" or "unchanged".

        Raises:
            AwsRefused: it could not be done; the text says what failed first.
        """
        found = self.look()
        if found is not None and found["StackStatus"] in _STILLBORN:
            raise AwsRefused(
                f"stack {self.name} is left in {found['StackStatus']} by an earlier try. Look at its events, delete it "
                f"(aws cloudformation delete-stack --stack-name {self.name}) and deploy again."
            )
        kept = keep if found is not None else ()
        options: dict[str, Any] = {
            "StackName": self.name,
            "TemplateBody": (TEMPLATES / template).read_text(),
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [
                {"ParameterKey": name, "UsePreviousValue": True}
                if name in kept
                else {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
        }
        if found is None:
            with asking(f"creating stack {self.name}"):
                self._client.create_stack(**options, EnableTerminationProtection=guard, OnFailure="ROLLBACK")
            self._wait("stack_create_complete", "created")
            return "created"
        try:
            with asking(f"updating stack {self.name}"):
                self._client.update_stack(**options)
        except AwsRefused as error:
            if "No updates are to be performed" in str(error):
                return "unchanged"
            raise
        self._wait("stack_update_complete", "updated")
        return "updated"

    def delete(self) -> bool:
        """Delete it and wait until it is gone; returns whether there was one."""
        found = self.look()
        if found is None:
            return False
        with asking(f"deleting stack {self.name}"):
            self._client.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete", "deleted", found["StackId"])
        return True

    def _wait(self, waiter: str, what: str, stack_id: str = "") -> None:
        try:
            self._client.get_waiter(waiter).wait(StackName=stack_id or self.name, WaiterConfig=_WAIT)
        except WaiterError as error:
            raise AwsRefused(f"stack {self.name} could not be {what}: {self._first_failure() or error}") from error

    def _first_failure(self) -> str:
        """Why the last change failed: the event that went wrong first, "" where none did."""
        with asking(f"asking what happened to stack {self.name}"):
            events = self._client.describe_stack_events(StackName=self.name)["StackEvents"]
        why = ""
        for event in events:  # newest first
            if event["ResourceStatus"].endswith("_FAILED"):
                why = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
            elif event["LogicalResourceId"] == self.name and event.get("ResourceStatusReason") == "User Initiated":
                break
        return why

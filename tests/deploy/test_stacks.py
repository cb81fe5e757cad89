"""What is said when CloudFormation fails, held against answers as AWS words them."""

from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from deploy.stacks import AwsRefused, Stack

NAME = "mlx-rl-observer-recordings"
ID = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{NAME}/1"
MISSING = f"Stack with id {NAME} does not exist"


@pytest.fixture
def stubbed(no_aws: None) -> tuple[Stack, Stubber]:
    client = boto3.client(
        "cloudformation", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    return Stack(client, NAME), Stubber(client)


def stack(state: str) -> dict[str, Any]:
    return {"Stacks": [{"StackName": NAME, "StackId": ID, "StackStatus": state, "CreationTime": 0}]}


def event(n: int, what: str, state: str, why: str = "") -> dict[str, Any]:
    reason = {"ResourceStatusReason": why} if why else {}
    names = {"StackId": ID, "EventId": str(n), "StackName": NAME, "LogicalResourceId": what, "Timestamp": n}
    return {**names, "ResourceStatus": state, **reason}


def test_a_failed_creation_names_what_failed_first(stubbed: tuple[Stack, Stubber]) -> None:
    box, answers = stubbed
    answers.add_client_error("describe_stacks", "ValidationError", MISSING)
    answers.add_response("create_stack", {"StackId": ID})
    answers.add_response("describe_stacks", stack("ROLLBACK_COMPLETE"))
    newest_first = [
        event(5, NAME, "ROLLBACK_COMPLETE"),
        event(4, "Role", "CREATE_FAILED", "Resource creation cancelled"),
        event(3, "Box", "CREATE_FAILED", "You have reached your limit of vCPUs"),
        event(2, "Network", "CREATE_COMPLETE"),
        event(1, NAME, "CREATE_IN_PROGRESS", "User Initiated"),
        event(0, "Gateway", "CREATE_FAILED", "of an earlier try"),
    ]
    answers.add_response("describe_stack_events", {"StackEvents": newest_first})

    with answers, pytest.raises(AwsRefused, match=r"could not be created: Box: You have reached your limit of vCPUs"):
        box.put("bucket.yaml", {"Bucket": "recordings"})


@pytest.mark.parametrize("state", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED"])
def test_what_an_earlier_try_left_is_said_with_the_way_out(state: str, stubbed: tuple[Stack, Stubber]) -> None:
    box, answers = stubbed
    answers.add_response("describe_stacks", stack(state))

    with answers, pytest.raises(AwsRefused, match=f"left in {state}.*aws cloudformation delete-stack"):
        box.put("bucket.yaml", {"Bucket": "recordings"})


def test_an_update_keeps_what_it_is_told_to_keep(stubbed: tuple[Stack, Stubber]) -> None:
    box, answers = stubbed
    answers.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    kept, new = {"ParameterKey": "A", "UsePreviousValue": True}, {"ParameterKey": "B", "ParameterValue": "2"}
    sent = {"StackName": NAME, "TemplateBody": ANY, "Capabilities": ["CAPABILITY_IAM"], "Parameters": [kept, new]}
    answers.add_response("update_stack", {"StackId": ID}, sent)
    answers.add_response("describe_stacks", stack("UPDATE_COMPLETE"))

    with answers:
        assert box.put("bucket.yaml", {"A": "1", "B": "2"}, keep=("A",)) == "updated"


def test_nothing_to_update_is_no_failure(stubbed: tuple[Stack, Stubber]) -> None:
    box, answers = stubbed
    answers.add_response("describe_stacks", stack("UPDATE_COMPLETE"))
    answers.add_client_error("update_stack", "ValidationError", "No updates are to be performed.")

    with answers:
        assert box.put("bucket.yaml", {"Bucket": "recordings"}) == "unchanged"


def test_another_refusal_is_one(stubbed: tuple[Stack, Stubber]) -> None:
    box, answers = stubbed
    answers.add_client_error("describe_stacks", "AccessDenied", "User x is not authorized")

    with answers, pytest.raises(AwsRefused, match="AccessDenied: User x is not authorized"):
        box.look()

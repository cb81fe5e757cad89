"""What the templates promise: nothing comes in, the role can only add, the bucket outlives everything."""

import re
from typing import Any
from urllib.parse import urlsplit

from observer.capture.settings import ObserveSettings
from observer.venues.urls import URLS
from tests.deploy.rendered import ROOT, SAMPLE, template, user_data

# What each S3 operation needs, from AWS's list of actions. Parts are sent and joined under PutObject.
ACTION_OF = {
    "put_object": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "head_object": "s3:GetObject",
    "get_object": "s3:GetObject",
    "list_objects_v2": "s3:ListBucket",
}


def resources(kind: str, name: str = "observer.yaml") -> list[dict[str, Any]]:
    return [found["Properties"] for found in template(name)["Resources"].values() if found["Type"] == kind]


def statements(policy: str) -> list[dict[str, Any]]:
    (role,) = resources("AWS::IAM::Role")
    (document,) = [one["PolicyDocument"] for one in role["Policies"] if one["PolicyName"] == policy]
    return document["Statement"]


def actions(found: list[dict[str, Any]]) -> set[str]:
    listed = [one["Action"] for one in found]
    return {action for some in listed for action in ([some] if isinstance(some, str) else some)}


def test_nothing_may_come_in() -> None:
    kinds = {found["Type"] for found in template("observer.yaml")["Resources"].values()}
    (firewall,) = resources("AWS::EC2::SecurityGroup")

    assert "SecurityGroupIngress" not in firewall
    assert "AWS::EC2::SecurityGroupIngress" not in kinds
    assert "KeyName" not in resources("AWS::EC2::Instance")[0]


def test_what_may_go_out_is_what_the_venues_and_aws_need() -> None:
    (firewall,) = resources("AWS::EC2::SecurityGroup")
    opened = {rule["FromPort"] for rule in firewall["SecurityGroupEgress"] if rule["FromPort"] == rule["ToPort"]}
    needed = {urlsplit(url).port or 443 for url in URLS.values()}

    assert len(opened) == len(firewall["SecurityGroupEgress"])
    assert opened == needed
    assert all(urlsplit(url).scheme in ("https", "wss") for url in URLS.values())


def test_the_role_may_do_what_the_uploader_calls_and_no_more() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "observer/s3").glob("*.py"))
    called = set(re.findall(r'_call\(\s*"(\w+)"', source))

    assert len(called) > 5
    assert actions(statements("recording")) == {ACTION_OF[operation] for operation in called}


def test_the_uploaders_calls_go_through_one_door() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "observer/s3").glob("*.py"))

    assert "getattr(self._client, operation)(" in source
    assert re.findall(r"_client\.(?!meta)\w+\(", source) == []


def test_the_role_reaches_its_own_prefix_only() -> None:
    objects, listing = statements("recording")
    (bundle,) = statements("bundle")
    prefix = ObserveSettings.model_fields["s3_prefix"].default

    assert objects["Resource"] == {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::${{Bucket}}/{prefix}/*"}
    assert listing["Condition"] == {"StringLike": {"s3:prefix": f"{prefix}/*"}}
    assert bundle["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:s3:::${Bucket}/deploy/*"}
    assert actions([bundle]) == {"s3:GetObject"}  # what it is installed from it cannot change


def test_the_role_can_neither_delete_nor_read_the_accounts_secrets() -> None:
    allowed = actions([*statements("recording"), *statements("bundle"), *statements("shell")])

    assert not any("Delete" in action or "*" in action for action in allowed)
    assert not any(action.startswith(("ssm:Get", "secretsmanager:", "kms:", "iam:", "ec2:")) for action in allowed)
    assert all("ManagedPolicyArns" not in role for role in resources("AWS::IAM::Role"))


def test_the_box_keeps_its_credentials_to_itself_and_its_disk_for_us() -> None:
    (box,) = resources("AWS::EC2::Instance")
    (disk,) = box["BlockDeviceMappings"]

    assert box["MetadataOptions"] == {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["VolumeType"] == "gp3"
    assert disk["Ebs"]["DeleteOnTermination"] is False


def test_the_bucket_and_its_policy_outlive_their_stack() -> None:
    found = template("bucket.yaml")["Resources"]

    assert all(one["DeletionPolicy"] == one["UpdateReplacePolicy"] == "Retain" for one in found.values())


def test_the_bucket_is_private_encrypted_versioned_and_spoken_to_over_tls() -> None:
    (bucket,) = resources("AWS::S3::Bucket", "bucket.yaml")
    (policy,) = resources("AWS::S3::BucketPolicy", "bucket.yaml")
    (deny,) = policy["PolicyDocument"]["Statement"]

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(deny["Resource"]) == 2


def test_no_rule_of_the_bucket_deletes_a_recording() -> None:
    (bucket,) = resources("AWS::S3::Bucket", "bucket.yaml")
    rules = bucket["LifecycleConfiguration"]["Rules"]

    assert [rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in rules if len(rule) == 3][:1] == [
        7
    ]
    assert {rule["Prefix"] for rule in rules if "ExpirationInDays" in rule} == {"observer/_probe/"}
    tiers = [step["StorageClass"] for rule in rules for step in rule.get("Transitions", [])]
    assert tiers == ["STANDARD_IA", "GLACIER_IR"]  # both are read without waiting


def test_nobody_is_told_unless_an_address_is_given() -> None:
    found = template("observer.yaml")["Resources"]
    about_alarms = {"AWS::SNS::Topic", "AWS::CloudWatch::Alarm", "AWS::IAM::Policy"}

    assert all(one["Condition"] == "HasAlarm" for one in found.values() if one["Type"] in about_alarms)
    assert {one["Type"] for one in found.values() if "Condition" in one} == about_alarms


def test_a_silent_box_is_an_alarm() -> None:
    (alarm,) = resources("AWS::CloudWatch::Alarm")
    script = (ROOT / "deploy/payload/heartbeat.sh").read_text()

    assert alarm["TreatMissingData"] == "breaching"
    assert f"--namespace {alarm['Namespace']} --metric-name {alarm['MetricName']}" in script
    assert f'--dimensions "{alarm["Dimensions"][0]["Name"]}=$STACK"' in script


def test_user_data_holds_no_secret_and_names_the_bundle_by_its_hash() -> None:
    text = user_data()

    assert f"SHA256={SAMPLE['BundleSha256']}" in text
    assert "sha256sum --check" in text
    assert not re.search(r"(?i)private_key|secret|password|token", text)

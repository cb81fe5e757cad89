"""AWS as moto plays it, for one test."""

import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import box, bundle
from tests.deploy.aws_calls import Calls

REGION = "eu-west-1"


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, no settings, no metadata service."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """An empty account; yields the calls that were made to it."""
    pytest.importorskip("moto", reason="moto is not installed")
    _without_openapi(monkeypatch)
    from moto import mock_aws

    _with_route_tables(monkeypatch)

    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # a second a test
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws(), Calls() as calls, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tried to parse AWS::")  # moto knows neither policy nor alarm
        yield calls


@pytest.fixture
def small_bundle(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Bundles are made at once, of a few bytes: `content["tar"]`, which a test may change."""
    content = {"tar": b"what a box installs"}

    def build(folder: Path) -> bundle.Bundle:
        import hashlib

        path = folder / "bundle.tar"
        path.write_bytes(content["tar"])
        return bundle.Bundle(path, hashlib.sha256(content["tar"]).hexdigest(), "0.1.0+gabc1234")

    monkeypatch.setattr(box.bundle, "build", build)
    return content


def _without_openapi(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's CloudFormation loads its API Gateway, which wants a validator of API documents; nothing here has any."""
    name = "openapi_spec_validator"
    if name in sys.modules:
        return
    try:
        __import__(name)
    except ModuleNotFoundError:
        for part in (name, f"{name}.validation", f"{name}.validation.exceptions"):
            module = types.ModuleType(part)
            module.__dict__.update(__path__=[], validate_spec=None, OpenAPIValidationError=ValueError)
            monkeypatch.setitem(sys.modules, part, module)


def _with_route_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto leaves the route tables of a deleted stack standing, and then cannot delete its network."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.route_tables import RouteTable

    def delete(table: RouteTable, account: str, region: str) -> None:
        ec2_backends[account][region].delete_route_table(table.id)

    monkeypatch.setattr(RouteTable, "delete", delete, raising=False)

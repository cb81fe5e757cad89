"""What a deployment is made of, as the tools that check it want it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.decode import decode

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted([*(ROOT / "scripts").glob("*.sh"), *(DEPLOY / "payload").glob("*.sh")])
SAMPLE = {
    "AWS::StackName": "mlx-rl-observer-recordings",
    "AWS::Region": "eu-west-1",
    "Bucket": "recordings",
    "BundleKey": "deploy/0.1.0+gabc1234-0123456789abcdef.tar",
    "BundleSha256": "0123456789abcdef" * 4,
    "Flags": "--markets BTC,ETH --venues polymarket coinbase",
    "HasHeartbeat": "yes",
}


def template(name: str) -> dict[str, Any]:
    """A template of the folder `cloudformation`, its short forms (!Ref, !Sub) written out."""
    read, errors = decode(str(DEPLOY / "cloudformation" / name))
    assert not errors, errors
    return read  # type: ignore[return-value]


def user_data() -> str:
    """The cloud-config that a box gets, with the sample's values."""
    text, _ = template("observer.yaml")["Resources"]["Box"]["Properties"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    filled = re.sub(r"\$\{([A-Za-z0-9:]+)\}", lambda found: SAMPLE[found[1]], text)
    return filled.replace("${!", "${")


def boot_script() -> str:
    """What the box runs at every boot, as root, in /bin/sh."""
    (script,) = yaml.safe_load(user_data())["bootcmd"]
    return script


def written_at_boot(root: Path) -> None:
    """Run the boot script below another root, so that it writes its files there."""
    script = re.sub(r"(?<=[ >])/(etc|usr/local)/", rf"{root}/\1/", boot_script())
    for folder in ("etc/systemd/system", "usr/local/sbin"):
        (root / folder).mkdir(parents=True)
    subprocess.run(["sh", "-eu", "-c", script], check=True, timeout=30)


def tool(name: str, package: str) -> str:
    """The path of a program; skips the test where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; {package}")
    return found


def complaints(*command: str | Path) -> str:
    """What a checker says; "" where it says nothing and is content."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)
    said = (done.stdout + done.stderr).strip()
    return said or ("" if done.returncode == 0 else f"exit code {done.returncode}")

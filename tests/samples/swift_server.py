"""A real S3 server on loopback: OpenStack Swift with its S3 API, over HTTP or TLS.

Swift comes from pip into a side environment; memcached, which it needs, from the system. Four Swift processes and one
memcached run in a folder of their own on free ports and end with the block that started them.
"""

import contextlib
import datetime
import ipaddress
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.samples.side_env import side_env

SWIFT = "swift==2.38.3"
ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
START_S, STOP_S = 30.0, 5.0

# Runs a server with the configuration of our own folder; the kernel ends it with its parent. It yields to everything
# else, because a store shares no machine with who uses it.
_LAUNCH = """
import ctypes, importlib, os, sys
ctypes.CDLL(None).prctl(1, 15)
os.nice(10)
import swift.common.utils
swift.common.utils.set_swift_dir(sys.argv.pop(1))
sys.exit(importlib.import_module(sys.argv.pop(1)).main())
"""

# Makes the three rings: folder, then kind and port of each.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *rest = sys.argv[1:]
for kind, port in zip(rest[::2], rest[1::2]):
    ring = RingBuilder(4, 1, 1)
    device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1.0}
    ring.add_dev({**device, "replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{kind}.ring.gz")
"""

_SWIFT_CONF = "[swift-hash]\nswift_hash_path_suffix = loopback\n"

_COMMON = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_address = {folder}/no-log
log_level = ERROR
"""

_STORAGE = """[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging cache listing_formats s3api tempauth bulk slo dlo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""  # noqa: E501 - a pipeline is one line


@dataclass(frozen=True)
class SwiftServer:
    """Where it listens and who may come in; `ca` is the certificate to trust, None over HTTP."""

    endpoint: str
    port: int
    ca: Path | None


def why_absent() -> str | None:
    """Why Swift cannot run here, or None."""
    if sys.platform != "linux":
        return "Swift runs on Linux only: it is not installed here"
    return None if shutil.which("memcached") else "memcached is not installed (Debian: apt-get install memcached)"


@contextlib.contextmanager
def swift_server(folder: Path, *, tls: bool = False) -> Iterator[SwiftServer]:
    """Run a server with an empty store in `folder`, until the block ends."""
    python = side_env("swift", SWIFT)
    names = ("account", "container", "object", "proxy", "memcached")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    ca = make_certificate(folder) if tls else None
    _configure(folder, python, ports, ca)
    commands = [[str(python), "-c", _LAUNCH, str(folder), _module(kind), str(folder / f"{kind}.conf")]
                for kind in names[:4]]  # fmt: skip
    memcached = ["memcached", "-l", "127.0.0.1", "-p", str(ports["memcached"]), "-u", _user()]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "servers.log").open("ab"))
        for command in [memcached, *commands]:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
            stack.callback(_stop, process)
        scheme = "http" if ca is None else "https"
        server = SwiftServer(f"{scheme}://127.0.0.1:{ports['proxy']}", ports["proxy"], ca)
        _wait(list(ports.values()), folder / "servers.log")
        yield server


def _module(kind: str) -> str:
    return "swift.obj.server" if kind == "object" else f"swift.{kind}.server"


def _configure(folder: Path, python: Path, ports: dict[str, int], ca: Path | None) -> None:
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SWIFT_CONF)
    rings: list[str] = []
    for kind in ("account", "container", "object"):
        common = _COMMON.format(port=ports[kind], user=_user(), folder=folder)
        (folder / f"{kind}.conf").write_text(common + _STORAGE.format(kind=kind))
        rings += [kind, str(ports[kind])]
    subprocess.run([str(python), "-c", _RINGS, str(folder), *rings], check=True, capture_output=True, cwd=folder)
    common = _COMMON.format(port=ports["proxy"], user=_user(), folder=folder)
    if ca is not None:
        common += f"cert_file = {ca}\nkey_file = {ca.with_suffix('.key')}\n"
    (folder / "proxy.conf").write_text(common + _PROXY.format(memcached=ports["memcached"]))


def _user() -> str:
    import getpass

    return getpass.getuser()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(ports: list[int], log: Path) -> None:
    deadline = time.monotonic() + START_S
    for port in ports:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline:
                raise RuntimeError(f"Swift did not listen on {port} within {START_S} s:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)


def _stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key beside it; returns the certificate's path."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = folder / "tls.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    certificate.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate


def make_bucket(server: SwiftServer, name: str) -> None:
    """Create a bucket, asking again until the server has warmed up."""
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client(
        "s3", endpoint_url=server.endpoint, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1", verify=None if server.ca is None else str(server.ca),
    )  # fmt: skip
    deadline = time.monotonic() + START_S
    while True:
        try:
            client.create_bucket(Bucket=name)
            return
        except ClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)

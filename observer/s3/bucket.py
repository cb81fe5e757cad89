"""A bucket as the rest of this package sees it: put, head, read, list; every failure a `StoreError`.

The only file that imports boto3. AWS is spoken to with boto3's defaults. Any other store gets checksums only when
asked for: over TLS the default is a chunked body with a trailing checksum, which many stores refuse (411, 501).

Above botocore's own few retries nothing here tries again: see `observer.s3.uploader`.
"""

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from observer.kit.errors import UsageError
from observer.s3.address import Address
from observer.s3.errors import NOT_FOUND, LocalChanged, StoreError

CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS = 5.0, 30.0, 5
# A larger file goes up in parts: a broken connection then costs one part, and memory holds one.
PART_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20
_SKEW_ALLOWED_S = 900.0  # S3 refuses a clock that is further off
SHA256 = "sha256"  # the metadata name under which every object carries its hash


@dataclass(frozen=True, slots=True)
class Stored:
    """What HEAD says of an object; `sha256` is ours, `checksum` the store's own, each "" where there is none."""

    bytes: int
    sha256: str
    checksum: str


class Bucket:
    """One prefix of one bucket; safe to use from several threads.

    Args:
        address: bucket and prefix.
        endpoint_url: an S3 server other than AWS; None takes AWS_ENDPOINT_URL_S3 or AWS.

    Attributes:
        skew_s: the store's clock minus ours, to the second, at its last answer; None before the first.
    """

    def __init__(self, address: Address, endpoint_url: str | None = None) -> None:
        self.address = address
        self._client, self.is_aws = _client(endpoint_url)
        self.endpoint = str(self._client.meta.endpoint_url)
        self.skew_s: float | None = None

    def put(self, key: str, data: bytes, sha256: str, *, only_new: bool, checksum: str = "") -> None:
        """Store an object in one piece.

        Args:
            key: below the prefix.
            data: its bytes.
            sha256: their hash in hexadecimal, kept as metadata.
            only_new: ask the store to refuse (412) where the key is taken.
            checksum: hexadecimal SHA-256 for the store to check the bytes against; "" leaves it out.
        """
        options: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        if checksum:
            options["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(checksum)).decode()
        self._call("put_object", key, Body=data, Metadata={SHA256: sha256}, **options)

    def put_parts(self, key: str, path: Path, sha256: str, *, only_new: bool) -> None:
        """Store a large file in parts; nothing is there before the last step.

        Raises:
            LocalChanged: the file cannot be read, or its bytes are not those of `sha256`; the upload is given up.
        """
        upload = self._call("create_multipart_upload", key, Metadata={SHA256: sha256})["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            digest = hashlib.sha256()
            for block in _parts(path):
                digest.update(block)
                number = len(parts) + 1
                answer = self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=block)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            if digest.hexdigest() != sha256:
                raise LocalChanged(path, "is not as listed: its SHA-256 differs")
            options: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
            self._call("complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts}, **options)
        except (StoreError, LocalChanged):
            self._give_up(key, upload)
            raise

    def head(self, key: str) -> Stored | None:
        """What is known of an object, or None where there is none."""
        try:
            answer = self._call("head_object", key, ChecksumMode="ENABLED")
        except StoreError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return Stored(answer["ContentLength"], metadata.get(SHA256, ""), answer.get("ChecksumSHA256", ""))

    def read(self, key: str) -> Iterator[bytes]:
        """An object's bytes, block by block."""
        body = self._call("get_object", key)["Body"]
        with self._named("get_object", key):
            yield from body.iter_chunks(_BLOCK_BYTES)

    def read_whole(self, key: str) -> bytes:
        """A small object's bytes."""
        return b"".join(self.read(key))

    def names(self, folder: str, after: str = "") -> list[str]:
        """Names of the objects right below a folder, sorted; only those that sort after `after` if it is given."""
        start = self.address.key(f"{folder}/")
        found: list[str] = []
        more: dict[str, Any] = {"StartAfter": start + after} if after else {}
        while True:
            answer = self._call("list_objects_v2", None, Prefix=start, **more)
            found += [item["Key"].removeprefix(start) for item in answer.get("Contents", [])]
            if not answer.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def _give_up(self, key: str, upload: str) -> None:
        """Drop the parts that were sent; where even that fails the bucket's lifecycle drops them after days."""
        try:
            self._call("abort_multipart_upload", key, UploadId=upload)
        except StoreError:
            return

    def _call(self, operation: str, key: str | None, **options: Any) -> dict[str, Any]:
        if key is not None:
            options["Key"] = self.address.key(key)
        with self._named(operation, key):
            answer = getattr(self._client, operation)(Bucket=self.address.bucket, **options)
            self._note_clock(answer)
            return answer

    def _note_clock(self, answer: dict[str, Any]) -> None:
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self.skew_s = parsedate_to_datetime(date).timestamp() - time.time()

    def _named(self, operation: str, key: str | None) -> "_Named":
        return _Named(self, f"{operation} {self.address}" + ("" if key is None else f"/{key}"))


class _Named:
    """Turns what botocore raises into a `StoreError` that names the operation and the object."""

    def __init__(self, bucket: Bucket, what: str) -> None:
        self.bucket, self.what = bucket, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            self.bucket._note_clock(dict(error.response))
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = said.get("Code", "Unknown")
            if code == "403" and abs(self.bucket.skew_s or 0.0) > _SKEW_ALLOWED_S:
                code = "RequestTimeTooSkewed"  # an answer to HEAD has no room for the reason
            raise StoreError(self.what, code, status, said.get("Message", "")) from error
        if isinstance(error, BotoCoreError):
            raise StoreError(self.what, type(error).__name__, 0, str(error)) from error


def _parts(path: Path) -> Iterator[bytes]:
    """A local file in parts; raises `LocalChanged` where it cannot be read."""
    try:
        with path.open("rb") as file:
            while block := file.read(PART_BYTES):
                yield block
    except OSError as error:
        raise LocalChanged(path, f"cannot be read: {error.strerror}") from error


def _client(endpoint_url: str | None) -> tuple[Any, bool]:
    """A client for the endpoint, and whether that is AWS."""
    import boto3.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    common: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        "tcp_keepalive": True,
    }
    asked = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    try:
        session = boto3.session.Session()  # not the shared one, which keeps what the environment said when it was made
        client = session.client("s3", endpoint_url=endpoint_url, config=Config(**common))
        if _is_aws(client.meta.endpoint_url):
            return client, True
        region = "us-east-1" if client.meta.region_name == "aws-global" else client.meta.region_name
        config = Config(**common, **asked)
        return session.client("s3", endpoint_url=client.meta.endpoint_url, region_name=region, config=config), False
    except (BotoCoreError, ValueError) as error:  # a profile that is not there, an endpoint that is no URL
        raise UsageError(
            f"the S3 client cannot be made: {error}. Check --endpoint-url and the AWS_ settings."
        ) from error


def _is_aws(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

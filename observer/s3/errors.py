"""What a store or the way to it said no to, by a short code, with the way out.

The uploader counts these codes and tries again for ever; `sync` shows the text and ends.
"""

import re
from pathlib import Path

from observer.kit.errors import ToolkitError

NOT_FOUND, CONFLICT, PRECONDITION, NOT_IMPLEMENTED = 404, 409, 412, 501
# A store may call an error anything; what becomes a label in metrics stays short and plain.
_CODE = re.compile(r"[A-Za-z0-9]{1,48}")

_WAY_OUT: dict[str, str] = {
    "AccessDenied": "Allow s3:PutObject and s3:GetObject below the prefix and s3:ListBucket on the bucket.",
    "403": "Allow s3:PutObject and s3:GetObject below the prefix and s3:ListBucket on the bucket.",
    "ConnectTimeoutError": "Nothing answers there: check the endpoint, the network and the security group.",
    "EndpointConnectionError": "Nothing answers there: check --endpoint-url and the network.",
    "ExpiredToken": "The credentials ran out; a role renews them by itself, others must be set anew.",
    "InvalidAccessKeyId": "The store does not know this key: check the credentials in the environment.",
    "MissingContentLength": "The store wants a Content-Length: pass --endpoint-url, so that it is treated as no AWS.",
    "NoCredentialsError": "Give credentials: an instance role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret.",
    "NoSuchBucket": "Create the bucket, or name another one.",
    "NotImplemented": "The store lacks something that is needed: pass --endpoint-url, so that it is treated as no AWS.",
    "PermanentRedirect": "The bucket lies in another region: set AWS_REGION to it.",
    "RequestTimeTooSkewed": "Set this machine's clock (chrony); the store refuses a clock that is off.",
    "SignatureDoesNotMatch": "The secret key is not the one of this access key: check the credentials.",
    "SSLError": "The store's certificate is not trusted: set AWS_CA_BUNDLE to the file of its authority.",
}


class StoreError(ToolkitError):
    """A request to the bucket failed.

    Attributes:
        code: the store's or the library's name for it.
        status: the HTTP status, 0 where there was no answer.
    """

    def __init__(self, what: str, code: str, status: int = 0, said: str = "") -> None:
        self.code = code if _CODE.fullmatch(code) else "Unknown"
        self.status = status
        way_out = _WAY_OUT.get(self.code, "")
        text = ": ".join(
            part for part in (what, self.code, said.strip().splitlines()[0] if said.strip() else "") if part
        )
        super().__init__(f"{text.rstrip('.')}." + (f" {way_out}" if way_out else ""))


class LocalChanged(ToolkitError):
    """A local file is not, or no longer, what its manifest says: it is not sent.

    Attributes:
        why: what is wrong, as a sentence that begins after the file's name.
    """

    def __init__(self, path: Path, why: str) -> None:
        self.why = why
        super().__init__(f"{path} {why}.")


class Damaged(ToolkitError):
    """Files were damaged before they could be sent; all others are where they belong."""


class OtherRecording(ToolkitError):
    """What lies in one place is no earlier state of what lies in the other: going on would hide recorded data."""

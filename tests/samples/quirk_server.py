"""An S3 server with the bad manners of real ones, for what well-behaved ones never show.

`quirks` may hold:
    501           a conditional PUT is not implemented
    ignore        the condition of a PUT is ignored, the object overwritten
    411           a chunked body is refused
    503           SlowDown, to everything
    200-error     a PUT answers 200 with an error in its body and stores nothing
    swallow       a PUT answers 200 and stores nothing
    400-checksum  a checksum header is refused
    no-metadata   metadata is forgotten
    check         a wrong checksum is refused, which is no bad manner
"""

import base64
import contextlib
import hashlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class QuirkServer:
    """Objects in memory behind one port of loopback; signatures are not checked.

    Attributes:
        objects: path -> (bytes, metadata headers).
        quirks: what it does wrong now.
        puts: how many PUTs were answered.
    """

    def __init__(self, *quirks: str, certificate: Path | None = None) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.quirks = set(quirks)
        self.puts = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self}))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.endpoint = f"http{'' if certificate is None else 's'}://127.0.0.1:{self.port}"

    def __enter__(self) -> "QuirkServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
    store: QuirkServer

    def do_PUT(self) -> None:
        quirks, path = self.store.quirks, unquote(urlsplit(self.path).path)
        self.store.puts += 1
        if "411" in quirks and "Content-Length" not in self.headers:
            self.close_connection = True
            return self._error(411, "MissingContentLength")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "503" in quirks:
            return self._error(503, "SlowDown")
        if "501" in quirks and "If-None-Match" in self.headers:
            return self._error(501, "NotImplemented")
        if "400-checksum" in quirks and "x-amz-checksum-sha256" in self.headers:
            return self._error(400, "InvalidRequest")
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if "check" in quirks and self.headers.get("x-amz-checksum-sha256", digest) != digest:
            return self._error(400, "BadDigest")
        if "200-error" in quirks:
            return self._error(200, "InternalError")
        if "swallow" in quirks:
            return self._answer(200, b"", {})
        if "ignore" not in quirks and "If-None-Match" in self.headers and path in self.store.objects:
            return self._error(412, "PreconditionFailed")
        keeps = "no-metadata" not in quirks
        metadata = {k: v for k, v in self.headers.items() if keeps and k.lower().startswith("x-amz-meta-")}
        self.store.objects[path] = body, metadata
        return self._answer(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        if "503" in self.store.quirks:
            return self._error(503, "SlowDown")
        if "list-type" in query:
            return self._list(unquote(where.path).strip("/"), query.get("prefix", ""), query.get("start-after", ""))
        found = self.store.objects.get(unquote(where.path))
        return self._error(404, "NoSuchKey") if found is None else self._answer(200, *found)

    do_HEAD = do_GET

    def handle(self) -> None:
        """Serve a connection; that a client is cut off is no news in these tests."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def _list(self, bucket: str, prefix: str, after: str) -> None:
        keys = sorted(path.removeprefix(f"/{bucket}/") for path in list(self.store.objects))
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>"
            for key in keys
            if key.startswith(prefix) and key > after
        )
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode(), {})

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode(), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

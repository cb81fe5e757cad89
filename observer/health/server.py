"""`/health` and `/metrics` over HTTP on the loopback interface, in a thread of its own.

Read only. The thread sees finished snapshots, never the recorder's live tables. A request that names another host than
this machine is refused, so that a page in a browser cannot reach it by a name that it made point here.
"""

import json
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import generate_latest

from observer.health.metrics import registry
from observer.health.verdict import complaints
from observer.kit.console import finite
from observer.kit.errors import UsageError

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 5.0

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not news."""


class HealthServer:
    """Serves the newest status.

    Args:
        port: on the loopback interface; 0 picks a free one.
        read: returns the newest status, an object that nobody changes any more; {} before the first.

    Raises:
        UsageError: the port is taken.
    """

    def __init__(self, port: int, read: Callable[[], dict[str, Any]]) -> None:
        self._read, self._registry = read, registry(read)
        try:
            self._server = make_server(HOST, port, self._answer, _Server, _Quiet)
        except OSError as error:
            raise UsageError(
                f"--health-port {port}: {error.strerror}. Pass another port, or 0 for a free one."
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        host = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0]
        path = environ["PATH_INFO"]
        if host not in _NAMES:
            return _reply(start, "403 Forbidden", "text/plain", b"this host only\n")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _reply(start, "405 Method Not Allowed", "text/plain", b"read only\n")
        if path == "/metrics":
            return _reply(start, "200 OK", "text/plain; version=0.0.4", generate_latest(self._registry))
        if path == "/health":
            status = self._read()
            wrong = complaints(status) if status else ["no status yet"]
            body = json.dumps(finite({"healthy": not wrong, "complaints": wrong, **status}), indent=1).encode()
            return _reply(start, "503 Service Unavailable" if wrong else "200 OK", "application/json", body)
        return _reply(start, "404 Not Found", "text/plain", b"/health or /metrics\n")


def _reply(start: Callable[..., Any], status: str, kind: str, body: bytes) -> list[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")])
    return [body]

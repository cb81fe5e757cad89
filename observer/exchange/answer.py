"""A JSON answer."""

from typing import Any

from aiohttp import web

from observer.exchange.wire import json_bytes


def answer(value: Any, status: int = 200) -> web.Response:
    """The value as compact JSON."""
    return web.Response(body=json_bytes(value), status=status, content_type="application/json")

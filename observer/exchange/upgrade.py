"""From a request to a connection."""

from aiohttp import web

from observer.exchange.floor import Floor
from observer.exchange.peer import Peer

_MOST_REQUEST_BYTES = 4 << 20


async def accept(floor: Floor, venue: str, stream: str, request: web.Request) -> tuple[Peer, web.WebSocketResponse]:
    """Shake hands. Pings and closes are ours to answer, so that faults can keep them back.

    Raises:
        web.HTTPBadRequest: the request asks for no WebSocket.
    """
    ws = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=_MOST_REQUEST_BYTES)
    if not ws.can_prepare(request).ok:
        raise web.HTTPBadRequest(text=f"{request.path} speaks WebSocket only.")
    await ws.prepare(request)
    return Peer(floor, venue, stream, request, ws), ws

"""Telling systemd how the service does: one datagram to the socket that it names, and nothing where it names none.

`Type=notify` waits for READY=1; `WatchdogSec=` ends a service that has not said WATCHDOG=1 for that long. So
`alive()` belongs into the loop whose standstill must be noticed, never into a timer of its own.
"""

import os
import socket

from observer.kit import log

SOCKET = "NOTIFY_SOCKET"
_LOG = log.get("notify")


def ready() -> bool:
    """The start is over; returns whether somebody heard it."""
    return _tell("READY=1")


def alive() -> bool:
    """Another round of the loop that matters is done; returns whether somebody heard it."""
    return _tell("WATCHDOG=1")


def stopping() -> bool:
    """The stop has begun; returns whether somebody heard it."""
    return _tell("STOPPING=1")


def _tell(message: str) -> bool:
    """Send without waiting: a message that systemd does not take is said and lost, the recording goes on."""
    address = os.environ.get(SOCKET)
    if not address:
        return False
    if address.startswith("@"):  # an abstract name
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(message.encode(), address)
    except OSError as error:
        _LOG.warning("systemd did not take %s: %s", message, error)
        return False
    return True

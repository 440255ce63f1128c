"""How many bytes of a connection the other side has not acknowledged yet.

The one module that knows ``fcntl`` and ``termios``. Linux tells (SIOCOUTQ, tcp(7)); elsewhere the answer is None.
"""

from __future__ import annotations

import socket
import struct
import sys

if sys.platform == "linux":
    import fcntl
    import termios


def unacknowledged(connection: socket.socket) -> int | None:
    """Bytes that were handed to the kernel and not acknowledged, or None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return None
    waiting: int = struct.unpack("i", answer)[0]
    return waiting

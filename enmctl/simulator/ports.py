"""A place on loopback that stays one board's own, also while nobody listens there."""

from __future__ import annotations

import socket
import sys

RECEIVE_BUFFER = 4096
"""Bytes; the kernel doubles it. The chip's window is two to four segments (lwIP), so a sender soon waits for it."""
SEGMENT = 1460
"""Bytes of a segment over Wi-Fi; loopback's own would be larger than the whole window."""

HOLDS = sys.platform == "linux"
"""Elsewhere a bound socket that does not listen may take connections away from the one that does."""


class HeldPort:
    """A port on one address, taken once; a socket that listens on it can be had again and again.

    Args:
        address: an address of loopback.
        port: 0 takes a free one.

    Raises:
        OSError: it is taken.
    """

    def __init__(self, address: str, port: int = 0) -> None:
        self._holder = self._bound(address, port)
        self.address: str = address
        self.port: int = self._holder.getsockname()[1]
        if not HOLDS:
            self._holder.close()

    def listener(self) -> socket.socket:
        """A fresh socket that is bound here, with the buffer of a small chip; the caller closes it."""
        listener = self._bound(self.address, self.port)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if sys.platform == "linux":  # others let a socket's segments be made no larger than they are at first
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        return listener

    def release(self) -> None:
        """Leave the port to others."""
        self._holder.close()

    @staticmethod
    def _bound(address: str, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if HOLDS:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((address, port))
        except BaseException:
            bound.close()
            raise
        return bound

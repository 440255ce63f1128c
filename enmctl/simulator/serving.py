"""Serving an ASGI application on loopback, by a socket that can be shut and opened again.

uvicorn's own ``Server`` takes over signals and ends requests politely. A simulator must do neither: it runs inside
other programs, and it has to lose answers. So uvicorn's HTTP protocol is put on a socket of our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from typing import Any, Self, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from enmctl.errors import BusyError
from enmctl.gateway.api.accepting import stop_accepting

TRANSPORT = "enmctl.transport"
"""Where the scope of a request holds the connection's transport."""

CLOSE_TIMEOUT = 5.0
"""Seconds within which running requests must have ended once their connections were dropped."""

_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""``SO_LINGER`` on, for zero seconds: closing sends RST."""


class Listener:
    """One ASGI application on one address of this machine.

    The port stays reserved while the listener is shut: nobody else gets it, and whoever connects is refused.

    Args:
        app: the application; it finds the connection's transport in ``scope[TRANSPORT]``.
        host: the address to bind, loopback by default.
        port: the port; 0 takes a free one, which stays the same from then on.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._config = Config(
            _ended_quietly(app), log_config=None, access_log=False, lifespan="off", ws="none", proxy_headers=False
        )
        self._state = ServerState()
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port, once opened for the first time."""
        return self._port

    @property
    def url(self) -> str:
        """``http://host:port``."""
        return f"http://{self._host}:{self._port}"

    @property
    def listening(self) -> bool:
        """Whether connections are accepted now."""
        return self._server is not None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; does nothing where it already does.

        Raises:
            BusyError: the port is another program's, or may not be used.
        """
        if self._server is not None:
            return
        bound = self._reserved or self._bind()
        self._reserved = None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=bound)

    async def shut(self) -> None:
        """Drop all connections and refuse new ones; the port stays ours."""
        if self._server is None:
            return
        await self.close()
        self._reserved = self._bind()

    async def close(self) -> None:
        """Drop all connections, end their requests and let the port go."""
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        if self._server is None:
            return
        server, self._server = self._server, None
        await stop_accepting(server)
        for connection in list(self._state.connections):
            cast("H11Protocol", connection).transport.abort()
        await asyncio.sleep(0)
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With the protocol named, asyncio switches Nagle's algorithm off: else each answer waits 40 ms for an ACK.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self._port))
        except OSError as error:
            bound.close()
            raise BusyError(
                f"port {self._port} of {self._host} cannot be listened on ({error.strerror})",
                remedy="take another one; 0 takes a free one",
                reason="port",
            ) from error
        self._port = bound.getsockname()[1]
        return bound

    def _protocol(self) -> asyncio.Protocol:
        return _Connection(self._config, self._state, {})


class _Connection(H11Protocol):
    """uvicorn's protocol, which also shows the application its transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.logger = logging.getLogger("enmctl.simulator.http")
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


def _ended_quietly(app: ASGIApp) -> ASGIApp:
    """The application, which ends without a word when its listener is closed under it."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet


async def until_gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def drop(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """End the connection at once, without an answer or in the middle of one: with FIN, or with RST where ``reset``.

    What was already handed to the kernel still arrives; what waits in buffers does not, see ``unbuffered``.
    """
    transport: asyncio.Transport = scope[TRANSPORT]
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
    await until_gone(receive)


def unbuffered(scope: Scope) -> None:
    """From now on a ``send`` waits until the kernel has taken all that was sent before it."""
    transport: asyncio.Transport = scope[TRANSPORT]
    transport.set_write_buffer_limits(high=0)

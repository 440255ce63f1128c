"""Serving the HTTP API in the gateway's own loop, with uvicorn's protocol on a socket of our own.

uvicorn's ``Server`` takes over signals, looks only ten times a second whether it is to end, and ends the process where
a port is taken. A gateway handles its signals itself, and tells a person what to do about the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import Final, Self, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from enmctl.errors import BusyError, SettingError
from enmctl.gateway.api.accepting import stop_accepting
from enmctl.gateway.api.app import make_app
from enmctl.gateway.api.auth import check_exposure
from enmctl.gateway.api.connection import Connection
from enmctl.gateway.control import Control
from enmctl.settings import Settings

__all__ = ["ApiServer", "check_exposure"]

CONNECTIONS_MOST: Final = 500
"""Connections at once; a few further ones are told 503, all others are closed. A process may usually have 1024
descriptors."""

KEEP_ALIVE: Final = 15
"""Seconds that an idle connection is kept."""

HEAD_MOST: Final = 64 << 10
"""Bytes of a request's head."""

STOP_GRACE: Final = 0.3
"""Seconds that running requests have to end when the API is closed."""

CANCEL_GRACE: Final = 0.4
"""Seconds that they have to end once they were cut off."""


class ApiServer:
    """The HTTP API on the address that the settings name, within its context.

    Raises (on entering):
        BusyError: the port is taken (reason ``port-taken``).
        SettingError: the API would be open to the network, or the address is not this machine's.

    Args:
        control: the gateway.
        settings: host, port and token.
    """

    def __init__(self, control: Control, settings: Settings) -> None:
        self._control = control
        self._settings = settings
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._port = settings.api_port

    @property
    def port(self) -> int:
        """The port; the one that was taken where the settings say 0."""
        return self._port

    @property
    def address(self) -> str:
        """Where a program on this machine reaches the API, like ``http://127.0.0.1:1337``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.api_host, self._settings.api_host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        check_exposure(self._settings)
        logging.getLogger("uvicorn.error").setLevel(
            logging.ERROR
        )  # a warning a bad request is more than a log can take
        config = Config(
            _ended_quietly(make_app(self._control, self._settings)),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=Connection,
            ws="none",
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MOST,
            timeout_keep_alive=KEEP_ALIVE,
            h11_max_incomplete_event_size=HEAD_MOST,
        )
        config.load()
        bound = _bound(self._settings.api_host, self._settings.api_port)
        self._port = bound.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(config, self._state, {}), sock=bound)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        await stop_accepting(server)
        for connection in self._connections():
            connection.shutdown()
        await self._tasks_ended(STOP_GRACE)
        for connection in self._connections():
            connection.transport.abort()
        await asyncio.sleep(0)
        for task in list(self._state.tasks):
            task.cancel()
        await self._tasks_ended(CANCEL_GRACE)

    def _connections(self) -> list[Connection]:
        return [cast("Connection", connection) for connection in self._state.connections]

    async def _tasks_ended(self, seconds: float) -> None:
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=seconds)


def _bound(host: str, port: int) -> socket.socket:
    """A listening address.

    Raises:
        BusyError: the port is taken.
        SettingError: there is no such address here, or this user may not have the port.
    """
    try:
        family, kind, protocol, _, address = _resolved(host, port)
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unusable(host, error) from None
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise BusyError(
                f"another program listens on port {port} of {host}",
                remedy="end it, or give the HTTP API another port by ENM_API_PORT; 0 takes a free one",
                reason="port-taken",
            ) from None
        if error.errno == errno.EACCES:
            raise SettingError(
                f"this user may not listen on port {port}", remedy="give the HTTP API another one by ENM_API_PORT"
            ) from None
        raise _unusable(host, error) from None
    return bound


def _resolved(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    """What the host and port mean to a socket; IPv4 where a name stands for both."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
    family, kind, protocol, name, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, kind, protocol, name, address


def _unusable(host: str, error: OSError) -> SettingError:
    return SettingError(
        f"the HTTP API cannot listen on {host} ({error.strerror or error})",
        remedy="set ENM_API_HOST to an address of this machine, like 127.0.0.1",
        reason="api-host",
    )


def _ended_quietly(app: ASGIApp) -> ASGIApp:
    """The application, which ends without a word when the server is closed under it."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet

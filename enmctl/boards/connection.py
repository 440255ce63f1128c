"""One TCP connection to a board, and one question over it.

Sockets are used bare: an upload has to read an answer that comes while it still sends (even when sending has failed
already), to know what the board has acknowledged, and to leave nothing open, however it ends.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from enmctl.boards.http_answer import AnswerReader, HttpAnswer, NotHttpError
from enmctl.boards.send_queue import unacknowledged
from enmctl.errors import OfflineError, RefusedError

LOG = logging.getLogger(__name__)

SEND_BUFFER: Final = 16 * 1024
"""Bytes that the kernel holds back for us: few, so that what was sent is close to what has arrived."""

LINGER_NOT: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER on and 0 seconds: closing drops what was not sent and resets the connection."""

RECEIVE_CHUNK: Final = 4096

KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 9}
"""Seconds of silence before the other side is asked, seconds between two such questions, and how many stay unanswered.

A board that started anew in the meantime answers with a reset, and nobody waits for an answer that will not come.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a board is: its addresses or host names, the best first, and its port."""

    addresses: tuple[str, ...]
    port: int

    def __str__(self) -> str:
        return self.authority(self.addresses[0]) if self.addresses else "nowhere"

    def authority(self, address: str) -> str:
        """``address`` as it stands in a URL and in the Host header: brackets around IPv6, no scope, port unless 80."""
        bare = address.partition("%")[0]
        host = f"[{bare}]" if ":" in bare else bare
        return host if self.port == 80 else f"{host}:{self.port}"  # noqa: PLR2004 - HTTP's own port


class Target(NamedTuple):
    """What a socket needs to connect, as getaddrinfo gives it."""

    family: socket.AddressFamily
    kind: socket.SocketKind
    protocol: int
    name: Any


class LostError(Exception):
    """The connection ended before the answer; ``args[0]`` is a word for how ("reset", "closed", "silent")."""


class Connection:
    """An open connection; a context that closes it."""

    def __init__(self, sock: socket.socket, authority: str) -> None:
        self._socket = sock
        self.authority = authority
        self._reader = AnswerReader()

    @classmethod
    async def open(cls, place: Place, limit: float, *, send_buffer: int | None = None) -> Self:
        """Connect to the first address that takes it; each gets an equal share of ``limit`` seconds.

        Raises:
            OfflineError: none did; ``reason`` is "connection-refused" where one said so, else "no-connection".
        """
        failures: list[tuple[str, OSError]] = []
        targets = await _resolved(place, limit, failures)
        for address, target in targets:
            try:
                async with asyncio.timeout(limit / len(targets)):
                    sock = await _connected(target, send_buffer)
            except OSError as error:
                failures.append((address, error))
            else:
                return cls(sock, place.authority(address))
        refused = any(isinstance(error, ConnectionRefusedError) for _, error in failures)
        is_unknown = bool(failures) and all(isinstance(error, socket.gaierror) for _, error in failures)
        how = "; ".join(f"{place.authority(address)}: {_how(error)}" for address, error in failures)
        raise OfflineError(
            f"nothing answers there ({how or 'no address is known'})",
            remedy="check how the name is spelt, or name the board by its IP address"
            if is_unknown
            else "check that the board has power and is in range",
            reason="connection-refused" if refused else "no-connection",
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(abruptly=kind is not None)

    def close(self, *, abruptly: bool = False) -> None:
        """Close the connection; ``abruptly`` drops what was not sent and resets it, so that nobody waits for more."""
        if abruptly and self._socket.fileno() >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self._socket.close()

    async def send(self, data: bytes) -> None:
        """Hand ``data`` to the kernel; returns once it took all of it.

        Raises:
            OSError: the connection is gone.
        """
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def unacknowledged(self) -> int | None:
        """Bytes sent that the board has not acknowledged, or None where the system does not tell."""
        return unacknowledged(self._socket)

    async def answer(self) -> HttpAnswer:
        """Wait for the whole answer.

        Raises:
            LostError: the connection ended before it.
            NotHttpError: what came is no HTTP answer.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(self._socket, RECEIVE_CHUNK)
            except OSError as error:
                LOG.debug("%s: %s", self.authority, error)
                raise LostError("reset") from None
            answer = self._reader.feed(data) if data else self._reader.end()
            if answer is not None:
                return answer
            if not data:
                raise LostError("closed")


async def _resolved(place: Place, limit: float, failures: list[tuple[str, OSError]]) -> list[tuple[str, Target]]:
    """Each address with what a socket needs to connect to it; a name may stand for several, or for none."""
    targets = []
    for address in place.addresses:
        try:
            if _is_address(address):
                found = socket.getaddrinfo(address, place.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            else:
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(limit):
                    found = await loop.getaddrinfo(address, place.port, type=socket.SOCK_STREAM)
        except OSError as error:
            failures.append((address, error))
        else:
            targets += [(address, Target(family, kind, protocol, name)) for family, kind, protocol, _, name in found]
    return targets


async def _connected(target: Target, send_buffer: int | None) -> socket.socket:
    """A connected socket that does not block."""
    sock = socket.socket(target.family, target.kind, target.protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if send_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        await asyncio.get_running_loop().sock_connect(sock, target.name)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _how(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "this name is not known"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, getattr(errno, "EHOSTDOWN", None)):
        return "not reachable"
    return (error.strerror or str(error)).lower()


async def ask(
    place: Place, method: str, path: str, limit: float, *, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> HttpAnswer:
    """Ask a board one thing over a connection of its own.

    Args:
        place: where it is.
        method: the HTTP method.
        path: the path, already fit for a request line.
        limit: seconds for the connection, and as many again for the answer.
        headers: further headers; a body needs its Content-Type.
        body: what to send along.

    Raises:
        OfflineError: nothing answers ("connection-refused", "no-connection"), or a connection stands and no answer
            comes ("silent", "reset").
        RefusedError: what answers does not speak HTTP ("not-http").
    """
    async with await Connection.open(place, limit) as connection:
        request = _request(method, path, connection.authority, {**(headers or {})}, body)
        try:
            async with asyncio.timeout(limit):
                return await _exchange(connection, request)
        except TimeoutError:
            raise _silent(place, limit) from None
        except LostError:
            raise OfflineError(
                f"{place} dropped the connection instead of answering",
                remedy="it is busy or restarts, try again",
                reason="reset",
            ) from None
        except NotHttpError as error:
            raise not_http(place, error) from None


async def _exchange(connection: Connection, request: bytes) -> HttpAnswer:
    try:
        await connection.send(request)
    except OSError:
        LOG.debug("%s did not take all of the question", connection.authority)
    return await connection.answer()


def _request(method: str, path: str, host: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = {"Host": host, "Connection": "close", **headers}
    if body or method != "GET":
        lines["Content-Length"] = str(len(body))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("latin-1") + b"\r\n" + body


def _silent(place: Place, limit: float) -> OfflineError:
    return OfflineError(
        f"{place} takes connections and answered nothing for {limit:g} s",
        remedy="an upload that broke off can hang its web server for good, switch the board off and on",
        reason="silent",
    )


def not_http(place: Place, error: NotHttpError) -> RefusedError:
    """What to say of something that answers and does not speak HTTP."""
    return RefusedError(
        f"{place} does not speak HTTP, it says {error.args[0]!r}",
        remedy="check the address and the port",
        reason="not-http",
    )

"""The web server of an ESP8266, with its habits: one client at a time, naive parsing, a window of a few kilobytes.

What a client must get right with the real one it must get right here too. The rules are those of ``ESP8266WebServer``
(``Parsing-impl.h`` of the ESP8266 core for Arduino), seen from outside:

- a multipart body starts with its first boundary; of a part's headers only ``Content-Type`` may follow
  ``Content-Disposition``, and whatever else does is taken for data;
- the boundary is what follows the first ``=`` of the request's ``Content-Type``;
- chunked bodies are not known, other bodies must fit into the heap, and the length of a form is not looked at;
- a form that goes silent is waited for without end.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

WINDOW = 4096
"""Bytes that a connection takes in before its reader asks for them."""
LONGEST_LINE = 2048
KEEP_ALIVE = 2.0
"""Seconds that a connection is kept after an answer."""
BODY_WAIT = 5.0
"""Seconds without a byte until a line or a plain body is given up."""
HEAP = 16 * 1024
"""Bytes of a plain body that still fit into the heap."""
ESTABLISHED = 1  # tcp(7): the first byte of struct tcp_info

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Payload Too Large",
    500: "Internal Server Error",
}


class DroppedError(Exception):
    """The server lets a connection go without an answer."""


class Connection(asyncio.Protocol):
    """One TCP connection; what its reader does not take stays in the kernel, and so with the sender."""

    def __init__(self, made: Callable[[Connection], None]) -> None:
        self.buffer = bytearray()
        self.closed = False
        self._made = made
        self._ended = False
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream server makes no other
        self._transport = transport
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.buffer += data
        if self._transport is not None and len(self.buffer) >= WINDOW:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """See asyncio.Protocol; a client that is done talking may still listen."""
        self._ended = True
        self._news.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._ended = self.closed = True
        self._news.set()

    @property
    def gone(self) -> bool:
        """Whether the other end has closed, also behind bytes that nobody has read yet (as far as the system tells)."""
        if self._ended or self.closed or self._transport is None:
            return True
        if sys.platform != "linux":
            return False
        connected = self._transport.get_extra_info("socket")
        return bool(connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED)

    def wake(self) -> None:
        """Let the reader look at the world again."""
        self._news.set()

    async def news(self, seconds: float | None = None) -> bool:
        """Wait for bytes, the end or a wake-up; false where nothing came in time."""
        self._news.clear()
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def more(self, seconds: float | None = None) -> None:
        """Wait for further bytes.

        Raises:
            DroppedError: the connection ended, or nothing came in time.
        """
        before = len(self.buffer)
        while len(self.buffer) == before:
            if self._ended or not await self.news(seconds):
                raise DroppedError

    def take(self, count: int) -> bytes:
        """Take bytes that are there."""
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def discard(self) -> None:
        """Throw away what came behind a request: bytes that nobody read would break the connection at its end."""
        self.buffer.clear()
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    async def line(self) -> bytes:
        """Take one line, without its end.

        Raises:
            DroppedError: it does not come, or is too long.
        """
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > LONGEST_LINE:
                raise DroppedError
            await self.more(BODY_WAIT)
        return self.take(end + 1).rstrip(b"\r\n")

    async def copy_until(self, mark: bytes, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand on all that comes before the mark, and take the mark; waits without end.

        Raises:
            DroppedError: the connection ended first.
        """
        while (found := self.buffer.find(mark)) < 0:
            if (sure := len(self.buffer) - len(mark) + 1) > 0:
                await sink(self.take(sure))
            else:
                await self.more()
        if found:
            await sink(self.take(found))
        self.take(len(mark))

    def answer(self, status: int, body: str, kind: str = "text/html", **headers: str) -> None:
        """Send an answer as the server words it; ``_`` in a header's name is a dash."""
        data = body.encode()
        lines = [
            f"HTTP/1.1 {status} {REASONS[status]}",
            f"Content-Type: {kind}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
            f"Content-Length: {len(data)}",
            "Connection: keep-alive",
            f"Keep-Alive: timeout={int(KEEP_ALIVE * 1000)}",
        ]
        if self._transport is not None and not self.closed:
            self._transport.write("\r\n".join([*lines, "", ""]).encode() + data)

    def close(self) -> None:
        """Close politely: what was answered still arrives."""
        if self._transport is not None and not self.closed:
            self.closed = True
            self._transport.close()

    def reset(self) -> None:
        """Break the connection, so that the other end notices at once."""
        if self._transport is not None and not self.closed:
            self.closed = True
            connected = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


@dataclass(slots=True)
class Request:
    """The head of a request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The length that the client promised, 0 where it did not."""
        text = self.headers.get("content-length", "0")
        return int(text) if text.isdecimal() else 0

    @property
    def boundary(self) -> bytes | None:
        """What separates the parts of a form, None where the body is no form."""
        kind = self.headers.get("content-type", "")
        if not kind.startswith("multipart/"):
            return None
        return kind[kind.find("=") + 1 :].replace('"', "").encode()

    @property
    def keeps_alive(self) -> bool:
        """Whether the client means to ask more over this connection."""
        return self.headers.get("connection", "").lower() != "close"


async def read_head(connection: Connection) -> Request:
    """Read a request up to its body.

    Raises:
        DroppedError: it makes no sense, or does not come.
    """
    words = (await connection.line()).decode("latin-1").split(" ")
    if len(words) < 3:  # noqa: PLR2004 - method, path and version
        raise DroppedError
    request = Request(words[0], words[1].partition("?")[0])
    while head := (await connection.line()).decode("latin-1"):
        name, divider, value = head.partition(":")
        if not divider:
            break
        request.headers[name.lower()] = value.strip()
    return request


async def read_plain_body(connection: Connection, request: Request) -> bytes:
    """Read a body that is no form.

    Raises:
        DroppedError: it does not fit into the heap, or does not come.
    """
    while len(connection.buffer) < request.length:
        if len(connection.buffer) > HEAP:
            raise DroppedError
        await connection.more(BODY_WAIT)
    return connection.take(request.length)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form; ``file_name`` is None where it is no file."""

    name: str
    file_name: str | None


class Form:
    """Reads a multipart body part by part; each part's data must be copied before the next is asked for."""

    def __init__(self, connection: Connection, boundary: bytes) -> None:
        self._connection = connection
        self._boundary = b"--" + boundary
        self._begun = False

    async def next_part(self) -> Part | None:
        """The next part, None at the end of the form.

        Raises:
            DroppedError: this is no form, or it does not come.
        """
        if not self._begun:
            await self._begin()
        elif await self._ends():
            return None
        while not (line := await self._connection.line()).lower().startswith(b"content-disposition"):
            pass
        if (await self._connection.line()).lower().startswith(b"content-type"):
            await self._connection.line()
        words = line.decode("latin-1").split("=")
        name = words[1][1:].split('"')[0] if len(words) > 1 else ""
        return Part(name, words[2][1:-1] if len(words) > 2 else None)  # noqa: PLR2004 - "…; name=…; filename=…"

    async def copy(self, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand on the part's data.

        Raises:
            DroppedError: the connection ended first.
        """
        await self._connection.copy_until(b"\r\n" + self._boundary, sink)

    async def _begin(self) -> None:
        self._begun = True
        for _ in range(3):
            if line := await self._connection.line():
                break
        else:
            raise DroppedError
        if line != self._boundary:
            raise DroppedError

    async def _ends(self) -> bool:
        while len(self._connection.buffer) < len(b"--"):
            await self._connection.more(BODY_WAIT)
        return self._connection.take(len(b"--")) == b"--"

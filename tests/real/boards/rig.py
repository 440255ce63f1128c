"""Boards to drive: simulated ones, and bare sockets that answer what no simulated board would."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from enmctl.boards.contract import Firmware
from enmctl.models import DiscoveredBoard, Radio
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.images import esp8266_image
from tests.servers import listening

SIZE = 32 * 1024
FAST = 2_000_000.0
REBOOT = 0.1


def firmware(fw: str | None = "new", *, size: int = SIZE, commit: str | None = None) -> Firmware:
    return Firmware("esp8266", esp8266_image(fw=fw, size=size), "", "an image", commit)


def board_of(simulated: SimulatedEsp8266) -> DiscoveredBoard:
    """The board as a radio would have found it."""
    return DiscoveredBoard(
        "esp8266",
        simulated.application_id,
        simulated.local_id,
        Radio.WIFI,
        simulated.name,
        (simulated.address,),
        simulated.port,
    )


Make = Callable[..., Awaitable[tuple[SimulatedEsp8266, DiscoveredBoard]]]


@dataclass
class Odd:
    """A server that is no board, or a broken one, and what it was sent."""

    board: DiscoveredBoard
    received: list[bytes] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def at(self, port: int) -> None:
        self.board = replace(self.board, port=port)

    async def ended(self) -> str:
        """How the client ended its next connection."""
        async with asyncio.timeout(5):
            while not self.endings:
                self.changed.clear()
                await self.changed.wait()
        return self.endings.pop(0)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
"""Serves one connection; gets the head of the request too."""

UPDATE_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nform"
NO_SUCH_PAGE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
SUCCESS = b'<META http-equiv="refresh" content="15;URL=/">Update Success! Rebooting...'


@asynccontextmanager
async def odd_server(
    on_post: Talk, *, on_get: Talk | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[Odd, None]:
    """Serve a raw socket that has an update page and no contract; ``on_post`` deals with uploads."""
    odd = Odd(DiscoveredBoard("esp8266", 7, "42", Radio.WIFI, "ESP8266_7_42", (host,), 0))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            odd.received.append(head)
            if head.startswith(b"GET"):
                await (on_get or usual_get)(reader, writer, head)
            else:
                await on_post(reader, writer, head)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            odd.endings.append(type(error).__name__)
            odd.changed.set()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async with listening(serve, host, limit=1 << 24) as port:
        odd.at(port)
        yield odd


async def usual_get(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    writer.write(UPDATE_PAGE if head.startswith(b"GET /update ") else NO_SUCH_PAGE)
    await writer.drain()


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%s" % (
        status.encode(),
        len(body),
        body,
    )


async def whole_form(reader: asyncio.StreamReader, head: bytes) -> bytes:
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return await reader.readexactly(int(length.split(b":")[1]))


def saying(reply: bytes, *, read_all: bool = True, reset: bool = False) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if read_all:
            await whole_form(reader, head)
        writer.write(reply)
        await writer.drain()
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return talk

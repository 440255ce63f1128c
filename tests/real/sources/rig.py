"""A Supervisor source against a simulated Supervisor, or against raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from enmctl.models import Application
from enmctl.settings import Settings
from enmctl.simulator.supervisor import SimulatedSupervisor
from enmctl.sources.supervisor import SupervisorSource
from tests.servers import listening

APP = 13015
APPLICATION = Application(APP, "lamps", "esp8266", "c" * 40)
KEY = "s3cretKeyOfTheSupervisor"
COMMIT = "c" * 40
WITHIN = 20.0
"""Seconds that any wait may take on a busy machine."""


HANGING = {"silent", "no-answer", "stall-halfway"}
"""The faults of a Supervisor that only a limit ends."""


def limit_for(fault: str) -> dict[str, Any]:
    """A short limit for what never comes; whatever does come has all the time it needs on a busy machine."""
    return {"supervisor_timeout": 0.4} if fault in HANGING else {}


@asynccontextmanager
async def source_at(address: str, **settings: Any) -> AsyncGenerator[SupervisorSource]:
    """A source with small limits."""
    known: dict[str, Any] = {"supervisor_api_key": KEY, "supervisor_timeout": 5.0, "stall_timeout": 2.0}
    made = Settings(supervisor_address=address, **(known | settings))
    async with asyncio.timeout(WITHIN), SupervisorSource(made, ("esp8266",)) as source:
        yield source


@asynccontextmanager
async def supervised(
    *, api_key: str | None = KEY, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncGenerator[tuple[SimulatedSupervisor, SupervisorSource]]:
    """A simulated Supervisor with one application, and a source that asks it."""
    async with SimulatedSupervisor(api_key=api_key, **options) as supervisor:
        supervisor.add_application(APP, "lamps", {"RESIN_HOST_TYPE": "esp8266"})
        async with source_at(supervisor.url, **(settings or {})) as source:
            yield supervisor, source


@dataclass
class Bytes:
    """A server that answers each connection's requests with bytes, and keeps what it was asked."""

    address: str = ""
    asked: list[bytes] = field(default_factory=list)


Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Writes what is answered to a request's head."""


@asynccontextmanager
async def answering(answer: Answer | bytes) -> AsyncGenerator[Bytes]:
    """A server on loopback; with bytes, each request gets them and the connection ends."""
    server = Bytes()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            server.asked.append(head)
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(head, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass

    async with listening(serve) as port:
        server.address = f"http://127.0.0.1:{port}"
        yield server


async def for_ever(writer: asyncio.StreamWriter, piece: bytes, every: float = 0.05) -> None:
    """Send a piece now and then until the other side leaves."""
    while not writer.transport.is_closing():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(every)


def ok(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

"""Servers of a few lines, that leave no connection behind when their test ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

LOOPBACK = "127.0.0.1"
READ_LIMIT = 1 << 16

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Talks over one connection, which is closed when it ends."""


@asynccontextmanager
async def listening(serve: Serve, host: str = LOOPBACK, *, limit: int = READ_LIMIT) -> AsyncGenerator[int]:
    """Serve on a free port, which is yielded; at the end, every connection that is still open is cut.

    A connection is noted while it is made: a task that has not run yet when it is cancelled closes nothing by itself.
    """
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.get_running_loop().create_task(talk(reader, writer))] = writer

    server = await asyncio.start_server(begin, host, 0, limit=limit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.sleep(0)  # transports that were aborted close their sockets in the loop's next turn
        await server.wait_closed()

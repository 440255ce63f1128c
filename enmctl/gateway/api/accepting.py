"""Closing a listening socket without losing what it accepted a moment ago."""

from __future__ import annotations

import asyncio
import contextlib

TURNS_TO_HAND_OVER = 4
"""Turns of the loop until asyncio has handed over a connection that it has accepted."""


async def stop_accepting(server: asyncio.Server) -> None:
    """Close a server once every connection that it has accepted belongs to its protocol.

    ``Server.close`` alone leaves a connection that was accepted in the same turn of the loop without an owner: nobody
    closes its socket (CPython 3.11, ``_SelectorTransport.__init__`` attaches to a server that is gone).
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        with contextlib.suppress(NotImplementedError):  # Windows' loop watches no sockets, and has no such gap
            loop.remove_reader(listening.fileno())
    for _ in range(TURNS_TO_HAND_OVER):
        await asyncio.sleep(0)
    server.close()

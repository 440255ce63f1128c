"""How an ESP8266's web server treats its clients: one after another, and not for long one that asks nothing."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable

from enmctl.gateway.api.accepting import stop_accepting
from enmctl.simulator.esp8266_http import KEEP_ALIVE, Connection, DroppedError

BACKLOG = 5
IDLE_LIMIT = 5.0
"""Seconds until a connection that asks nothing is dropped."""
IDLE_LIMIT_WHEN_WANTED = 0.03
"""Seconds of the same while another connection waits."""


class OneAtATime:
    """Accepts connections and serves them one after another.

    Args:
        serve: answers one request on a connection; true where the connection is kept for another.
        loop_delay: seconds between two looks of the sketch at the network.
    """

    def __init__(self, serve: Callable[[Connection], Awaitable[bool]], loop_delay: float = 0.0) -> None:
        self.most_connections = 0
        self._serve = serve
        self._loop_delay = loop_delay
        self._waiting: deque[Connection] = deque()
        self._current: Connection | None = None
        self._arrival = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._worker: asyncio.Task[None] | None = None

    async def open(self, listener: socket.socket) -> None:
        """Listen; the socket is the server's from now on."""
        loop = asyncio.get_running_loop()
        # Not serving yet, it is made without a pause in which it could be lost to a cancellation.
        self._server = await loop.create_server(
            lambda: Connection(self._accept), sock=listener, backlog=BACKLOG, start_serving=False
        )
        self._worker = loop.create_task(self._work())
        await self._server.start_serving()

    async def close(self) -> None:
        """Listen no more, and break all connections, as a restarting chip does; may be repeated when cancelled."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        if self._server is not None:
            await stop_accepting(self._server)
            self._server = None
        for connection in self._open_now():
            connection.reset()
        self._waiting.clear()
        self._current = None
        if worker is not None and not worker.cancelled():
            worker.result()

    def let_go(self, connection: Connection) -> None:
        """Forget the connection without closing it: its client hears nothing more."""
        if self._current is connection:
            self._current = None

    def _accept(self, connection: Connection) -> None:
        if self._worker is None:
            connection.reset()
            return
        self._waiting.append(connection)
        self.most_connections = max(self.most_connections, sum(not connection.gone for connection in self._open_now()))
        self._arrival.set()
        if self._current is not None:
            self._current.wake()

    def _open_now(self) -> list[Connection]:
        return [*self._waiting, *([self._current] if self._current else [])]

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrival.clear()
                await self._arrival.wait()
            self._current = self._waiting.popleft()
            await self._attend(self._current)
            self._current = None

    async def _attend(self, connection: Connection) -> None:
        idle = IDLE_LIMIT
        try:
            while await self._asks(connection, idle):
                await asyncio.sleep(self._loop_delay)
                if not await self._serve(connection) or self._current is None:
                    break
                idle = KEEP_ALIVE
        except DroppedError:
            connection.reset()
        if self._current is not None:
            connection.close()

    async def _asks(self, connection: Connection, idle: float) -> bool:
        """Whether a request begins before the server has had enough of waiting."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while not connection.buffer:
            limit = min(idle, IDLE_LIMIT_WHEN_WANTED) if self._waiting else idle
            if connection.gone or (left := since + limit - loop.time()) <= 0:
                return False
            await connection.news(left)
        return True

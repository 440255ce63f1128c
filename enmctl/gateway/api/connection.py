"""One connection of the HTTP API: uvicorn's own, with limits for clients that stall and errors in JSON."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from enmctl.gateway.api.answers import JSON_TYPE, encoded

HEAD_TIMEOUT: Final = 10.0
"""Seconds from a request's first byte, or from the connection, to the end of its head."""

READ_TIMEOUT: Final = 30.0
"""Seconds that a client may leave an answer unread once no more of it fits on the way."""

SPARE: Final = 20
"""So many connections beyond the server's limit are still told so once they ask; further ones are closed at once."""


class Connection(H11Protocol):
    """Ends what a client does not go on with."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_limit: asyncio.TimerHandle | None = None
        self._read_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a first request, unless there are too many already that wait."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + SPARE:
            transport.abort()
        else:
            self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the limits."""
        self._unlimit_head()
        self._unlimit_reading()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that it begins is to end in time."""
        super().data_received(data)
        self._limit_head()

    def pause_writing(self) -> None:
        """No more of the answer fits on the way: the client is to read."""
        super().pause_writing()
        self._read_limit = self.loop.call_later(READ_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        self._unlimit_reading()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, in the shape of every other error."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = encoded({"error": msg.rstrip("."), "reason": "not-http", "remedy": "send HTTP/1.1"})
        headers = [("content-type", JSON_TYPE), ("content-length", str(len(body))), ("connection", "close")]
        for event in (
            h11.Response(status_code=HTTPStatus.BAD_REQUEST, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _limit_head(self) -> None:
        """See that a request's head, once begun, comes to its end."""
        if self.conn.their_state is not h11.IDLE:
            self._unlimit_head()
        elif self._head_limit is None:
            self._head_limit = self.loop.call_later(HEAD_TIMEOUT, self._end_slow_head)

    def _end_slow_head(self) -> None:
        self._head_limit = None
        if self.conn.their_state is h11.IDLE:
            self.transport.abort()

    def _unlimit_head(self) -> None:
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None

    def _unlimit_reading(self) -> None:
        if self._read_limit is not None:
            self._read_limit.cancel()
            self._read_limit = None

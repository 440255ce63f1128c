"""What every request passes on its way in: the door, the limits of its body, and a net for whatever goes wrong.

A body is read whole before anything is done with it, so that nothing is half done when it stops coming.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enmctl.errors import BusyError, EnmError
from enmctl.gateway.api.answers import RequestError, broken, refused
from enmctl.gateway.api.auth import Doorkeeper

LOG = logging.getLogger(__name__)

BODY_MOST: Final = 1 << 20
"""Bytes of a body, but for firmware."""

FIRMWARE_MOST: Final = 16 << 20
"""Bytes of a body that is firmware; the largest board of today holds 4 MiB."""

IN_HAND_MOST: Final = 64 << 20
"""Bytes of bodies that are in memory at once."""

STALL_TIMEOUT: Final = 10.0
"""Seconds without a further piece of a body after which it is given up."""

BODY_TIMEOUT: Final = 120.0
"""Seconds in which a whole body must have come."""

DRAIN_TIMEOUT: Final = 2.0
"""Seconds for which the rest of a refused body is taken and thrown away: many clients read no answer before."""

DRAIN_MOST: Final = 32 << 20
"""Bytes of a refused body that are taken and thrown away."""

OPEN_PATH: Final = "/healthz"
"""Needs no token and is asked under any name: it tells nothing."""

_FIRMWARE_PATH: Final = re.compile(r"/v1/devices/[^/]+/firmware")


@dataclass(slots=True)
class _Body:
    """What was taken of a body, and whether all of it has come."""

    taken: bytearray = field(default_factory=bytearray)
    came_whole: bool = False


class _GoneError(Exception):
    """The client left before the end of its body."""


class Intake:
    """ASGI middleware around the whole API.

    Below it, a path is as it came, percent-encoded, without a slash at its end; and ``receive`` gives the whole body at
    once.

    Args:
        app: what answers.
        doorkeeper: who may come in.
    """

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever comes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        body = _Body()
        path = _path(scope)
        try:
            headers = Headers(scope=scope)
            if path != OPEN_PATH:
                self._doorkeeper.check(headers)
            await self._read(body, _limit(scope["method"], path), headers, receive)
            await self._app({**scope, "path": path}, _replayed(bytes(body.taken), receive), answer.send)
        except (EnmError, RequestError) as error:
            await answer.give(refused(error), scope, receive, ended=body.came_whole)
        except _GoneError:
            return
        except Exception:
            LOG.exception("%s %s failed", scope["method"], path[:200])
            await answer.give(broken(), scope, receive, ended=body.came_whole)
        finally:
            self._in_hand -= len(body.taken)

    async def _read(self, body: _Body, most: int, headers: Headers, receive: Receive) -> None:
        """Read a whole body of at most so many bytes into ``body``.

        Raises:
            RequestError: too large, too slow, or compressed.
            BusyError: too much is in memory already.
            _GoneError: the client left.
        """
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "the body is compressed",
                reason="encoding",
                remedy="send it as it is",
            )
        if int(headers.get("content-length", "0")) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                while not body.came_whole:
                    async with asyncio.timeout(STALL_TIMEOUT):
                        message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    piece = message.get("body", b"")
                    body.came_whole = not message.get("more_body", False)
                    if len(body.taken) + len(piece) > most:
                        raise _too_large(most)
                    if self._in_hand + len(piece) > IN_HAND_MOST:
                        raise BusyError("too much is being uploaded at once", remedy="try again in a moment")
                    self._in_hand += len(piece)
                    body.taken += piece
        except TimeoutError:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                "the body stopped coming",
                reason="slow-body",
                remedy=f"send it within {BODY_TIMEOUT:.0f} s, without a gap of {STALL_TIMEOUT:.0f} s",
            ) from None


class _Answer:
    """The answer to one request: whether it began, and a last word where it did not."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._began = False

    async def send(self, message: Message) -> None:
        self._began = True
        await self._send(message)

    async def give(self, response: Response, scope: Scope, receive: Receive, *, ended: bool) -> None:
        """Give ``response`` unless another began; the connection ends where the body was not read to its end."""
        if self._began:
            return
        if not ended:
            response.headers["connection"] = "close"
            if Headers(scope=scope).get("expect", "").lower() != "100-continue":
                await _drain(receive)
        await response(scope, receive, self._send)


def _path(scope: Scope) -> str:
    raw = scope.get("raw_path")
    path = raw.decode("ascii", "replace") if raw is not None else quote(scope["path"])
    return path.rstrip("/") or "/"


def _limit(method: str, path: str) -> int:
    return FIRMWARE_MOST if method == "PUT" and _FIRMWARE_PATH.fullmatch(path) else BODY_MOST


def _too_large(most: int) -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body has more than {most} bytes",
        reason="too-large",
        remedy=f"at most {most} bytes are taken here",
    )


async def _drain(receive: Receive) -> None:
    """Take the rest of a body and throw it away, within limits."""
    left = DRAIN_MOST
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body, and from then on what really comes."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay

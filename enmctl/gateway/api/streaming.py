"""Answers that are sent piece by piece: long lists, and the news of a job while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from enmctl.errors import EnmError
from enmctl.gateway.api.answers import BUG_FIELDS, JSON_TYPE, device_fields, encoded, error_fields, step_fields
from enmctl.gateway.control import DeviceView
from enmctl.models import Step

LOG = logging.getLogger(__name__)

LINES_TYPE: Final = "application/x-ndjson"

DEVICES_AT_ONCE: Final = 100
"""Devices that are encoded before the loop gets its turn; about 2 ms on a small machine."""

FIRST_STEP_WAIT: Final = 5.0
"""Seconds in which a job that fails still decides the answer's status; then the answer begins."""

HEARTBEAT: Final = 5.0
"""Seconds of silence after which an empty line says that a job is still at it."""


class Pieces(Response):
    """An answer whose body is made while it is sent.

    A client that leaves ends nothing: the body is made to its end, and goes nowhere.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send all pieces."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def device_list(views: Sequence[DeviceView]) -> Response:
    """All devices as one JSON list; a long one leaves the loop its turns."""
    if len(views) <= DEVICES_AT_ONCE:
        return Response(encoded([device_fields(view) for view in views]), media_type=JSON_TYPE)
    return Pieces(_list_pieces(views), JSON_TYPE)


async def _list_pieces(views: Sequence[DeviceView]) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(views), DEVICES_AT_ONCE):
        fields = [device_fields(view) for view in views[start : start + DEVICES_AT_ONCE]]
        yield (b"," if start else b"[") + encoded(fields)[1:-1]
        await asyncio.sleep(0)
    yield b"]"


async def job_news(steps: AsyncGenerator[Step, None]) -> Response:
    """The news of a job, a JSON object a line, an empty line in silence; the last line tells how it ended.

    Raises:
        EnmError: the job failed before its first step.
    """
    follower = _Follower(steps)
    try:
        first = await follower.next(FIRST_STEP_WAIT)
    except TimeoutError:
        return Pieces(_lines(follower, None), LINES_TYPE)
    except BaseException:
        await follower.close()
        raise
    if first is None:
        await follower.close()
        return Response(_line(_done(None)), media_type=LINES_TYPE)
    return Pieces(_lines(follower, first), LINES_TYPE)


class _Follower:
    """A job's steps one after another; looking for the next one can be given up and taken up again."""

    def __init__(self, steps: AsyncGenerator[Step, None]) -> None:
        self._steps = steps
        self._coming: asyncio.Task[Step | None] | None = None

    async def next(self, timeout: float) -> Step | None:  # noqa: ASYNC109 - giving up the wait must not end the step
        """The next step, None after the last.

        Raises:
            TimeoutError: none came in so many seconds.
            EnmError: the job failed.
        """
        if self._coming is None:
            self._coming = asyncio.create_task(self._next())
        done, _ = await asyncio.wait({self._coming}, timeout=timeout)
        if not done:
            raise TimeoutError
        came, self._coming = self._coming, None
        return came.result()

    async def _next(self) -> Step | None:
        return await anext(self._steps, None)

    async def close(self) -> None:
        """Stop listening."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
        await self._steps.aclose()


async def _lines(follower: _Follower, first: Step | None) -> AsyncGenerator[bytes, None]:
    last = first
    try:
        if first is None:
            yield b"\n"
        else:
            yield _line(step_fields(first))
        while True:
            try:
                step = await follower.next(HEARTBEAT)
            except TimeoutError:
                yield b"\n"
                continue
            if step is None:
                yield _line(_done(last))
                return
            last = step
            yield _line(step_fields(step))
    except EnmError as error:
        yield _line(error_fields(error))
    except Exception:
        LOG.exception("a job failed")
        yield _line(BUG_FIELDS)
    finally:
        await follower.close()


def _done(last: Step | None) -> dict[str, Any]:
    told = {} if last is None else {name: getattr(last, name) for name in ("note", "proof", "version")}
    return {"result": "done", **told}


def _line(value: dict[str, Any]) -> bytes:
    return encoded(value) + b"\n"

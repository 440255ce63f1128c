"""Sending an image to a board's update server: ESP8266HTTPUpdateServer and its kin.

The server reads forms in its own way, so the body is made here to the letter: one part, its name before its file name,
both in quotes, two part headers and no third, a length that is known, no chunks (libraries/ESP8266WebServer,
Parsing-impl.h of esp8266/Arduino). It never gives up on an upload that went silent, so whatever happens, the connection
is closed, and reset where the image did not arrive whole.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from enmctl.boards.access import Access
from enmctl.boards.connection import SEND_BUFFER, Connection, LostError, Place, not_http
from enmctl.boards.http_answer import HttpAnswer, NotHttpError
from enmctl.boards.update_answer import Verdict, judge, refuse
from enmctl.errors import TransferError

FIELD: Final = "image"
"""Any name but ``filesystem`` means the application; the original sent this one."""

FILE_NAME: Final = "firmware.bin"

CHUNK: Final = 4096
"""Bytes handed over at once; a sector of the board's flash."""

PROGRESS_INTERVAL: Final = 0.1
"""Seconds between two looks at how far a transfer is."""

DRAIN_INTERVAL: Final = 0.02
"""Seconds between two looks whether the board has acknowledged all but the end of the form."""

LATE_ANSWER: Final = 1.0
"""Seconds to wait for what a board said before it stopped taking the image."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for a connection, without a byte moving, for the answer once all was sent, and for all of it."""

    connect: float
    stall: float
    answer: float
    whole: float


@dataclass(frozen=True, slots=True)
class Sent:
    """So many bytes of the image have arrived, as far as the system tells."""

    done: int


@dataclass(frozen=True, slots=True)
class Ending:
    """All of the image was sent: whether the board said that it took it, and if not, what happened instead."""

    accepted: bool
    note: str = ""


async def send_image(
    place: Place, image: bytes, access: Access, limits: Limits, name: str
) -> AsyncGenerator[Sent | Ending, None]:
    """Send an image; yields ``Sent`` now and then, and ``Ending`` once.

    Closing the generator ends the transfer and resets the connection, so that the board drops what it has.

    Raises:
        OfflineError: no connection.
        RefusedError: the board said no.
        TransferError: the image did not arrive whole.
    """
    transfer = _Transfer(await Connection.open(place, limits.connect, send_buffer=SEND_BUFFER), image, access, name)
    task = asyncio.get_running_loop().create_task(transfer.run(place, limits))
    shown = -1
    try:
        while not task.done():
            if transfer.look() != shown:
                shown = transfer.arrived
                yield Sent(shown)
            await asyncio.wait({task}, timeout=PROGRESS_INTERVAL)
        yield task.result()
    finally:
        try:
            await _end(task)
        finally:
            transfer.close()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and see them end, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Transfer:
    """One image on its way over one connection."""

    def __init__(self, connection: Connection, image: bytes, access: Access, name: str) -> None:
        self._connection = connection
        self._image = image
        self._name = name
        self._handed_over = 0
        self.arrived = 0
        """Bytes of the image that the board has acknowledged; where that is not known, that the kernel has taken."""
        self._is_whole = False
        self._has_ended_well = False
        boundary = f"enmctl-{secrets.token_hex(12)}"
        self._end = f"\r\n--{boundary}--\r\n".encode()
        form = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{FIELD}"; filename="{FILE_NAME}"\r\n'
            "Content-Type: application/octet-stream\r\n"
            "\r\n"
        )
        headers = {
            "Host": connection.authority,
            "Origin": f"http://{connection.authority}",
            "Connection": "close",
            **access.headers,
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(form) + len(image) + len(self._end)),
        }
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        self._start = f"POST {access.path} HTTP/1.1\r\n{lines}\r\n{form}".encode()

    def look(self) -> int:
        """See how far it is; a connection that broke off forgets what it held, so look while it stands."""
        waiting = self._connection.unacknowledged() or 0
        self.arrived = max(self.arrived, self._handed_over - waiting)
        return self.arrived

    def close(self) -> None:
        """Close the connection; reset it unless the board had its say."""
        self._connection.close(abruptly=not self._has_ended_well)

    async def run(self, place: Place, limits: Limits) -> Ending:
        """Send it all, and hear what the board says."""
        listening = asyncio.create_task(self._connection.answer())
        sending = asyncio.create_task(self._send())
        try:
            async with asyncio.timeout(limits.whole):
                await self._watch(sending, listening, limits.stall)
                return await self._conclude(place, sending, listening, limits)
        except TimeoutError:
            if self._is_whole:
                return Ending(accepted=False, note=f"not done within {limits.whole:g} s")
            raise self._broken(f"took longer than {limits.whole:g} s", "too-slow") from None
        finally:
            await _end(sending, listening)

    async def _send(self) -> None:
        """Send the form; its end only once the board has all else, for without the end no image counts as whole."""
        await self._connection.send(self._start)
        for at in range(0, len(self._image), CHUNK):
            chunk = self._image[at : at + CHUNK]
            await self._connection.send(chunk)
            self._handed_over += len(chunk)
        while self._connection.unacknowledged():  # noqa: ASYNC110 - no event tells of an acknowledgement
            await asyncio.sleep(DRAIN_INTERVAL)
        self._is_whole = True
        await self._connection.send(self._end)

    async def _watch(self, sending: asyncio.Task[None], listening: asyncio.Task[HttpAnswer], stall: float) -> None:
        """Wait until all is sent or the board speaks.

        Raises:
            TransferError: nothing has moved for ``stall`` seconds.
        """
        loop = asyncio.get_running_loop()
        before, moved_at = self.look(), loop.time()
        while True:
            done, _ = await asyncio.wait({sending, listening}, timeout=stall / 8, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            now = loop.time()
            if self.look() != before:
                before, moved_at = self.arrived, now
            elif now - moved_at >= stall:
                raise self._broken(f"moved no byte for {stall:g} s", "stalled")

    async def _conclude(
        self, place: Place, sending: asyncio.Task[None], listening: asyncio.Task[HttpAnswer], limits: Limits
    ) -> Ending:
        """Hear the answer, or find out why there is none."""
        failed_to_send = sending.done() and sending.exception() is not None
        await asyncio.wait({listening}, timeout=LATE_ANSWER if failed_to_send else limits.answer)
        is_whole = self._is_whole and not failed_to_send
        if not listening.done():
            if is_whole:
                return Ending(accepted=False, note=f"no answer within {limits.answer:g} s")
            raise self._broken("broke off", "connection-lost")
        try:
            answer = listening.result()
        except LostError as error:
            if is_whole:
                return Ending(accepted=False, note=f"the connection was {error.args[0]} before an answer")
            raise self._broken(f"broke off, the connection was {error.args[0]}", "connection-lost") from None
        except NotHttpError as error:
            if is_whole:
                return Ending(accepted=False, note=f"it answered {error.args[0]!r}")
            raise not_http(place, error) from None
        return self._read(answer, is_whole=is_whole)

    def _read(self, answer: HttpAnswer, *, is_whole: bool) -> Ending:
        self._has_ended_well = is_whole
        if not is_whole:
            refuse(answer, self._name)
            if judge(answer, self._name) is Verdict.ACCEPTED:
                raise self._broken("was called done before it was", "early-answer")
            raise self._broken(f"was answered too early, with HTTP status {answer.status}", "early-answer")
        if judge(answer, self._name) is Verdict.ACCEPTED:
            return Ending(accepted=True)
        return Ending(accepted=False, note=f"it answered {answer.text[:80]!r}")

    def _broken(self, how: str, reason: str) -> TransferError:
        return TransferError(
            f"the transfer to {self._name} {how}, {self.arrived} of {len(self._image)} bytes had arrived",
            remedy="it is tried again; bring the board nearer if it stays, and switch it off and on if it hangs",
            reason=reason,
        )

"""What runs on a simulated ESP8266: the pages of docs/firmware-contract.md and the update server beside them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from enmctl.firmware.esp8266 import embedded_version
from enmctl.simulator.esp8266_http import (
    Connection,
    DroppedError,
    Form,
    Part,
    Request,
    read_head,
    read_plain_body,
)
from enmctl.simulator.esp8266_server import OneAtATime
from enmctl.simulator.esp8266_update import Fault, Flash, Outcome, Refusal, Updater, Upload
from enmctl.simulator.images import unpacked
from enmctl.simulator.supervisor.changes import Changes

SLOW_SHARE = 0.1
FAREWELL = 0.1
"""Seconds between the answer to what restarts the board and the restart."""
UPLOADS_KEPT = 1000
BODY_LIMIT = 4096
"""Bytes of environment or config that the firmware takes."""
LENGTH_NOT_TOLD = 128 * 1024
UPDATE_PAGE = (
    "<!DOCTYPE html><html><body>"
    "<form method='POST' action='' enctype='multipart/form-data'>"
    "Firmware: <input type='file' name='firmware'><input type='submit'></form>"
    "<form method='POST' action='' enctype='multipart/form-data'>"
    "FileSystem: <input type='file' name='filesystem'><input type='submit'></form>"
    "</body></html>"
)
SUCCESS = '<META http-equiv="refresh" content="15;URL=/">Update Success! Rebooting...'
CHALLENGE = 'Basic realm="Login Required"'
SAME_FOR_ALL_ORIGINS = {"Access_Control_Allow_Origin": "*"}
WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, slots=True)
class Reset:
    """A restart that is due: with which image, and whether and where the board comes back from it."""

    image: bytes | None = None
    returns: bool = True
    elsewhere: bool = False


class Esp8266Firmware(ABC):
    """The program on the chip, and what is known of it from outside; the chip around it is ``SimulatedEsp8266``.

    What it stores, ``environment`` and ``config``, outlives restarts and updates. ``restarts`` and ``identified`` count
    what was asked for over the network, ``requests`` everything that was.
    """

    def __init__(
        self,
        application_id: int,
        local_id: str,
        *,
        board_type: str,
        contract: bool,
        auth: tuple[str, str] | None,
        path: str,
        image: bytes,
        flash_size: int,
        free_space: int,
        flash_speed: float,
        loop_delay: float,
        watchdog: float | None,
    ) -> None:
        self.application_id = application_id
        self.local_id = local_id
        self.board_type = board_type
        self.contract = contract
        self.path = path
        self.firmware = image
        self.flash_size = flash_size
        self.free_space = free_space
        self.flash_speed = flash_speed
        self.watchdog = watchdog
        self.environment: dict[str, str] = {}
        self.config: dict[str, str] = {}
        self.uploads: deque[Upload] = deque(maxlen=UPLOADS_KEPT)
        self.upload_size = 0
        self.restarts = 0
        self.identified = 0
        self.requests = 0
        self._auth = auth
        self._faults: deque[Fault] = deque()
        self._server = OneAtATime(self._serve, loop_delay)
        self._changes = Changes()
        self._silenced: list[Connection] = []
        self._started_at = 0.0
        self._upload_allowed = False
        self._upload_end: _End | None = None

    @property
    def fw(self) -> str:
        """The version that the running firmware tells, "" where it has none."""
        return embedded_version(unpacked(self.firmware)) or ""

    @property
    def uploading(self) -> bool:
        """Whether an image is on its way in; ``upload_size`` tells how many bytes of it were written."""
        return bool(self.uploads) and self.uploads[-1].outcome is Outcome.RECEIVING

    @abstractmethod
    def _restart(self, reset: Reset) -> None:
        """Have the chip restart, soon."""

    @abstractmethod
    def _fall_silent(self) -> None:
        """Stop answering over multicast DNS."""

    def _wake_up(self) -> None:
        """What the firmware sets when it starts."""
        self._started_at = asyncio.get_running_loop().time()
        self._upload_allowed = False
        self._upload_end = None

    def _properties(self) -> dict[str, str]:
        """The TXT record."""
        if not self.contract:
            return {}
        told = {"app": str(self.application_id), "type": self.board_type, "id": self.local_id}
        return told | ({"fw": self.fw} if self.fw else {})

    async def _serve(self, connection: Connection) -> bool:
        request = await read_head(connection)
        self.requests += 1
        self._changes.changed()
        if request.path == self.path and request.method == "POST":
            return await self._take_update(connection, request)
        body = await read_plain_body(connection, request) if request.method in WITH_BODY else b""
        if request.path == self.path and request.method not in WITH_BODY:
            self._show_update_page(connection, request)
        elif self.contract and (page := self._pages().get((request.method, request.path))) is not None:
            if request.method == "GET" or self._authorized(request):
                await page(connection, body)
            else:
                connection.answer(401, "", WWW_Authenticate=CHALLENGE)
        else:
            connection.answer(404, f"Not found: {request.path}", "text/plain")
        return request.keeps_alive

    def _pages(self) -> dict[tuple[str, str], Callable[[Connection, bytes], Awaitable[None]]]:
        return {
            ("GET", "/id"): self._tell_id,
            ("POST", "/restart"): self._restart_by_request,
            ("POST", "/identify"): self._identify,
            ("POST", "/env"): self._take_environment,
            ("POST", "/config"): self._take_config,
        }

    def _authorized(self, request: Request) -> bool:
        if self._auth is None:
            return True
        wanted = base64.b64encode(":".join(self._auth).encode()).decode()
        return request.headers.get("authorization", "") == f"Basic {wanted}"

    async def _tell_id(self, connection: Connection, body: bytes) -> None:
        del body
        told = {
            "contract": 1,
            "type": self.board_type,
            "app": self.application_id,
            "id": self.local_id,
            "fw": self.fw,
            "uptime": int(asyncio.get_running_loop().time() - self._started_at),
            "free": self.free_space,
            "flash": self.flash_size,
        }
        connection.answer(200, json.dumps(told), "application/json")

    async def _restart_by_request(self, connection: Connection, body: bytes) -> None:
        del body
        self.restarts += 1
        connection.answer(200, "restarting\n", "text/plain")
        await self._say_farewell(connection)
        self._restart(Reset())

    async def _identify(self, connection: Connection, body: bytes) -> None:
        del body
        self.identified += 1
        self._changes.changed()
        connection.answer(200, "blinking\n", "text/plain")

    async def _take_environment(self, connection: Connection, body: bytes) -> None:
        if (taken := _flat_object(connection, body)) is not None:
            self.environment = taken
            self._changes.changed()

    async def _take_config(self, connection: Connection, body: bytes) -> None:
        if (taken := _flat_object(connection, body)) is not None:
            self.config = taken
            self._changes.changed()

    def _show_update_page(self, connection: Connection, request: Request) -> None:
        if request.method == "OPTIONS":
            connection.answer(
                200, "y", Access_Control_Allow_Methods="*", Access_Control_Allow_Headers="*", **SAME_FOR_ALL_ORIGINS
            )
        elif self._authorized(request):
            connection.answer(200, UPDATE_PAGE)
        else:
            connection.answer(401, "", WWW_Authenticate=CHALLENGE)

    async def _take_update(self, connection: Connection, request: Request) -> bool:
        """Read the form, and answer by how its file ended; true where the connection is kept."""
        if request.boundary is None:
            await read_plain_body(connection, request)
        else:
            form = Form(connection, request.boundary)
            while (part := await form.next_part()) is not None:
                if part.file_name is None:
                    await form.copy(_pass_over)
                else:
                    await self._receive(connection, request, form, part)
            connection.discard()
        end = self._upload_end
        if not self._upload_allowed:
            # The flag is the last upload's: a form without a file is refused, or gets that one's answer.
            connection.answer(401, "", WWW_Authenticate=CHALLENGE)
        elif end is not None and end.refusal is not None:
            connection.answer(200, f"Update error: {end.refusal}", **SAME_FOR_ALL_ORIGINS)
        else:
            await self._succeed(connection, end or _End(None, None, None))
            return False
        return request.keeps_alive

    async def _receive(self, connection: Connection, request: Request, form: Form, part: Part) -> None:
        self._upload_allowed = self._authorized(request)
        self._upload_end = None
        self.upload_size = 0
        upload = Upload(part.name, part.file_name or "", time.time())
        self.uploads.append(upload)
        self._changes.changed()
        try:
            if self._upload_allowed:
                await self._write(connection, request, form, upload)
            else:
                await form.copy(_pass_over)
                upload.outcome = Outcome.UNAUTHORIZED
        finally:
            if upload.outcome is Outcome.RECEIVING:
                upload.outcome = Outcome.ABORTED
            upload.ended_at = time.time()
            self._changes.changed()

    async def _write(self, connection: Connection, request: Request, form: Form, upload: Upload) -> None:
        upload.fault = fault = self._faults.popleft() if self._faults else None
        flash = Flash(self.flash_speed * (SLOW_SHARE if fault is Fault.SLOW else 1.0))
        updater = Updater(upload.field, flash, free_space=self.free_space, flash_size=self.flash_size, fault=fault)
        half = (request.length or LENGTH_NOT_TOLD) // 2

        async def write(chunk: bytes) -> None:
            await updater.write(chunk)
            self.upload_size = upload.size = updater.received
            self._changes.changed()
            if updater.received >= half:
                await self._break_off(connection, fault)

        await form.copy(write)
        refusal = await updater.end()
        self._upload_end = _End(refusal, bytes(updater.data), fault)
        upload.sha256 = updater.sha256
        upload.error = None if refusal is None else refusal.number
        upload.outcome = Outcome.ACCEPTED if refusal is None else Outcome.REFUSED

    async def _break_off(self, connection: Connection, fault: Fault | None) -> None:
        if fault is Fault.RESET_MID_UPLOAD:
            connection.reset()
            raise DroppedError
        if fault is Fault.SILENT_MID_UPLOAD:
            self._fall_silent()
            if self.watchdog is not None:
                await asyncio.sleep(self.watchdog)
                self._restart(Reset())
            await asyncio.get_running_loop().create_future()  # a hanging chip waits for nothing but its reset

    async def _succeed(self, connection: Connection, end: _End) -> None:
        """Say that all is well and restart into the image, or what the fault makes of that."""
        fault = end.fault
        if fault in {Fault.SILENT_AFTER_UPLOAD, Fault.NO_ANSWER_NO_REBOOT}:
            self._server.let_go(connection)
            self._silenced.append(connection)
        elif fault is not Fault.ANSWER_LOST:
            connection.answer(200, SUCCESS, **SAME_FOR_ALL_ORIGINS)
        await self._say_farewell(connection)
        if fault is not Fault.NO_ANSWER_NO_REBOOT:
            self._restart(
                Reset(
                    image=None if fault is Fault.COMES_BACK_OLD else end.image,
                    returns=fault is not Fault.NEVER_RETURNS,
                    elsewhere=fault is Fault.RETURNS_ELSEWHERE,
                )
            )

    async def _say_farewell(self, connection: Connection) -> None:
        await asyncio.sleep(FAREWELL)
        if connection not in self._silenced:
            connection.close()


@dataclass(frozen=True, slots=True)
class _End:
    """How the last upload ended."""

    refusal: Refusal | None
    image: bytes | None
    fault: Fault | None


async def _pass_over(chunk: bytes) -> None:
    del chunk


def _flat_object(connection: Connection, body: bytes) -> dict[str, str] | None:
    """The object of text that the body is; None where it is none, and then that was answered."""
    if len(body) > BODY_LIMIT:
        connection.answer(413, "longer than 4096 bytes\n", "text/plain")
        return None
    try:
        taken: Any = json.loads(body)
    except (ValueError, RecursionError):
        taken = None
    if not isinstance(taken, dict) or not all(isinstance(value, str) for value in taken.values()):
        connection.answer(400, "not a flat JSON object of text\n", "text/plain")
        return None
    connection.answer(200, "stored\n", "text/plain")
    return taken

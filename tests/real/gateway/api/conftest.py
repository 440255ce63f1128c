"""The HTTP API over real sockets, before a gateway that is a few lists in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
import pytest

from enmctl.errors import UnknownError
from enmctl.gateway.api.server import ApiServer
from enmctl.gateway.control import DeviceView, Hook, Job
from enmctl.gateway.planning import Planned
from enmctl.models import Device, DeviceStatus, GatewayStatus, Proof, Stage, Step
from enmctl.settings import Settings

LIMIT = 5.0
"""Seconds within which anything in these tests must have happened."""

UUID = "64a1ae375b213d7e5af8409da3ad63108df4c8462089a05aa9af358c3f0df1"
COMMIT = "16b5cd4df8085d2872a6f6fc0c378629a185d78b"
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

HOLY_SUNSET = Device(
    uuid=UUID,
    application_id=511898,
    board_type="esp8266",
    local_id="1265892",
    name="holy-sunset",
    commit=COMMIT,
    target_commit=COMMIT,
    target_config={"RESIN_HOST_TYPE": "esp8266", "RESIN_SUPERVISOR_DELTA": "1"},
    target_environment={},
)

Script = Callable[[Job], AsyncGenerator[Step, None]]


async def flashed(_: Job) -> AsyncGenerator[Step, None]:
    """What a job tells when all goes well."""
    yield Step(Stage.TRANSFERRING, 0, 262_144)
    yield Step(Stage.DONE, proof=Proof.VERSION_READ_BACK)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds that nobody tells of."""
    async with asyncio.timeout(LIMIT):
        while not holds():  # noqa: ASYNC110 - sockets close without an event to wait for
            await asyncio.sleep(0.01)


class MemoryControl:
    """A gateway that keeps what it is told, and pauses at once."""

    def __init__(self) -> None:
        self.views = {UUID: DeviceView(HOLY_SUNSET, DeviceStatus.IDLE)}
        self.current_status = GatewayStatus.RUNNING
        self.target_status = GatewayStatus.RUNNING
        self.asked: list[GatewayStatus] = []
        self.seconds: float | None = None
        self.paused_by = ""
        self.hooks: list[tuple[str, Hook]] = []
        self.deleted: list[str] = []
        self.restarts: list[str] = []
        self.jobs: list[Job] = []
        self.rollbacks: list[tuple[str, bool, bool]] = []
        self.script: Script = flashed
        self.turns = True
        self.fault: Exception | None = None

    async def set_target_status(self, status: GatewayStatus, *, seconds: float | None = None, by: str = "") -> None:
        self._fail()
        self.asked.append(status)
        self.current_status = self.target_status = status
        self.seconds = seconds
        self.paused_by = by

    async def devices(self) -> list[DeviceView]:
        self._fail()
        return list(self.views.values())

    async def device(self, word: str) -> DeviceView:
        self._fail()
        for view in self.views.values():
            if word in (view.device.uuid, view.device.local_id):
                return view
        raise UnknownError(f"no device is called {word!r}", remedy="enmctl devices lists those there are")

    async def take_hook(self, uuid: str, hook: Hook) -> None:
        view = await self.device(uuid)
        await asyncio.sleep(0)
        self.hooks.append((view.device.uuid, hook))

    async def delete(self, word: str) -> bool:
        self._fail()
        self.deleted.append(word)
        return self.views.pop(word, None) is not None

    async def want_restart(self, word: str) -> None:
        view = await self.device(word)
        self.restarts.append(word)
        self.views[view.device.uuid] = replace(view, device=replace(view.device, restart_wanted=True))

    def work(self, job: Job) -> AsyncGenerator[Step, None]:
        self.jobs.append(job)
        return self.script(job)

    async def plan(self) -> list[Planned]:
        self._fail()
        return [Planned("update", "its target is another", UUID, "holy-sunset", "1265892", "lamps", "b" * 40)]

    async def roll_back(self, word: str, *, application: bool, clear: bool) -> list[str]:
        self._fail()
        if not application:
            await self.device(word)
        self.rollbacks.append((word, application, clear))
        return [f"{word} goes back"]

    def turning(self) -> bool:
        return self.turns

    def summary(self) -> dict[str, Any]:
        self._fail()
        return {"version": "1.0", "currentStatus": self.current_status}

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


class Served(NamedTuple):
    """A running API, what it stands before, and a client of it."""

    control: MemoryControl
    api: ApiServer
    client: httpx.AsyncClient

    async def raw(self, request: bytes, *, half_close: bool = False) -> tuple[int, bytes]:
        """Send bytes as they are, and return status and body of the answer; (0, b"") where none comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.api.port)
        try:
            writer.write(request)
            if half_close:
                writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), LIMIT)
        except ConnectionResetError:
            answer = b""
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head else 0), body


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts APIs on free ports, with the settings given."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Served:
            control = MemoryControl()
            api = await stack.enter_async_context(ApiServer(control, Settings(**{"api_port": 0, **settings})))
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=api.address, timeout=LIMIT, trust_env=False, verify=NO_CERTIFICATES)
            )
            return Served(control, api, client)

        yield start


@pytest.fixture
async def served(serve: Serve) -> Served:
    """An API with the default settings but for the port."""
    return await serve()

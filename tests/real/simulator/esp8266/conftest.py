"""Boards that are quick enough for a test, and a client that talks to one."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.mdns import LoopbackMdns

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LIMIT = 10.0
"""Seconds within which anything in these tests must have happened."""

Boards = Callable[..., Awaitable[SimulatedEsp8266]]


@pytest.fixture
async def boards() -> AsyncIterator[Boards]:
    """Starts boards with the options given: unheard, quick to flash and to start."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> SimulatedEsp8266:
            quick = {"advertise": False, "flash_speed": 20e6, "reboot_time": 0.05}
            application_id = 10**8 + secrets.randbelow(9 * 10**8)
            return await stack.enter_async_context(SimulatedEsp8266(application_id, **(quick | options)))

        yield start


@pytest.fixture
async def board(boards: Boards) -> SimulatedEsp8266:
    return await boards()


@pytest.fixture
async def responder() -> AsyncIterator[LoopbackMdns]:
    async with LoopbackMdns() as responder:
        yield responder


class Client:
    """Asks boards over connections of their own, as a gateway does."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, board: SimulatedEsp8266, method: str, path: str, **more: Any) -> httpx.Response:
        return await self._client.request(method, board.url + path, **more)

    async def id(self, board: SimulatedEsp8266) -> dict[str, Any]:
        answer = await self.ask(board, "GET", "/id")
        assert answer.status_code == 200
        told: dict[str, Any] = answer.json()
        return told

    async def update(
        self, board: SimulatedEsp8266, image: bytes, *, field: str = "image", **more: Any
    ) -> httpx.Response:
        files = {field: ("firmware.bin", image, "application/octet-stream")}
        return await self.ask(board, "POST", board.path, files=files, **more)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with httpx.AsyncClient(
        timeout=LIMIT, trust_env=False, verify=NO_CERTIFICATES, headers={"Connection": "close"}
    ) as client:
        yield Client(client)


@pytest.fixture
def image() -> bytes:
    return esp8266_image(fw="new", size=65_536)

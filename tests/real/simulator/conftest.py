"""A simulated Supervisor with an application, a client that may come in, and a gateway that answers hooks as told."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from enmctl.simulator.serving import Listener, until_gone
from enmctl.simulator.supervisor import SimulatedSupervisor

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

LIMIT = 5.0
"""Seconds within which anything in these tests must have happened."""


class HookSeen(NamedTuple):
    """One hook as a gateway got it."""

    time: float
    method: str
    path: str
    body: Any


class HookGateway:
    """A small real HTTP server in the place of a gateway: it answers every hook with ``status``, or never."""

    def __init__(self) -> None:
        self.status = 202
        self.silent = False
        self.seen: list[HookSeen] = []
        self.listener = Listener(self._serve)

    @property
    def address(self) -> str:
        return f"{self.listener.url}/v1/devices/"

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        now = asyncio.get_running_loop().time()
        self.seen.append(HookSeen(now, scope["method"], scope["path"], json.loads(body) if body else None))
        if self.silent:
            await until_gone(receive)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class Supervised(NamedTuple):
    """A running Supervisor with an application ``app`` and a client that shows the key."""

    supervisor: SimulatedSupervisor
    client: httpx.AsyncClient
    app: int

    async def provision(self, **more: Any) -> dict[str, Any]:
        answer = await self.client.post("/v1/devices", json={"appId": self.app, **more})
        assert answer.status_code == 201, answer.text
        resource: dict[str, Any] = answer.json()
        return resource

    async def device(self, uuid: str) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/devices/{uuid}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown


Supervise = Callable[..., Awaitable[Supervised]]


@pytest.fixture
async def supervise() -> AsyncIterator[Supervise]:
    """Starts Supervisors with the options given, and an application in each."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Supervised:
            supervisor = await stack.enter_async_context(SimulatedSupervisor(**options))
            headers = {"Authorization": f"ApiKey {supervisor.api_key}"} if supervisor.api_key else {}
            client = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=supervisor.url, headers=headers, timeout=LIMIT, trust_env=False, verify=NO_CERTIFICATES
                )
            )
            app = 10_000 + secrets.randbelow(10_000_000)
            supervisor.add_application(app, "greenhouse", {"RESIN_HOST_TYPE": "esp8266"})
            return Supervised(supervisor, client, app)

        yield start


@pytest.fixture
async def hook_gateway() -> AsyncIterator[HookGateway]:
    gateway = HookGateway()
    async with gateway.listener:
        yield gateway

"""The HTTP API of the simulated Supervisor: what a gateway may ask of the proxyvisor."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from enmctl.simulator.supervisor import assets
from enmctl.simulator.supervisor.answers import Answer, Exchange
from enmctl.simulator.supervisor.faults import Fault, FaultName, Faults, Operation
from enmctl.simulator.supervisor.misbehaviour import misbehave
from enmctl.simulator.supervisor.records import DeviceRow, RequestRecord
from enmctl.simulator.supervisor.requests import (
    BodyError,
    parse_body,
    parse_int,
    read_body,
    report_problem,
    shown_body,
    shows_key,
)
from enmctl.simulator.supervisor.state import CloudAwayError, SupervisorState, remember

REQUESTS_KEPT = 20_000
"""Requests that are remembered."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that found its route: the path's parts, the parsed body, and the fault that is to befall it."""

    request: Request
    words: Mapping[str, str]
    body: Any
    fault: Fault | None

    def field(self, name: str) -> Any:
        """A field of the body; None where the body has none, or is a list."""
        return self.body.get(name) if isinstance(self.body, dict) else None


Handler = Callable[[Call], Awaitable[Answer]]
Inserted = dict[str, Any] | None
Spawn = Callable[[Coroutine[Any, Any, Inserted]], "asyncio.Task[Inserted]"]


class Api:
    """The ASGI application.

    Args:
        state: what it answers from.
        faults: what goes wrong.
        key: the API key that is wanted, or None for none (the Supervisor's local mode).
        cloud_delay: seconds that the cloud takes for what has to go there.
        spawn: starts an insertion that outlives its request.
    """

    def __init__(
        self,
        state: SupervisorState,
        faults: Faults,
        *,
        key: str | None,
        cloud_delay: float,
        spawn: Spawn,
    ) -> None:
        self.key = key
        self.cloud_delay = cloud_delay
        self.requests: deque[RequestRecord] = deque(maxlen=REQUESTS_KEPT)
        self._state = state
        self._faults = faults
        self._spawn = spawn
        routes: tuple[tuple[str, str, Operation, Handler], ...] = (
            ("GET", "/ping", Operation.PING, self._ping),
            ("GET", "/v1/device", Operation.GATEWAY, self._gateway),
            ("POST", "/v1/update", Operation.UPDATE, self._update),
            ("GET", "/v1/dependent-apps", Operation.APPLICATIONS, self._applications),
            ("GET", "/v1/dependent-apps/(?P<app>[^/]+)/assets/(?P<commit>[^/]+)", Operation.ASSETS, self._asset),
            ("GET", "/v1/devices", Operation.DEVICES, self._devices),
            ("POST", "/v1/devices", Operation.PROVISION, self._provision),
            ("GET", "/v1/devices/(?P<uuid>[^/]+)", Operation.DEVICE, self._device),
            ("PUT", "/v1/devices/(?P<uuid>[^/]+)", Operation.REPORT, self._report),
            ("POST", "/v1/devices/(?P<uuid>[^/]+)/logs", Operation.LOG, self._log),
        )
        self._routes = [(method, re.compile(path + "/?"), name, handler) for method, path, name, handler in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        record = RequestRecord(asyncio.get_running_loop().time(), request.method, request.url.path, None)
        self.requests.append(record)
        exchange = Exchange(scope, receive, send, record)
        try:
            await self._serve(request, exchange)
        except ClientDisconnect:
            pass
        finally:
            self._state.changes.changed()

    async def _serve(self, request: Request, exchange: Exchange) -> None:
        try:
            content = await read_body(request)
            exchange.record.body = shown_body(content)
            body = parse_body(request.headers.get("content-type", ""), content)
        except BodyError as error:
            refusal = Answer.of_json(503, {"status": "failed", "message": str(error)})
            await exchange.answer(refusal if self._let_in(request) else _unauthorized())
            return
        if not self._let_in(request):
            await exchange.answer(_unauthorized())
            return
        found = self._find(request)
        if found is None:
            await exchange.answer(Answer.of_no_route(request.method, request.url.path))
            return
        operation, handler, words = found
        fault = self._faults.take(operation, request.url.path)
        call = Call(request, words, body, fault)
        self._state.changes.changed()
        await misbehave(fault, exchange, lambda: self._carry_out(handler, call))

    def _find(self, request: Request) -> tuple[Operation, Handler, Mapping[str, str]] | None:
        """The route, with the words of the path; a path that exists for another method is none, as in Express."""
        wanted = "GET" if request.method == "HEAD" else request.method
        for method, path, operation, handler in self._routes:
            match = path.fullmatch(request.url.path)
            if match and method == wanted:
                return operation, handler, match.groupdict()
        return None

    def _let_in(self, request: Request) -> bool:
        is_open = request.url.path == "/ping" and not self._state.era.ping_needs_key
        return is_open or shows_key(request, self.key, self._state.era)

    async def _carry_out(self, handler: Handler, call: Call) -> Answer:
        try:
            return await handler(call)
        except (CloudAwayError, ValueError) as error:
            return Answer.of_text(503, str(error))

    async def _ping(self, _: Call) -> Answer:
        return Answer.of_text(200, "OK")

    async def _gateway(self, _: Call) -> Answer:
        return Answer.of_json(
            200,
            {
                "api_port": 48484,
                "ip_address": "127.0.0.1",
                "status": "Idle",
                "download_progress": None,
                "os_version": "balenaOS 2.54.2+rev1",
                "supervisor_version": self._state.era.version,
                "update_pending": not self._state.hooks_at_rest(),
                "update_downloaded": False,
                "update_failed": False,
            },
        )

    async def _update(self, _: Call) -> Answer:
        self._state.poll_target_state()
        return Answer(204)

    async def _applications(self, _: Call) -> Answer:
        return Answer.of_json(200, [row.shown() for row in self._state.application_rows.values()])

    async def _asset(self, call: Call) -> Answer:
        app_id = parse_int(call.words["app"])
        push = self._state.push_for(app_id, call.words["commit"]) if app_id else None
        if push is None:
            return Answer.of_text(404, "Not found")
        tar = assets.tar_of(push)
        if tar is None:
            return Answer.of_text(503, "Command failed: tar: Cowardly refusing to create an empty archive")
        if call.fault is not None:
            tar = assets.spoil(tar, push, call.fault)
        return assets.serve(tar, push.pushed_at, call.request.headers)

    async def _devices(self, _: Call) -> Answer:
        return Answer.of_json(200, [row.shown(self._state.era) for row in self._state.devices.values()])

    async def _provision(self, call: Call) -> Answer:
        app_id = parse_int(call.field("appId"))
        if app_id is None:
            return Answer.of_text(400, "appId must be a positive integer")
        late = call.fault is not None and call.fault.name is FaultName.LATE_INSERT
        delay = self.cloud_delay + (call.fault.delay if late and call.fault else 0)
        insertion = self._spawn(self._insert(app_id, call.field("device_type"), delay))
        if late:
            return Answer(500)
        resource = await asyncio.shield(insertion)
        if resource is None:
            return Answer.of_text(400, "Provisioning failed, invalid appId or credentials")
        if call.fault is not None and call.fault.name is FaultName.STALE_TARGET:
            self._state.poll_target_state(unaware_of=resource["uuid"])
        return Answer.of_json(201, resource)

    async def _insert(self, app_id: int, device_type: str | None, delay: float) -> Inserted:
        await asyncio.sleep(delay)
        return self._state.provision(app_id, device_type)

    async def _device(self, call: Call) -> Answer:
        row = self._row(call)
        return row if isinstance(row, Answer) else Answer.of_json(200, row.shown(self._state.era))

    async def _report(self, call: Call) -> Answer:
        fields = call.body if isinstance(call.body, dict) else {}
        problem = report_problem(fields)
        if problem is not None:
            return Answer.of_text(400, problem)
        row = self._row(call)
        if isinstance(row, Answer):
            return row
        before = row.shown(self._state.era)
        if {"status", "is_online", "commit", "releaseId"} & set(fields):
            await asyncio.sleep(self.cloud_delay)
        self._state.patch(row.uuid, fields)
        after = row.shown(self._state.era)
        return Answer.of_json(200, after if self._state.era.answers_new_row else before)

    async def _log(self, call: Call) -> Answer:
        row = self._row(call)
        if isinstance(row, Answer):
            return row
        message = call.field("message")
        remember(self._state.logs[row.uuid], message if isinstance(message, str) else repr(message))
        return Answer.of_text(202, "OK")

    def _row(self, call: Call) -> DeviceRow | Answer:
        row = self._state.devices.get(call.words["uuid"])
        if row is None:
            return Answer.of_text(404, "Device not found")
        return Answer.of_text(410, "Device deleted") if row.marked_for_deletion else row


def _unauthorized() -> Answer:
    return Answer.of_text(401, "Unauthorized")

"""The hooks: how the simulated Supervisor tells a gateway what should be.

As the proxyvisor does: for each device whose reported state is not its target, PUT until the gateway has answered 200
for this very target, or reported it back; for each deleted one, DELETE until exactly 200. One after another, never
giving up; from v7 on at most once per throttle and device, before that once per poll of the target state.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator
from typing import Any

import httpx

from enmctl.simulator.supervisor.records import DeviceRow, HookRecord, TargetState
from enmctl.simulator.supervisor.state import SupervisorState

HOOKS_KEPT = 20_000
"""Hooks that are remembered."""


class Hooks:
    """Sends hooks for as long as ``run`` runs.

    Args:
        state: whose devices it looks after.
        address: what a uuid is appended to, so it ends in ``/``; None sends nothing.
        throttle: seconds between two hooks for one device (30 in the real one), from v7 on.
        apply_interval: seconds between two looks at all devices, from v7 on.
        timeout: seconds within which a gateway has to answer (15 min in the real one).

    Attributes:
        sent: how many hooks went out.
        answered: how many of them were answered, whatever with.
        records: the last of them.
    """

    def __init__(
        self, state: SupervisorState, *, address: str | None, throttle: float, apply_interval: float, timeout: float
    ) -> None:
        self.address = address
        self.throttle = throttle
        self.apply_interval = apply_interval
        self.timeout = timeout
        self.sent = 0
        self.answered = 0
        self.records: deque[HookRecord] = deque(maxlen=HOOKS_KEPT)
        self._state = state
        self._acknowledged: dict[str, TargetState] = {}
        self._sent_at: dict[str, float] = {}

    async def run(self) -> None:
        """Send what is due, for ever."""
        limits = httpx.Limits(max_keepalive_connections=0)
        # Hooks are plain HTTP; a bare context saves the 40 ms that certificates take to load.
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(timeout=self.timeout, limits=limits, trust_env=False, verify=bare) as client:
            polls_seen = -1
            while True:
                if self._state.era.throttled:
                    await self._round(client)
                    await asyncio.sleep(self.apply_interval)
                    if not any(self._wait_left(row) <= 0 for row in self._due()):
                        await self._state.changes.next(self._pause())
                elif polls_seen != self._state.polls:
                    polls_seen = self._state.polls
                    await self._round(client)
                else:
                    await self._state.changes.next()

    def _due(self) -> Iterator[DeviceRow]:
        """Devices that want a hook, now or once their throttle is over."""
        if self.address is None:
            return
        for row in self._state.devices.values():
            if row.settled:
                continue
            if row.marked_for_deletion or self._acknowledged.get(row.uuid) != row.target:
                yield row

    def _wait_left(self, row: DeviceRow) -> float:
        if not self._state.era.throttled or row.uuid not in self._sent_at:
            return 0.0
        return self._sent_at[row.uuid] + self.throttle - asyncio.get_running_loop().time()

    def _pause(self) -> float | None:
        """Seconds until the next throttle is over, or None where nothing is due at all."""
        return min((max(0.0, self._wait_left(row)) for row in self._due()), default=None)

    async def _round(self, client: httpx.AsyncClient) -> None:
        for row in list(self._due()):
            if self._wait_left(row) > 0 or row.uuid not in self._state.devices:
                continue
            self._sent_at[row.uuid] = asyncio.get_running_loop().time()
            if row.marked_for_deletion:
                await self._tell_deletion(client, row)
            else:
                await self._tell_target(client, row)

    async def _tell_target(self, client: httpx.AsyncClient, row: DeviceRow) -> None:
        target = row.target
        body = {
            "appId": str(row.app_id) if self._state.era.hook_app_id_is_text else row.app_id,
            "commit": target.commit,
            "config": target.config,
            "environment": target.environment,
        }
        if await self._send(client, "PUT", row.uuid, body) == httpx.codes.OK:
            self._acknowledged[row.uuid] = target
        else:
            self._acknowledged.pop(row.uuid, None)

    async def _tell_deletion(self, client: httpx.AsyncClient, row: DeviceRow) -> None:
        if await self._send(client, "DELETE", row.uuid, None) == httpx.codes.OK:
            self._acknowledged.pop(row.uuid, None)
            self._sent_at.pop(row.uuid, None)
            self._state.forget(row.uuid)

    async def _send(self, client: httpx.AsyncClient, method: str, uuid: str, body: Any) -> int | None:
        """Send one hook, and return the status of its answer, or None where none came."""
        record = HookRecord(self._sent_at[uuid], method, uuid, body)
        self.records.append(record)
        self.sent += 1
        try:
            answer = await client.request(method, f"{self.address}{uuid}", json=body)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        else:
            self.answered += 1
            record.status = answer.status_code
            return answer.status_code
        finally:
            self._state.changes.changed()

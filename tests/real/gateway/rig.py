"""A whole gateway against a simulated Supervisor and boards: real HTTP, real mDNS, real SQLite, small delays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enmctl.gateway.control import DeviceView
from enmctl.gateway.reach import ON_LOOPBACK
from enmctl.gateway.run import Running, running
from enmctl.models import Device
from enmctl.settings import Settings
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.mdns import LoopbackMdns
from enmctl.simulator.supervisor import SimulatedSupervisor
from enmctl.store import Store

SMALL = 48 * 1024
"""Bytes of the images here."""

WITHIN = 30.0
"""Seconds that any wait may take on a machine that is busy with other tests."""

QUICK: dict[str, Any] = {
    "loop_delay": 0.2,
    "supervisor_check_delay": 0.05,
    "avahi_timeout": 3.0,
    "probe_interval": 0.2,
    "probe_timeout": 2.0,
    "return_probe_interval": 0.05,
    "return_timeout": 5.0,
    "return_grace": 3.0,
    "retry_delay": 0.2,
    "retry_delay_most": 1.0,
    "answer_timeout": 5.0,
    "stall_timeout": 2.0,
    "stop_timeout": 2.0,
    "provision_settle": 0.5,
    "supervisor_timeout": 5.0,
    "report_interval": 60.0,
    "api_port": 0,
    "mdns_interfaces": "127.0.0.1",
    "hotspot": "off",
    "dependent_log_level": "debug",
}
"""Every delay made small."""


def application_id() -> int:
    """An application that no other test on this machine has, for loopback multicast is one room.

    From the system's own chance: libraries that seed ``random`` would give several processes the same ones.
    """
    return 1_000_000 + secrets.randbelow(2_000_000_000)


def settings_in(folder: Path, supervisor: SimulatedSupervisor, **more: Any) -> Settings:
    """Settings of a quick gateway that keeps all it has in a folder."""
    known = QUICK | {
        "db_directory": folder / "database",
        "assets_directory": folder / "assets",
        "lock_file": folder / "lock" / "resin-updates.lock",
        "balena_lock_file": folder / "balena" / "updates.lock",
        "supervisor_address": supervisor.url,
        "supervisor_api_key": supervisor.api_key,
    }
    return Settings(**(known | more))


@dataclass
class Rig:
    """The outside of a gateway: a Supervisor with one application, and its boards."""

    folder: Path
    supervisor: SimulatedSupervisor
    mdns: LoopbackMdns
    app: int
    stack: AsyncExitStack
    boards: list[SimulatedEsp8266] = field(default_factory=list)

    async def add_board(self, local_id: str | None = None, **options: Any) -> SimulatedEsp8266:
        """One more board, switched on."""
        known: dict[str, Any] = {
            "flash_speed": 400_000.0,
            "reboot_time": 0.2,
            "mdns": self.mdns,
            "application_id": self.app,
        }
        board = SimulatedEsp8266(local_id=local_id or str(1 + secrets.randbelow((1 << 24) - 1)), **(known | options))
        self.boards.append(await self.stack.enter_async_context(board))
        return board

    def push(self, *, fw: str | None = "commit", size: int = SMALL, assets: dict[str, bytes] | None = None) -> str:
        """Push a commit whose image tells it as its version, or ``fw``."""
        commit = secrets.token_hex(20)
        version = commit if fw == "commit" else fw
        made = {"firmware.bin": esp8266_image(fw=version, size=size, seed=secrets.randbelow(1 << 20))}
        return self.supervisor.push(self.app, made if assets is None else assets, commit)

    def settings(self, **more: Any) -> Settings:
        """The gateway's settings."""
        return settings_in(self.folder, self.supervisor, **more)

    @asynccontextmanager
    async def gateway(self, **more: Any) -> AsyncGenerator[Running]:
        """A running gateway, which the Supervisor's hooks reach."""
        async with running(self.settings(**more), reach=ON_LOOPBACK) as gateway:
            self.supervisor.hook_address = f"{gateway.api.address}/v1/devices/"
            yield gateway

    def environment(self, **more: Any) -> dict[str, str]:
        """The same settings as environment variables, for a gateway in a process of its own."""
        from enmctl.settings import variables

        settings = self.settings(**more)
        return {
            variable.names[0]: str(getattr(settings, name))
            for name, variable in variables().items()
            if getattr(settings, name) not in ("", None)
        }

    async def wait_for(self, predicate: Callable[[], bool], within: float = WITHIN) -> None:
        """Wait until something holds of the Supervisor."""
        await self.supervisor.wait_for(predicate, within)

    def statuses(self) -> list[str]:
        """What the Supervisor was told of each device."""
        return [str(row.status) for row in self.supervisor.devices.values()]

    def on_target(self) -> bool:
        """Whether every board is a device, each on its target, as the Supervisor was told."""
        rows = [row for row in self.supervisor.devices.values() if not row.marked_for_deletion]
        assert len(rows) <= len(self.boards), f"{len(rows)} devices were made of {len(self.boards)} boards"
        return len(rows) == len(self.boards) and all(
            row.commit is not None and row.commit == row.target_commit and row.status == "Idle" for row in rows
        )

    async def all_on_target(self, within: float = WITHIN) -> None:
        """Wait until every board is on target and the Supervisor's hooks are at rest."""
        await self.wait_for(lambda: self.on_target() and self.supervisor.hooks_at_rest(), within)


@asynccontextmanager
async def rig(folder: Path, *, boards: int = 0, **supervisor: Any) -> AsyncGenerator[Rig]:
    """A Supervisor with one application and so many boards."""
    options: dict[str, Any] = {"hook_throttle": 0.2, "apply_interval": 0.05} | supervisor
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(SimulatedSupervisor(**options))
        mdns = await stack.enter_async_context(LoopbackMdns())
        made = Rig(folder, server, mdns, application_id(), stack)
        server.add_application(made.app, "lamps", {"RESIN_HOST_TYPE": "esp8266"})
        for _ in range(boards):
            await made.add_board()
        yield made


async def eventually(holds: Callable[[], bool], within: float = WITHIN) -> None:
    """Wait until something holds that tells nobody when it does."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def until_stored(running: Running, holds: Callable[[list[Device]], bool]) -> None:
    """Wait until something holds of the stored devices, the deleted ones among them."""
    async with asyncio.timeout(WITHIN):
        while not holds(await running.gateway.crew.store.call(Store.devices, deleted=None)):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)


async def until_views(running: Running, holds: Callable[[list[DeviceView]], bool]) -> None:
    """Wait until something holds of the devices as the gateway shows them."""
    async with asyncio.timeout(WITHIN):
        while not holds(await running.steward.devices()):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)

"""A gateway whose desired state comes from a Supervisor or from a fleet file: one rig for what must hold of both."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from enmctl.gateway.run import Running
from enmctl.models import Device
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.images import esp8266_image
from tests.real.gateway.rig import SMALL, Rig, eventually, rig, until_stored

Kind = Literal["supervisor", "file"]


class Either:
    """The outside of a gateway, and what its source says; what a release is called is known by its firmware alone."""

    def __init__(self, kind: Kind, outside: Rig) -> None:
        self.kind = kind
        self.outside = outside
        self.file = outside.folder / "fleet.toml"
        self.environment: dict[str, str] = {}
        self.left_out: set[str] = set()
        self.policy = ""
        self.more = ""
        self.boards_line = f"boards = {{ applications = [{outside.app}] }}"
        self._firmware = ""
        self._releases = 0

    @property
    def boards(self) -> list[SimulatedEsp8266]:
        """The boards."""
        return self.outside.boards

    def push(self, *, content: bytes | None = None, fw: str | None = None, size: int = SMALL) -> str:
        """Release firmware; what it says of itself."""
        self._releases += 1
        fw = fw or f"{self._releases}.0"
        image = esp8266_image(fw=fw, size=size, seed=random.randrange(1 << 20)) if content is None else content
        if self.kind == "supervisor":
            self.outside.push(assets={"firmware.bin": image})
        else:
            self._firmware = f"firmware-{self._releases}.bin"
            (self.file.parent / self._firmware).write_bytes(image)
            self.write()
        return fw

    def write(self) -> None:
        """Write the fleet file anew, in one piece as editors do."""
        listed = "" if not self.left_out else 'provision = "listed"\n'
        names = [board for board in self.boards if board.local_id not in self.left_out] if self.left_out else []
        devices = "".join(f'[devices.d{board.local_id}]\nboard = "{board.local_id}"\n' for board in names)
        environment = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.environment.items())
        text = (
            f'{self.policy}\n[applications.lamps]\nboard = "esp8266"\nfirmware = "{self._firmware}"\n'
            f"{self.boards_line}\n{listed}environment = {{ {environment} }}\n{self.more}\n{devices}"
        )
        new = self.file.with_suffix(".new")
        new.write_text(text, "utf-8")
        new.replace(self.file)

    def set_environment(self, values: dict[str, str]) -> None:
        """Have every device get this environment."""
        self.environment = values
        if self.kind == "supervisor":
            self.outside.supervisor.set_environment(self.outside.app, values)
        else:
            self.write()

    def drop(self, device: Device) -> None:
        """Have the source know a device no more."""
        if self.kind == "supervisor":
            self.outside.supervisor.delete_device(device.uuid)
        else:
            self.left_out.add(device.local_id or "")
            self.write()

    @asynccontextmanager
    async def gateway(self, **more: Any) -> AsyncGenerator[Running]:
        """A running gateway."""
        own = {"source": "fleet", "fleet_file": self.file} if self.kind == "file" else {}
        async with self.outside.gateway(**(own | more)) as running:
            yield running

    async def all_run(self, fw: str, running: Running) -> None:
        """Wait until every board runs this, and the gateway knows it."""
        await eventually(lambda: all(board.fw == fw and board.state == "running" for board in self.boards))
        await until_stored(running, lambda devices: len(alive(devices)) == len(self.boards) and at_rest(devices))


def alive(devices: list[Device]) -> list[Device]:
    """Those that are looked after."""
    return [device for device in devices if not device.deleted and device.local_id is not None]


def at_rest(devices: list[Device]) -> bool:
    """Whether each is on its target."""
    return all(device.commit is not None and device.commit == device.wanted_commit for device in alive(devices))


@asynccontextmanager
async def either(kind: Kind, folder: Path, *, boards: int = 0) -> AsyncGenerator[Either]:
    """An outside with so many boards."""
    async with rig(folder, boards=boards) as outside:
        yield Either(kind, outside)


async def stored(running: Running, holds: Callable[[list[Device]], bool] = lambda _: True) -> list[Device]:
    """The devices that are looked after, once something holds of them."""
    found: list[Device] = []

    def check(devices: list[Device]) -> bool:
        found[:] = alive(devices)
        return holds(found)

    await until_stored(running, check)
    return found

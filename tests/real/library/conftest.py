"""A world on the network and on the air, and an environment in which programs see it and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enmctl.gateway import lookout
from enmctl.settings import variables
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.nordic.microbit_application import Habits, friendly_name
from enmctl.simulator.world import World
from tests.real.boards.air import QUICK as QUICK_MICROBIT
from tests.real.boards.air import image, program_file
from tests.real.cli.outside import QUICK

NAME = "zavit"
"""The micro:bit on the page."""


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A micro:bit V1 called zavit and an ESP8266, with ``program.hex`` in the working directory."""
    async with World(
        boards_per_application=1,
        firmware_size=32 * 1024,
        bluetooth=True,
        board_options={"flash_speed": 400_000.0, "reboot_time": 0.2},
    ) as made:
        serial = next(number for number in range(1, 1 << 16) if friendly_name(number) == NAME)
        await add_microbit(made, "microbit-v1", serial)
        for name in [name for variable in variables().values() for name in variable.names]:
            monkeypatch.delenv(name, raising=False)
        for name, value in {**QUICK, **made.environment(tmp_path), "ENM_BLUETOOTH_LONG_TIMEOUT": "3"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(lookout, "QUIET", 0.4)
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        program_file(here).rename(here / "program.hex")
        yield made


async def add_microbit(world: World, breed: str, serial: int) -> None:
    """One more of them, a quick one."""
    await world.add_to_air(breed, serial, habits=Habits(**QUICK_MICROBIT), image=image(breed, seed=0))


@pytest.fixture
def on_network(world: World) -> SimulatedEsp8266:
    """The ESP8266."""
    return next(iter(world.boards.values()))

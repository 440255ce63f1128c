from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator

import pytest

from enmctl.boards.esp8266 import Esp8266
from enmctl.models import DiscoveredBoard
from enmctl.settings import Settings
from enmctl.simulator.esp8266 import SimulatedEsp8266
from tests.real.boards.rig import FAST, REBOOT, Make, board_of


@pytest.fixture
def settings() -> Settings:
    return Settings(
        connect_timeout=1,
        stall_timeout=0.5,
        answer_timeout=0.5,
        update_timeout=20,
        return_timeout=4,
        return_grace=0.5,
        return_probe_interval=0.02,
        probe_timeout=1,
    )


@pytest.fixture
def driver(settings: Settings) -> Esp8266:
    return Esp8266(settings)


@pytest.fixture
def application() -> int:
    return secrets.randbelow(1 << 40)


@pytest.fixture
async def make(application: int) -> AsyncGenerator[Make, None]:
    """Switch on a quick simulated board; all are switched off in the end."""
    made: list[SimulatedEsp8266] = []

    async def switch_on(**options: object) -> tuple[SimulatedEsp8266, DiscoveredBoard]:
        habits = {"advertise": False, "flash_speed": FAST, "reboot_time": REBOOT, "fw": "old"} | options
        simulated = SimulatedEsp8266(application, **habits)  # type: ignore[arg-type]  # any of its many options
        await simulated.start()
        made.append(simulated)
        return simulated, board_of(simulated)

    yield switch_on
    for simulated in made:
        await simulated.stop()

"""What a service manager hears of a gateway, on the socket that it listens on."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.gateway.service_manager import told_to_service_manager
from tests.real.gateway.process import running_process
from tests.real.gateway.rig import WITHIN, rig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="service managers of Linux")


class Manager:
    """Hears, in order, what it is told."""

    def __init__(self) -> None:
        self.name = f"enmctl-{secrets.token_hex(8)}"
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(f"\0{self.name}")
        self._line.setblocking(False)

    async def next(self) -> str:
        """The next word."""
        async with asyncio.timeout(WITHIN):
            return (await asyncio.get_running_loop().sock_recv(self._line, 100)).decode()

    def close(self) -> None:
        """Leave."""
        self._line.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    made = Manager()
    yield made
    made.close()


async def test_a_gateway_is_ready_lives_and_ends(tmp_path: Path, manager: Manager) -> None:
    async with rig(tmp_path) as world:
        environment = world.environment() | {"NOTIFY_SOCKET": f"@{manager.name}", "WATCHDOG_USEC": "200000"}
        async with running_process(environment, "run", log=tmp_path / "log") as process:
            assert await manager.next() == "READY=1"
            assert [await manager.next(), await manager.next()] == ["WATCHDOG=1"] * 2
            process.send_signal(signal.SIGTERM)
            while (word := await manager.next()) == "WATCHDOG=1":
                pass
            assert word == "STOPPING=1"
            assert await process.wait() == 0


async def test_one_whose_loop_stands_still_is_silent(manager: Manager) -> None:
    answers = iter([True, False, False, True])
    alive = asyncio.Event()

    def is_alive() -> bool:
        answer = next(answers, None)
        if answer is None:
            alive.set()
        return bool(answer)

    environment = {"NOTIFY_SOCKET": f"@{manager.name}", "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    async with told_to_service_manager(is_alive, environment):
        await alive.wait()
    assert [await manager.next() for _ in range(4)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
async def test_one_that_nobody_watches_says_only_that_it_is_ready_and_ends(
    manager: Manager, more: dict[str, str]
) -> None:
    async with told_to_service_manager(lambda: True, {"NOTIFY_SOCKET": f"@{manager.name}", **more}):
        await asyncio.sleep(0)
    assert [await manager.next(), await manager.next()] == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize("address", ["", "@nobody-listens-here", "/nowhere/at/all"])
async def test_a_service_manager_that_is_not_there_stops_nothing(address: str) -> None:
    async with told_to_service_manager(lambda: True, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}):
        await asyncio.sleep(0)

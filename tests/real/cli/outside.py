"""Simulated boards and a Supervisor in a thread of their own, so that a command has the main thread to itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.world import World

T = TypeVar("T")

WITHIN = 30.0
"""Seconds that any wait may take on a machine that is busy with other tests."""

IMAGE_SIZE = 32 * 1024
VERSION = "c" * 40
"""What the firmware that tests flash by hand says of itself."""

QUICK = {
    "ENM_AVAHI_TIMEOUT": "5",
    "ENM_CONFIG_LOOP_DELAY": "0.2",
    "ENM_SUPERVISOR_CHECK_DELAY": "0.05",
    "ENM_PROBE_INTERVAL": "0.2",
    "ENM_RETURN_PROBE_INTERVAL": "0.05",
    "ENM_RETURN_TIMEOUT": "5",
    "ENM_ANSWER_TIMEOUT": "5",
    "ENM_STALL_TIMEOUT": "2",
    "ENM_STOP_TIMEOUT": "2",
    "ENM_RETRY_DELAY": "0.2",
}
"""Every delay made small."""


def image(version: str = VERSION) -> bytes:
    """A whole image that tells its version."""
    return esp8266_image(fw=version, size=IMAGE_SIZE, seed=7)


class Outside:
    """A world, and the loop that it lives in."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.world = world
        self._loop = loop

    @property
    def app(self) -> int:
        """The one application."""
        return self.world.application_ids[0]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the world's loop, and wait for its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the world's loop."""

        async def called() -> T:
            return function()

        return self.do(called())

    def add_board(self, **options: Any) -> SimulatedEsp8266:
        """One more board, switched on."""
        return self.do(self.world.add_board(self.app, **options))

    def all_on_target(self, within: float = WITHIN) -> None:
        """Wait until the Supervisor has every board on its target."""

        def on_target() -> bool:
            rows = self.world.supervisor.devices.values()
            return len(rows) == len(self.world.boards) and all(
                row.commit is not None and row.commit == row.target_commit and row.status == "Idle" for row in rows
            )

        self.do(self.world.supervisor.wait_for(on_target, within))


@contextmanager
def outside(**options: Any) -> Iterator[Outside]:
    """A world of quick boards for as long as the context lasts."""
    quick = {"flash_speed": 400_000.0, "reboot_time": 0.2}
    board_options = quick | options.pop("board_options", {})
    ready = threading.Event()
    made: list[Outside] = []
    failed: list[BaseException] = []

    async def live() -> None:
        try:
            async with World(firmware_size=IMAGE_SIZE, board_options=board_options, **options) as world:
                stop = asyncio.Event()
                loop = asyncio.get_running_loop()
                made.append(Outside(world, loop))
                stops.append(lambda: loop.call_soon_threadsafe(stop.set))
                ready.set()
                await stop.wait()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()

    stops: list[Callable[[], Any]] = []
    thread = threading.Thread(target=lambda: asyncio.run(live()), name="outside")
    thread.start()
    try:
        assert ready.wait(WITHIN)
        assert not failed, failed
        yield made[0]
    finally:
        for stop in stops:
            stop()
        thread.join(WITHIN)

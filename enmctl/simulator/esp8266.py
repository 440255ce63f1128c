"""Simulated ESP8266 boards: real sockets, real multicast DNS, and every way of an update to fail.

A board behaves as the sketch in docs/firmware does on a chip, with the habits of the chip's web server and updater.
What runs on it is what was last flashed: an image that a chip could not start from bricks it, and the version that it
tells is the one that the image carries.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from types import TracebackType
from typing import Any, Self

from enmctl.errors import UsageError
from enmctl.radio.mdns import LOOPBACK
from enmctl.simulator.esp8266_firmware import Esp8266Firmware, Reset
from enmctl.simulator.esp8266_update import Fault
from enmctl.simulator.images import SMALLEST_IMAGE, esp8266_image, starts, unpacked
from enmctl.simulator.mdns import LoopbackMdns
from enmctl.simulator.ports import HeldPort

FLASH_SIZE = 4 << 20
FREE_SPACE = 254 * 4096
"""Bytes: what a layout with 1 MiB for the sketch leaves for a new one."""
FLASH_SPEED = 100_000.0
"""Bytes a second: a sector of 4 KiB takes about 40 ms to erase and write."""
REBOOT_TIME = 3.0


UNWELL = "-unwell"
"""Firmware whose version ends so comes up, falls silent after a while, and starts again, over and over."""
UNWELL_UP, UNWELL_AWAY = 3.0, 25.0
"""Seconds for which it is there, and for which it is not."""


class BoardState(StrEnum):
    """What a board is at."""

    OFF = "off"
    STARTING = "starting"
    RUNNING = "running"
    DOWN = "down"
    """It did not come back from a restart; switching its power helps."""
    BRICKED = "bricked"
    """What is in its flash does not start; nothing helps but a cable."""


@cache
def factory_image(fw: str | None, flash_size: int = FLASH_SIZE) -> bytes:
    """The small image that new boards run; all with the same version share it."""
    return esp8266_image(fw=fw, size=SMALLEST_IMAGE, flash_size=flash_size)


class SimulatedEsp8266(Esp8266Firmware):
    """One board. A context manager: it is switched on when entered, and takes its leave when left.

    Args:
        application_id: the application that its firmware names.
        local_id: the chip's id in decimal; a random one where left out.
        board_type: the type in its name.
        mdns: the responder that advertises it; one of its own where left out.
        advertise: False keeps it unheard.
        name_suffix: put behind the name, as a board does that finds its name taken; makes two boards with one id.
        contract: False leaves out the TXT record and all pages but the update, as old samples do.
        auth: user and password that the update and the POST pages ask for.
        path: where it takes updates.
        fw: the version of the image that it runs at first, None for one that carries none.
        image: that image itself, instead.
        flash_size: the chip's flash, in bytes.
        free_space: the largest image that fits, in bytes.
        flash_speed: bytes a second at which an image is written.
        reboot_time: seconds from a restart, or from power, until it listens again.
        loop_delay: seconds between two looks of the sketch at the network; the old sample has 1.
        watchdog: seconds until a board that hangs is reset, None for never.
        address: where on loopback it listens; ``port`` 0 takes a free one, which it then keeps.
    """

    def __init__(
        self,
        application_id: int,
        local_id: str | None = None,
        *,
        board_type: str = "ESP8266",
        mdns: LoopbackMdns | None = None,
        advertise: bool = True,
        name_suffix: str = "",
        contract: bool = True,
        auth: tuple[str, str] | None = None,
        path: str = "/update",
        fw: str | None = "factory",
        image: bytes | None = None,
        flash_size: int = FLASH_SIZE,
        free_space: int = FREE_SPACE,
        flash_speed: float = FLASH_SPEED,
        reboot_time: float = REBOOT_TIME,
        loop_delay: float = 0.0,
        watchdog: float | None = None,
        address: str = LOOPBACK,
        port: int = 0,
    ) -> None:
        super().__init__(
            application_id,
            local_id or str(random.randrange(1, 1 << 24)),  # noqa: S311 - a name, not a secret
            board_type=board_type,
            contract=contract,
            auth=auth,
            path=path,
            image=factory_image(fw, flash_size) if image is None else image,
            flash_size=flash_size,
            free_space=free_space,
            flash_speed=flash_speed,
            loop_delay=loop_delay,
            watchdog=watchdog,
        )
        self.name = f"{board_type}_{application_id}_{self.local_id}{name_suffix}"
        self.address = address
        self.port = port
        self.reboot_time = reboot_time
        self.state = BoardState.OFF
        self.boots = 0
        self.unwell_times = UNWELL_UP, UNWELL_AWAY
        self._advertise = advertise
        self._mdns = mdns
        self._own_mdns: LoopbackMdns | None = None
        self._place: HeldPort | None = None
        self._life: asyncio.Task[None] | None = None
        self._reset: asyncio.Future[Reset] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def sha256(self) -> str:
        """The hash of the running firmware, in hex."""
        return hashlib.sha256(self.firmware).hexdigest()

    @property
    def url(self) -> str:
        """The root of its pages."""
        return f"http://{self.address}:{self.port}"

    @property
    def most_connections(self) -> int:
        """How many connections were open at the same time, at most."""
        return self._server.most_connections

    @property
    def faults(self) -> tuple[str, ...]:
        """What is going to go wrong, the next upload's first."""
        return tuple(self._faults)

    def describe(self) -> dict[str, Any]:
        """How the board is, ready for JSON."""
        return {
            "name": self.name,
            "type": self.board_type,
            "app": self.application_id,
            "id": self.local_id,
            "address": self.address,
            "port": self.port,
            "state": self.state.value,
            "fw": self.fw,
            "sha256": self.sha256,
            "size": len(self.firmware),
            "contract": self.contract,
            "uploading": self.uploading,
            "upload_size": self.upload_size,
            "uploads": [upload.describe() for upload in self.uploads],
            "faults": list(self.faults),
            "boots": self.boots,
            "restarts": self.restarts,
            "identified": self.identified,
            "requests": self.requests,
            "most_connections": self.most_connections,
            "environment": self.environment,
            "config": self.config,
        }

    async def start(self) -> None:
        """Switch it on for the first time; it runs at once.

        Raises:
            RadioError: even loopback takes no multicast here.
            UsageError: the responder advertises a board of this name already.
        """
        self._place = HeldPort(self.address, self.port)
        self.port = self._place.port
        try:
            if self._advertise and self._mdns is None:
                self._mdns = self._own_mdns = await LoopbackMdns().__aenter__()
            await self._live(0.0)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Switch it off for good; unlike a board that dies it says so, so that nobody waits for it."""
        running = self.state is BoardState.RUNNING
        await self._die()
        if self._mdns is not None and running:
            self._mdns.withdraw(self.name)
        if self._own_mdns is not None:
            await self._own_mdns.__aexit__(None, None, None)
            self._mdns = self._own_mdns = None
        for connection in self._silenced:
            connection.reset()
        self._silenced.clear()
        if self._place is not None:
            self._place.release()
        await asyncio.sleep(0)  # the transports that were aborted close their sockets in the loop's next turn

    async def power(self, on: bool) -> None:
        """Cut the power, or give it back and wait until the board runs (or is seen not to).

        A board without power says nothing: its record stays with all who heard it. An upload is lost, and the old
        firmware runs on afterwards.
        """
        if not on:
            await self._die()
            self._fall_silent()
        elif self.state in {BoardState.OFF, BoardState.DOWN, BoardState.BRICKED}:
            await self._live(self.reboot_time)

    async def rescue(self, image: bytes) -> None:
        """Flash it over a cable, which helps always, and switch it on."""
        await self.power(False)
        self.firmware = image
        await self.power(True)

    def break_with(self, fault: str, times: int = 1) -> None:
        """Let something go wrong with the next upload, or the next few; what was asked for before comes first.

        Raises:
            UsageError: no such fault is known.
        """
        try:
            self._faults.extend(itertools.repeat(Fault(fault), times))
        except ValueError:
            raise UsageError(f"no fault is called {fault!r}", remedy=f"use one of {', '.join(Fault)}") from None

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    async def wait_for(self, predicate: Callable[[SimulatedEsp8266], bool], within: float) -> None:
        """Wait until ``predicate`` holds for the board; it is asked again after each change.

        Raises:
            TimeoutError: it did not within so many seconds; the message tells how the board is.
        """
        await self._changes.wait_for(lambda: predicate(self), within, what=lambda: f"{self.name} is {self.describe()}")

    async def _live(self, boot_time: float) -> None:
        self.state = BoardState.STARTING
        self._life = asyncio.get_running_loop().create_task(self._run(boot_time))
        while self.state is BoardState.STARTING and not self._life.done():
            await self._changes.next()
        if self._life.done():
            life, self._life = self._life, None
            await life

    async def _die(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.wait([life])
        await self._server.close()
        self._become(BoardState.OFF)
        if life is not None and not life.cancelled():
            await life

    async def _run(self, boot_time: float) -> None:
        """From power on to the last restart; ends when the board does not come up."""
        try:
            while True:
                self._become(BoardState.STARTING)
                await asyncio.sleep(boot_time)
                if not starts(unpacked(self.firmware)):
                    self._become(BoardState.BRICKED)
                    return
                await self._come_up()
                assert self._reset is not None  # noqa: S101 - a board that is up has one
                reset = await self._reset_or_relapse(self._reset)
                await self._go_down()
                if reset is None:
                    boot_time = self.unwell_times[1]
                    continue
                self.firmware = reset.image or self.firmware
                if not reset.returns:
                    self._become(BoardState.DOWN)
                    return
                if reset.elsewhere:
                    self._move()
                boot_time = self.reboot_time
        finally:
            self._changes.changed()

    async def _reset_or_relapse(self, reset: asyncio.Future[Reset]) -> Reset | None:
        """What restarts the board; None where its firmware is not well and falls silent, which no upload meets."""
        if not self.fw.endswith(UNWELL):
            return await reset
        while True:
            try:
                return await asyncio.wait_for(asyncio.shield(reset), self.unwell_times[0])
            except TimeoutError:
                if not self.uploading and not reset.done():
                    return None

    async def _come_up(self) -> None:
        assert self._place is not None  # noqa: S101 - start() takes the place
        self._reset = asyncio.get_running_loop().create_future()
        self._wake_up()
        self.boots += 1
        await self._server.open(self._place.listener())
        if self._mdns is not None and self._advertise:
            self._mdns.announce(self.name, self.port, address=self.address, properties=self._properties())
        self._become(BoardState.RUNNING)

    async def _go_down(self) -> None:
        await self._server.close()
        self._fall_silent()

    def _fall_silent(self) -> None:
        if self._mdns is not None:
            self._mdns.forget(self.name)

    def _move(self) -> None:
        assert self._place is not None  # noqa: S101 - start() takes the place
        self._place.release()
        if sys.platform == "linux":
            self.address = f"127.0.{random.randrange(1, 255)}.{random.randrange(2, 255)}"  # noqa: S311 - no secret
        self._place = HeldPort(self.address)
        self.port = self._place.port

    def _become(self, state: BoardState) -> None:
        self.state = state
        self._changes.changed()

    def _restart(self, reset: Reset) -> None:
        if self._reset is not None and not self._reset.done():
            self._reset.set_result(reset)

"""One board, as a program works on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from os import PathLike
from pathlib import Path

from enmctl.boards.contract import Firmware, Rehearsing
from enmctl.boards.manner import manner
from enmctl.errors import BusyError
from enmctl.gateway import by_hand
from enmctl.gateway.jobs import Target
from enmctl.library.ending import ENDING
from enmctl.library.workbench import Workbench
from enmctl.models import BoardMode, Radio, Step


class Board:
    """A board that is heard, or was named by its address. Made by ``Radios``, and good for as long as they are open.

    Attributes:
        target: the board, its driver and its device, as ``enmctl.gateway`` knows them.
    """

    def __init__(self, bench: Workbench, target: Target) -> None:
        self._bench = bench
        self.target = target

    def __repr__(self) -> str:
        return f"<{self.board_type} board {self.name!r} at {self.address}>"

    @property
    def board_type(self) -> str:
        """Its type, like "microbit"."""
        return self.target.board.board_type

    @property
    def local_id(self) -> str:
        """Its own id: a chip's number, or a Bluetooth address."""
        return self.target.board.local_id

    @property
    def name(self) -> str:
        """What it calls itself on the air."""
        return self.target.board.name

    @property
    def short_name(self) -> str:
        """What a micro:bit shows on its LEDs, like "zavit"; else the name."""
        return self.target.board.short_name

    @property
    def address(self) -> str:
        """Where it is reached: an IP address, a Bluetooth address, or on macOS what stands for one."""
        return self.target.board.addresses[0]

    @property
    def application_id(self) -> int | None:
        """The application that it belongs to; None where neither its firmware nor a fleet file names one."""
        return self.target.board.application_id

    @property
    def radio(self) -> Radio:
        """Which radio reaches it."""
        return self.target.board.radio

    @property
    def mode(self) -> BoardMode:
        """Whether it runs its program or waits in its bootloader."""
        return self.target.board.mode

    @property
    def signal(self) -> int | None:
        """How strong it is heard, in dBm; None where nothing tells."""
        return self.target.board.signal

    @property
    def version(self) -> str | None:
        """What it says that it runs; None where it does not say."""
        return self.target.board.version

    async def check(
        self, file: str | PathLike[str], *, full: bool = False, resume: bool = True, allow_system: bool = False
    ) -> Firmware:
        """What ``flash`` would send of a file; nothing is sent.

        Raises:
            FirmwareError: it cannot be sent to this board.
        """
        target = self._wanting(full=full, resume=resume, allow_system=allow_system)
        return await asyncio.to_thread(target.driver.read_firmware, Path(file), target.config)

    async def rehearse(
        self, file: str | PathLike[str], *, full: bool = False, resume: bool = True, allow_system: bool = False
    ) -> str:
        """What ``flash`` would send this very board, in words: a Bluetooth board is asked, and stays as it is.

        Beside a gateway that has the radios it is not asked, and that is said.

        Raises:
            FirmwareError: the file cannot be sent to this board.
            RefusedError: the board says no.
            TransferError: it has a piece of this program, and does not take the rest.
            OfflineError: the board does not answer.
        """
        target = self._wanting(full=full, resume=resume, allow_system=allow_system)
        firmware = await asyncio.to_thread(target.driver.read_firmware, Path(file), target.config)
        driver = target.driver
        if not isinstance(driver, Rehearsing):
            return f"it would be {firmware.describe}"
        try:
            async with self._bench.place(target):
                await self._bench.remember(target, transfer=bool(self._bench.bench.begun))
                return await driver.rehearse(target.board, firmware, target.config)
        except BusyError:
            return f"it would be {firmware.describe}; the board was not asked, for a gateway has the radios"

    async def flash(
        self,
        file: str | PathLike[str],
        *,
        full: bool = False,
        resume: bool = True,
        allow_system: bool = False,
        hold: bool = False,
    ) -> AsyncGenerator[Step, None]:
        """Put a firmware file on the board, wait until it runs that, and tell each step; the last is ``Stage.DONE``.

        The file is checked before the board is touched. Closing the generator ends the transfer at a safe point; so
        does SIGTERM or SIGHUP, where the program leaves them to end it.

        Args:
            file: a .hex, a DFU package (.zip), a .bin, or an ESP8266 image.
            full: send all of it, also where the changed part would do.
            resume: go on with a transfer that broke, where that is safe.
            allow_system: allow an image that replaces a SoftDevice or a bootloader.
            hold: keep a gateway from putting the device's target back.

        Raises:
            FirmwareError: the file cannot be sent to this board.
            RefusedError: the board says no.
            TransferError: the transfer broke; the same file goes on with it.
            UnsettledError: all was sent, and the board was not heard again.
            OfflineError: the board does not answer.
            BusyError: a gateway has the radios of this machine.
        """
        target = self._wanting(full=full, resume=resume, allow_system=allow_system)
        async with self._bench.place(target):
            await self._bench.remember(target, transfer=True)
            with ENDING.at_a_safe_point():
                async with (
                    self._bench.locked(),
                    aclosing(by_hand.flash(self._bench.bench, target, Path(file), hold=hold)) as steps,
                ):
                    async for step in steps:
                        yield step

    async def left_with(self) -> str:
        """What the board is left with after ``flash`` was stopped, and how to go on; "" where it runs what it ran."""
        return await self.target.driver.left_with(self.target.board)

    async def restart(self) -> str:
        """Restart the board, and wait until it is back.

        Returns:
            what else is to be known of it, "" where there is nothing: that its program is not heard, for most on a
            micro:bit have no Bluetooth.

        Raises:
            RefusedError: its program offers no way.
            UnsettledError: it did not come back in time.
            OfflineError: the board does not answer.
            BusyError: a gateway has the radios of this machine.
        """
        async with self._bench.place(self.target):
            await self._bench.remember(self.target, transfer=False)
            note = ""
            async with aclosing(by_hand.restart(self._bench.bench, self.target)) as steps:
                async for step in steps:
                    note = step.note
            return note

    async def identify(self) -> None:
        """Have the board show itself: a light, or its name on its LEDs.

        Raises:
            RefusedError: its program offers no way.
            OfflineError: the board does not answer.
            BusyError: a gateway has the radios of this machine.
        """
        async with self._bench.place(self.target):
            await self.target.driver.identify(self.target.board, self.target.config)

    def _wanting(self, *, full: bool, resume: bool, allow_system: bool) -> Target:
        """The target with what is wanted otherwise than usual, in the words that a config has for it."""
        wanted = manner(full=full, resume=resume, allow_system=allow_system)
        return replace(self.target, config={**self.target.config, **wanted})

"""A program on a simulated nRF51822-DK, which is called as its application and brings its bootloader up when asked.

After ble_dfu.c and dfu_app_handler.c of SDK 11: it has the bootloader's own service, and takes the start alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from enmctl.simulator.nordic.contract import (
    Advertisement,
    AttError,
    Characteristic,
    Disconnect,
    Effect,
    Property,
    Service,
)
from enmctl.simulator.nordic.legacy_rules import FAILED, INIT, NOT_SUPPORTED, RECEIPTS, START
from enmctl.simulator.nordic.program import CCCD_OFF, Boot, Machine, Program, Restart
from enmctl.simulator.nordic.traits import Found
from enmctl.simulator.nordic.uuids import LEGACY_CONTROL, LEGACY_PACKET, LEGACY_SERVICE, LEGACY_VERSION

NAME: Final = "nRF51822-DK"
VERSION: Final = b"\x01\x00"
"""0.1, minor number first: an application that can bring its bootloader up."""

JUMP_SECONDS: Final = 0.1


class Nrf51822DkApplication(Program):
    """One start of a program."""

    mode = "application"
    SERVICES: Final = (
        Service(
            LEGACY_SERVICE,
            (
                Characteristic(LEGACY_PACKET, Property.WRITE_WITHOUT_RESPONSE),
                Characteristic(LEGACY_CONTROL, Property.WRITE | Property.NOTIFY),
                Characteristic(LEGACY_VERSION, Property.READ),
            ),
        ),
    )

    def __init__(self, machine: Machine, found: Found) -> None:
        super().__init__(machine)
        self._found = found

    @property
    def name(self) -> str:
        """What it is called."""
        return self._found.program.name or NAME

    @property
    def advertisement(self) -> Advertisement | None:
        """Its name; nothing once it is about to leave."""
        return None if self.restart is not None else Advertisement(self.machine.address, self.name)

    @property
    def services(self) -> Sequence[Service]:
        """The one service."""
        return self.SERVICES

    def describe(self) -> dict[str, object]:
        """What it is."""
        return {"name": self.name, "version": self._found.program.version}

    def read(self, characteristic: str, now: float) -> bytes:
        """The version."""
        del characteristic, now
        return VERSION

    def write(self, characteristic: str, data: bytes, now: float) -> list[Effect]:
        """A start, which ends the connection; what is no operation at all is told so."""
        if characteristic == LEGACY_PACKET:
            return []
        if LEGACY_CONTROL not in self.machine.subscribed:
            raise AttError(CCCD_OFF)
        operation = data[0] if data else 0
        if operation in (START, INIT) and len(data) < 2:  # noqa: PLR2004 - the operation and its parameter
            return self.notify(LEGACY_CONTROL, bytes((0x10, operation, FAILED)))
        if not START <= operation <= RECEIPTS:
            return self.notify(LEGACY_CONTROL, bytes((0x10, operation, NOT_SUPPORTED))) if data else []
        if operation != START:
            return []
        self.machine.caller = self.machine.peer
        self.machine.caller_bonded = False
        self.restart = Restart(now + JUMP_SECONDS, Boot.BOOTLOADER)
        return [Disconnect()]
